import pytest
import torch

from onebound.diffusion.schedules import log_snr_schedule
from onebound.studies import bound, bound_samples
from onebound.studies.bound_steps import in_parts
from onebound.studies.records import load_record


@pytest.mark.parametrize("name", bound.SETTINGS)
def test_the_parts_of_a_recorded_bound_add_up(name):
    (run,) = load_record(bound)[name]
    found = run.result
    parts = sum(found[part][0] for part in ("decoder", "steps", "prior"))
    assert parts == pytest.approx(found["total"][0], abs=1e-4)
    assert sum(found["crossed"]) == pytest.approx(found["steps"][0], abs=1e-4)


def test_no_step_of_the_schedules_is_above_the_intervals():
    for entry in bound.ENTRIES.values():
        assert entry.SCHEDULE.log_snr[1] <= bound.EDGES[-1]


def test_more_draws_leave_the_first_as_they_are():
    few, many = (bound_samples.draw(3, "unet", n) for n in (1, 3))
    torch.testing.assert_close(few, many[:1], atol=1e-3, rtol=0)
    assert few.shape == (1, 1, 28, 28)


def test_steps_of_another_schedule_are_the_nearest_there_are():
    own, other = log_snr_schedule(10, last=-5.0), log_snr_schedule(100, last=-8.0)
    steps = bound_samples.nearest_steps(own, other, torch.tensor([1, 50, 52, 90, 100]))
    log_snr = own.log_snr[steps].tolist()
    assert log_snr == sorted(log_snr, reverse=True)
    assert len(steps) == 3  # the two in the middle share one; the two last are beyond the end
    assert (steps[0], steps[-1]) == (1, own.T)
    assert (own.log_snr[steps[1]] - other.log_snr[50]).abs() <= 18.3 / 9 / 2


def test_in_parts_the_guesses_are_the_same_and_few_are_asked_for_at_once():
    asked = []

    def denoise(x_t, t):
        asked.append(len(x_t))
        return x_t * t[:, None]

    x_t, t = torch.randn(7, 2, generator=torch.Generator().manual_seed(1)), torch.arange(1, 8)
    torch.testing.assert_close(in_parts(denoise, 3)(x_t, t), x_t * t[:, None])
    assert asked == [3, 3, 1]
    with pytest.raises(ValueError, match="at_once"):
        in_parts(denoise, 0)
