"""What the figures compute, against PyTorch: the same checks in V8 alone and in a browser."""

from types import ModuleType

import torch
from torch import Generator, Tensor

from live.engine import Engine, tensor_of
from onebound.data.images import to_signed
from onebound.data.mnist import load_mnist
from onebound.diffusion.denoisers import clipped, even_steps, respaced
from onebound.diffusion.process import sample_xt
from onebound.diffusion.samplers import ddim
from onebound.zoo import unet_classes, unet_small
from onebound.zoo.cards import files, load_model

NETWORKS = [unet_classes, unet_small]
"""Those that the figures ask."""
INPUTS = 22  # each label twice, and none twice
MOST = 1e-3
"""The largest difference, in units of 1 or of the largest number of a layer, if that is more."""


def difference(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference of two tensors in those units."""
    scale = max(1.0, expected.abs().max().item())
    return (found - expected).abs().max().item() / scale


def load(engine: Engine, recipe: ModuleType) -> None:
    """Build a network of the zoo inside the engine."""
    weights, _ = files(recipe)
    make = "globalThis.model = new $diffusion.PixelModel($tensors.tensorsOf(weights))"
    engine(f"({make}, true)", weights=weights.read_bytes())


def noisy_digits() -> tuple[Tensor, Tensor, Tensor]:
    """Return test digits with all amounts of noise, their steps, and labels, some of them none."""
    x_0 = to_signed(load_mnist().test_images[:INPUTS])
    t = torch.linspace(1, 1000, INPUTS).long()
    eps = torch.randn(x_0.shape, generator=Generator().manual_seed(0))
    return sample_xt(unet_classes.SCHEDULE, x_0, eps, t), t, torch.arange(INPUTS) % 11


@torch.no_grad()
def check_layers(engine: Engine, recipe: ModuleType) -> None:
    """Compare what each layer puts out, and the answer, for each input alone."""
    network, _ = load_model(recipe)
    seen: dict[str, Tensor] = {}
    middle = [f"middle.{i}" for i in range(len(network.middle))]
    names = ["stem", "encode", "down", *middle, "decode.0", "decode.1"]
    for name in names:
        network.get_submodule(name).register_forward_hook(
            lambda _, __, out, name=name: seen.update({name: out})
        )
    x_t, t, labels = noisy_digits()
    y = labels if recipe is unet_classes else None
    seen["head"] = network(x_t, t, y)
    program = """(() => {
        const seen = {}, told = model.network.told(t, y ?? undefined);
        model.network.run(x, told, new Float32Array(784),
            (name, numbers) => (seen[name] = text(numbers)));
        return seen;
    })()"""
    for i in range(INPUTS):
        told = None if y is None else y[i].item()
        found = engine(program, x=x_t[i], t=t[i].item(), y=told)
        for name, expected in seen.items():
            values = expected[i].permute(1, 2, 0).flatten()  # channels last
            assert difference(tensor_of(found[name]), values) < MOST, (name, i)


def check_trajectory(engine: Engine, eta: float, asked: bool) -> None:
    """Compare every step of four guided draws, noise and all."""
    network, _ = load_model(unet_classes)
    digits = torch.tensor([3, 1, 4, 5])
    strength = 1.25 if asked else 1.0
    inner = (
        unet_classes.guided_by_labels(network, digits, strength)
        if asked
        else unet_classes.denoiser_of(network)
    )
    schedule, denoise = respaced(unet_classes.SCHEDULE, clipped(inner), even_steps(1000, 20))
    shape = (4, 1, 28, 28)
    noise = Generator().manual_seed(1)
    steps = list(ddim(schedule, denoise, torch.randn(shape, generator=noise), eta, noise))
    noise = Generator().manual_seed(1)
    drawn = torch.stack([torch.randn(shape, generator=noise) for _ in range(21)])
    program = """(() => {
        let used = 0;
        const noise = (length) => drawn.slice(used, (used += length));
        const options = {count: 4, steps: 20, eta, noise, strength, digits: digits ?? undefined};
        return Array.from(model.draw(options), ({t, xT, x0Hat, xS}) =>
            [t, text(xT), text(x0Hat), text(xS)]);
    })()"""
    found = engine(
        program,
        drawn=drawn,
        eta=eta,
        strength=strength,
        digits=digits.tolist() if asked else None,
    )
    assert [step[0] for step in found] == even_steps(1000, 20).tolist()[::-1]
    for step, (t, *theirs) in zip(steps, found, strict=True):
        ours = (step.x_t, step.x_0_hat, step.x_s)
        for name, a, b in zip(("x_t", "x_0_hat", "x_s"), ours, theirs, strict=True):
            assert difference(tensor_of(b), a.flatten()) < MOST, (name, t)
