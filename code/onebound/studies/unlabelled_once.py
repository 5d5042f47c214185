"""The trainings of `onebound.studies.unlabelled` that were made with a single seed."""

from typing import Any

from onebound.studies import unlabelled
from onebound.studies.unlabelled import CODES, PIXELS, SECONDS

SETTINGS: dict[str, dict[str, Any]] = {
    "codes, 5 min": CODES | {"seconds": SECONDS[5]},
    "pixels, 1 min": PIXELS | {"seconds": SECONDS[1]},
}
SEEDS = (0,)
SMOKE = unlabelled.SMOKE
run = unlabelled.run
