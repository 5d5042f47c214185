"""The VAE of `vae_conv`, trained further by the importance-weighted bound of eight draws."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onebound.vae.importance import log_mean_exp
from onebound.vae.model import VAE
from onebound.zoo import vae_conv
from onebound.zoo.cards import load_model

RECIPE: dict[str, Any] = dict(draws=8, epochs=7, batch_size=16, learning_rate=1e-3, seed=1)


def build() -> VAE:
    """Return the model to start from, trained."""
    return load_model(vae_conv)[0]


def train(model: VAE, checkpoint: Path) -> Iterator[dict[str, float]]:
    """Raise the importance-weighted bound."""
    recipe = dict(RECIPE)
    draws = recipe.pop("draws")
    bound = lambda x: log_mean_exp(model.log_weights(x, draws))  # noqa: E731
    return vae_conv.fit(recipe, model, checkpoint, bound)


measure = vae_conv.measure
