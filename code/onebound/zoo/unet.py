"""The U-Net, trained for good samples: the loss of v, late steps counting more."""

from functools import partial

from onebound.diffusion.denoisers import Denoiser, Network, guided
from onebound.networks.unet import UNet
from onebound.zoo import unet_small
from onebound.zoo._unets import COSINE, draw, fit_digits, for_samples, from_v, judge, sized
from onebound.zoo.cards import load_model

RECIPE = unet_small.RECIPE | dict(width=32, deep_width=112, pairs=3, epochs=34, batch_size=64)
SCHEDULE = COSINE
denoiser_of = from_v
build = partial(sized, RECIPE)
train = partial(fit_digits, RECIPE, for_samples(RECIPE))


def guided_by_small(network: Network, strength: float = 2.5) -> Denoiser:
    """Guide the network away from the errors of `unet_small`."""
    small, _ = load_model(unet_small)
    return guided(denoiser_of(network), unet_small.denoiser_of(small), strength)


def measure(network: UNet) -> dict[str, list[float]]:
    """Return the quality of 2,000 samples in 100 steps, alone and guided by `unet_small`."""
    alone = judge(draw(SCHEDULE, denoiser_of(network), 2000))
    together = judge(draw(SCHEDULE, guided_by_small(network), 2000))
    return alone | {f"guided_{name}": value for name, value in together.items()}
