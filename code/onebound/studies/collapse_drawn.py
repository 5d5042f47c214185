"""What a deep VAE draws while it collapses, escapes, or learns: the same codes after each epoch."""

from typing import Any

import torch
from torch import Generator

from onebound.studies.collapse import training
from onebound.studies.records import packed

SETTINGS: dict[str, dict[str, Any]] = {"as it is": {}, "skip connections": {"skip": True}}
SEEDS = (0, 2)
SMOKE = {"epochs": 1, "limit": 1000}


def run(seed: int, **arguments: Any) -> dict[str, Any]:
    """Train as `onebound.studies.collapse` does.

    The result has "drawn": before training and after each epoch the probabilities that the decoder
    gives for four codes from the prior, as text for `onebound.studies.records.unpacked`.
    """
    z = torch.randn(4, 20, generator=Generator().manual_seed(7))
    models = training(seed, **arguments)
    return {"drawn": [packed(torch.sigmoid(vae.decode(z).detach())) for vae in models]}
