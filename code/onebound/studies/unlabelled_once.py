"""The trainings of `onebound.studies.unlabelled` that were made with a single seed."""

from typing import Any

from onebound.studies import unlabelled
from onebound.studies.unlabelled import CODES, GROUPS, PIXELS, SECONDS, WIDER

SETTINGS: dict[str, dict[str, Any]] = {
    "codes, 20 min": CODES | {"seconds": SECONDS[20]},
    "groups, 20 min": GROUPS | WIDER[20],
    "pixels, 5 min": PIXELS | WIDER[5],
    "pixels, 20 min": PIXELS | WIDER[20],
}
SEEDS = (0,)
SMOKE = unlabelled.SMOKE
run = unlabelled.run
