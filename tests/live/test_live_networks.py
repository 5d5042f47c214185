"""The networks in V8, with their own kernels, against PyTorch."""

import pytest
import torch
from safetensors.torch import save

from live.agreement import NETWORKS, check_layers, check_trajectory, load
from live.engine import Engine
from onebound.zoo import unet_classes


@pytest.mark.parametrize("recipe", NETWORKS, ids=lambda recipe: recipe.__name__)
def test_every_layer_agrees(engine: Engine, recipe):
    load(engine, recipe)
    check_layers(engine, recipe)


@pytest.mark.parametrize(("eta", "asked"), [(0.0, False), (0.0, True), (1.0, True)])
def test_every_step_of_a_trajectory_agrees(engine: Engine, eta, asked):
    load(engine, unet_classes)
    check_trajectory(engine, eta, asked)


def test_halves_are_read_exactly(engine: Engine):
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    values = bits.view(torch.float16)
    finite = values[values.isfinite()]
    found = engine.tensor("$tensors.tensorsOf(bytes).w", bytes=save({"w": finite}))
    assert torch.equal(found, finite.float())


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("rows", "out", "inner"), [(7, 4, 4), (14, 12, 36), (3, 8, 20), (16, 4, 8)]
)
def test_a_product_of_matrices(engine: Engine, fused, rows, out, inner):
    a, w, bias = torch.randn(rows, inner), torch.randn(out, inner), torch.randn(out)
    found = engine.tensor(
        """(() => {
            const valid = WebAssembly.validate;
            let asked = 0;
            WebAssembly.validate = (code) => (fused || asked++ > 0) && valid(code);
            const machine = new $machine.Machine(10000);
            WebAssembly.validate = valid;
            const x = machine.numbers(a.length), y = machine.numbers(rows * bias.length);
            x.values.set(a);
            const layer = machine.layer(w, bias, bias.length);
            machine.apply(layer, x.at, a.length / rows, y.at, bias.length, rows);
            return y.values;
        })()""",
        (rows, out),
        a=a.flatten(),
        w=w.flatten(),
        bias=bias,
        rows=rows,
        fused=fused,
    )
    torch.testing.assert_close(found, a @ w.T + bias, rtol=0, atol=1e-5)
