"""A deep VAE that collapses, attempts at repair, and a shallow one beside them."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Generator, Tensor, nn

from onebound.data.images import binarise, static_binarisation
from onebound.data.mnist import load_mnist, split_validation
from onebound.distributions import kl_normal_standard, sample_normal
from onebound.evaluation.estimates import per_example
from onebound.networks.mlp import MLPDecoder, MLPEncoder
from onebound.training.run import train
from onebound.vae.codes import activity
from onebound.vae.model import VAE

SETTINGS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "warm-up": {"objective": "warm_up"},
    "free bits": {"objective": "free_bits"},
    "free bits, each latent": {"objective": "free_bits_each"},
    "larger weights": {"gain": 1.732},
    "smaller steps": {"learning_rate": 5e-4},
    "skip connections": {"skip": True},
    "one hidden layer": {"deep": False},
}
SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"epochs": 1, "limit": 1000}


class Deep(nn.Module):
    """Four hidden layers of tanh; with `skip`, the later ones add to what they are given.

    PyTorch draws weights whose layer passes on a third of the variance that it is given, as long as
    tanh is nearly linear. They are multiplied by `gain`: 1.732, the root of three, mends that.
    """

    def __init__(self, inputs: int, outputs: int, skip: bool, gain: float) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, 200)
        self.rest = nn.ModuleList(nn.Linear(200, 200) for _ in range(3))
        self.last = nn.Linear(200, outputs)
        self.skip = skip
        with torch.no_grad():
            for layer in (self.first, *self.rest, self.last):
                layer.weight *= gain

    def forward(self, h: Tensor) -> Tensor:
        """Map (B, inputs) to (B, outputs)."""
        h = torch.tanh(self.first(h))
        for layer in self.rest:
            h = torch.tanh(layer(h)) + (h if self.skip else 0)
        return self.last(h)


class DeepEncoder(Deep):
    """Images to the mean and log-variance of 20 latents."""

    def __init__(self, skip: bool = False, gain: float = 1.0) -> None:
        super().__init__(784, 40, skip, gain)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Return `mu` and `logvar`."""
        mu, logvar = super().forward(x.flatten(1)).chunk(2, dim=1)
        return mu, logvar


class DeepDecoder(Deep):
    """20 latents to logits."""

    latent_size = 20

    def __init__(self, skip: bool = False, gain: float = 1.0) -> None:
        super().__init__(20, 784, skip, gain)

    def forward(self, z: Tensor) -> Tensor:
        """Return logits (B, 1, 28, 28)."""
        return super().forward(z).unflatten(1, (1, 28, 28))


Objective = Callable[[Tensor, Tensor], Tensor]
"""Of the log-likelihood (B,) and the divergence of each latent (B, 20)."""


def minus_elbo(log_likelihood: Tensor, kl: Tensor) -> Tensor:
    """Charge for every nat of the rate."""
    return kl.sum(1) - log_likelihood


def free_bits(groups: int, nats: float = 4.0) -> Objective:
    """Charge for a group of latents no less than its share of `nats`, in the batch's mean."""

    def objective(log_likelihood: Tensor, kl: Tensor) -> Tensor:
        spent = kl.mean(0).unflatten(0, (groups, -1)).sum(1)
        return spent.clamp(min=nats / groups).sum() - log_likelihood

    return objective


def warm_up(steps: int) -> Objective:
    """Weigh the divergence with a factor that rises from 0 to 1 over so many steps."""
    done = 0

    def objective(log_likelihood: Tensor, kl: Tensor) -> Tensor:
        nonlocal done
        done += 1
        return min(1, done / steps) * kl.sum(1) - log_likelihood

    return objective


@torch.no_grad()
def passed_on(vae: VAE, images: Tensor) -> tuple[float, float]:
    """Return what encoder and decoder pass on: spread of mu and of logits."""
    logits = vae.decode(torch.randn(1000, 20, generator=Generator().manual_seed(5)))
    return vae.encode(images)[0].std(0).mean().item(), logits.std(0).mean().item()


def training(
    seed: int,
    skip: bool = False,
    gain: float = 1.0,
    deep: bool = True,
    objective: str = "minus_elbo",
    learning_rate: float = 2e-3,
    epochs: int = 6,
    limit: int | None = None,
) -> Iterator[VAE]:
    """Yield a VAE before training and after each epoch, always the same object."""
    torch.manual_seed(seed)
    if deep:
        vae = VAE(DeepEncoder(skip, gain), DeepDecoder(skip, gain))
    else:
        vae = VAE(MLPEncoder(), MLPDecoder())
    yield vae.eval()
    images = split_validation(load_mnist().train_images)[0][:limit]
    half = epochs * (len(images) // 256) // 2
    objectives = {"free_bits": free_bits(1), "free_bits_each": free_bits(20)}
    charge = (objectives | {"warm_up": warm_up(half)}).get(objective, minus_elbo)

    def loss(batch: Tensor) -> Tensor:
        x = binarise(batch)
        mu, logvar = vae.encode(x)
        z = sample_normal(mu, logvar)
        kl = kl_normal_standard(mu.reshape(-1, 1), logvar.reshape(-1, 1)).reshape(mu.shape)
        return charge(vae.log_prob(x, vae.decode(z)), kl)

    for _ in train(vae, loss, images, epochs=epochs, learning_rate=learning_rate, seed=seed):
        yield vae.eval()


def terms(vae: VAE, images: Tensor) -> Tensor:
    """Return log-likelihood and divergence of each image (N, 2), always with the same noise."""
    noise = Generator().manual_seed(1)
    return per_example(lambda x: torch.stack(vae.bound(x, noise), 1), images)


def run(seed: int, limit: int | None = None, **arguments: Any) -> dict[str, Any]:
    """Train for six epochs, as `training` does.

    The result: after each epoch the "rate" and the "elbo" of the test images, in nats, and at the
    end the number of "active" units. Before training, the spread of "mu" and of the "logits".
    """
    test = static_binarisation(load_mnist().test_images)[:limit]
    models = training(seed, limit=limit, **arguments)
    vae = next(models)
    mu, logits = passed_on(vae, test[:1000])
    found = [terms(vae, test).mean(0) for vae in models]
    with torch.no_grad():
        active = int((activity(vae.encode(test)[0]) > 0.01).sum())
    return {
        "mu": mu,
        "logits": logits,
        "rate": [rate.item() for _, rate in found],
        "elbo": [(log_likelihood - rate).item() for log_likelihood, rate in found],
        "active": active,
    }
