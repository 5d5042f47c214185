import torch

from onebound.studies import flow_likelihood
from onebound.studies.records import load_record


def test_the_same_images_and_noise_for_any_number_of_steps():
    few = flow_likelihood.run(3, **flow_likelihood.SMOKE)
    more = flow_likelihood.run(3, **flow_likelihood.SMOKE | {"steps": 8})
    assert few["bound"] == more["bound"]
    assert few["flow"] != more["flow"]
    assert torch.isfinite(torch.tensor(list(few.values()))).all()


def test_the_record_has_its_images_once_each():
    for runs in load_record(flow_likelihood).values():
        for run in runs:
            lengths = {len(values) for values in run.result.values()}
            assert lengths == {run.arguments["count"]}
    bounds = [run.result["bound"] for run in load_record(flow_likelihood)["256 steps"]]
    assert not set(bounds[0]) & set(bounds[1])
