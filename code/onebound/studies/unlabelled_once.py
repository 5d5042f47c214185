"""The trainings of `onebound.studies.unlabelled` that were made with a single seed."""

from typing import Any

from onebound.studies import unlabelled
from onebound.studies.unlabelled import CODES, PIXELS, SECONDS

SETTINGS: dict[str, dict[str, Any]] = {
    "codes, 5 min": CODES | {"seconds": SECONDS[5]},
    "codes, 20 min": CODES | {"seconds": SECONDS[20]},
    "pixels, 1 min": PIXELS | {"seconds": SECONDS[1]},
    "pixels, 5 min": PIXELS | {"seconds": SECONDS[5], "deep_width": 96},
    "pixels, 20 min": PIXELS | {"seconds": SECONDS[20], "deep_width": 112, "pairs": 3},
}
SEEDS = (0,)
SMOKE = unlabelled.SMOKE
run = unlabelled.run
