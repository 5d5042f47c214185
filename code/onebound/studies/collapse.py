"""A deep VAE that collapses, three attempts at repair, and a shallow one beside them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn

from onebound.data.images import binarise, static_binarisation
from onebound.data.mnist import load_mnist, split_validation
from onebound.evaluation.estimates import per_example
from onebound.networks.mlp import MLPDecoder, MLPEncoder
from onebound.training.loop import train
from onebound.vae.codes import activity
from onebound.vae.model import VAE

SETTINGS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "warm-up": {"objective": "warm_up"},
    "free bits": {"objective": "free_bits"},
    "skip connections": {"skip": True},
    "one hidden layer": {"deep": False},
}
SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"epochs": 1, "limit": 1000}


class Deep(nn.Module):
    """Four hidden layers of tanh; with `skip`, the later ones add to what they are given."""

    def __init__(self, inputs: int, outputs: int, skip: bool) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, 200)
        self.rest = nn.ModuleList(nn.Linear(200, 200) for _ in range(3))
        self.last = nn.Linear(200, outputs)
        self.skip = skip

    def forward(self, h: Tensor) -> Tensor:
        """Map (B, inputs) to (B, outputs)."""
        h = torch.tanh(self.first(h))
        for layer in self.rest:
            h = torch.tanh(layer(h)) + (h if self.skip else 0)
        return self.last(h)


class DeepEncoder(Deep):
    """Images to the mean and log-variance of 20 latents."""

    def __init__(self, skip: bool = False) -> None:
        super().__init__(784, 40, skip)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Return `mu` and `logvar`."""
        mu, logvar = super().forward(x.flatten(1)).chunk(2, dim=1)
        return mu, logvar


class DeepDecoder(Deep):
    """20 latents to logits."""

    latent_size = 20

    def __init__(self, skip: bool = False) -> None:
        super().__init__(20, 784, skip)

    def forward(self, z: Tensor) -> Tensor:
        """Return logits (B, 1, 28, 28)."""
        return super().forward(z).unflatten(1, (1, 28, 28))


Objective = Callable[[Tensor, Tensor], Tensor]


def minus_elbo(log_likelihood: Tensor, kl: Tensor) -> Tensor:
    """Charge for every nat of the rate."""
    return kl - log_likelihood


def free_bits(log_likelihood: Tensor, kl: Tensor) -> Tensor:
    """Charge for the batch's mean rate above four nats."""
    return kl.mean().clamp(min=4) - log_likelihood


def warm_up(steps: int) -> Objective:
    """Weigh the divergence with a factor that rises from 0 to 1 over so many steps."""
    done = 0

    def objective(log_likelihood: Tensor, kl: Tensor) -> Tensor:
        nonlocal done
        done += 1
        return min(1, done / steps) * kl - log_likelihood

    return objective


@torch.no_grad()
def passed_on(vae: VAE, images: Tensor) -> tuple[float, float]:
    """Return what encoder and decoder pass on: spread of mu and of logits."""
    logits = vae.decode(torch.randn(1000, 20, generator=Generator().manual_seed(5)))
    return vae.encode(images)[0].std(0).mean().item(), logits.std(0).mean().item()


def run(
    seed: int,
    skip: bool = False,
    deep: bool = True,
    objective: str = "minus_elbo",
    epochs: int = 6,
    limit: int | None = None,
) -> dict[str, Any]:
    """Train for some epochs, the same for all.

    Returns
    -------
    dict
        After each epoch the "rate" and the "elbo" of the test images, in nats, and at the end the
        number of "active" units. Before training, the spread of "mu" and of the "logits".
    """
    torch.manual_seed(seed)
    vae = VAE(DeepEncoder(skip), DeepDecoder(skip)) if deep else VAE(MLPEncoder(), MLPDecoder())
    images, _ = split_validation(load_mnist().train_images)
    images, test = images[:limit], static_binarisation(load_mnist().test_images)[:limit]
    mu, logits = passed_on(vae, test[:1000])
    half = epochs * (len(images) // 256) // 2
    charge: Objective = {"free_bits": free_bits, "warm_up": warm_up(half)}.get(
        objective, minus_elbo
    )
    rates, elbos = [], []
    loss = lambda x: charge(*vae.bound(binarise(x)))  # noqa: E731
    for _ in train(vae, loss, images, epochs=epochs, learning_rate=2e-3, seed=seed):
        noise = Generator().manual_seed(1)
        terms = per_example(lambda x: torch.stack(vae.bound(x, noise), 1), test)  # noqa: B023
        rates.append(terms[:, 1].mean().item())
        elbos.append((terms[:, 0] - terms[:, 1]).mean().item())
    with torch.no_grad():
        active = int((activity(vae.encode(test)[0]) > 0.01).sum())
    return {"mu": mu, "logits": logits, "rate": rates, "elbo": elbos, "active": active}
