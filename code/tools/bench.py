"""What training and sampling cost on this machine, as a table.

Nothing here is a test: times belong to a machine. Each training is a program of its own, on a CPU
one process a core: small networks use two cores better as two processes than as one.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor, nn

from onebound.data.images import to_signed
from onebound.data.mnist import load_mnist, split_validation
from onebound.diffusion.denoisers import Denoiser, denoiser
from onebound.diffusion.loss import denoising_loss, stratified_t
from onebound.diffusion.process import x_0_from_eps
from onebound.evaluation import protocol
from onebound.evaluation.estimates import Estimate, estimate, per_example
from onebound.machine import cores, machine
from onebound.networks.inputs import SHAPE
from onebound.networks.shufflenet import ShuffleUNet
from onebound.networks.unet import UNet
from onebound.training.optimisers import adam
from onebound.zoo import digits, unet, unet_classes
from onebound.zoo._unets import COSINE, Objective, draw, fit, for_samples
from onebound.zoo.cards import load_model

SCHEDULE = COSINE
PIXELS = math.prod(SHAPE)


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained."""

    network: Callable[[], nn.Module]
    objective: Objective
    options: dict[str, Any]

    def denoiser(self, network: nn.Module) -> Denoiser:
        """Read x_0_hat off the network."""
        return denoiser(SCHEDULE, network, self.objective.x_0_from)


def _unet(
    batch_size: int,
    untold: float | None = None,
    learning_rate: float = 0.03,
    warm_up: int = 100,
    **sizes: int,
) -> Recipe:
    return Recipe(
        lambda: UNet(SCHEDULE.T, **sizes),
        for_samples({"tilt": 2.0, "untold": untold}),
        {"learning_rate": learning_rate, "warm_up": warm_up, "batch_size": batch_size},
    )


_told = partial(_unet, untold=unet_classes.RECIPE["untold"], classes=unet_classes.UNTOLD)
RECIPES = {
    "ShuffleUNet": Recipe(
        lambda: ShuffleUNet(SCHEDULE.T),
        Objective(SCHEDULE, x_0_from_eps, SCHEDULE.snr / PIXELS),
        {"optimiser": adam, "learning_rate": 2e-3, "batch_size": 128},
    ),
    "UNet": _unet(32),
    "UNet 128": _unet(128, warm_up=20, width=24),  # 12,800 images are 100 steps
    "told": _told(32),
    "told 96": _told(32, deep_width=96),
    "told 112": _told(64, learning_rate=0.02, deep_width=112, pairs=3),
}
BUDGETS = {1: ("told", 2.0), 5: ("told 96", 1.5), 20: ("told 112", 1.25)}
"""The network that does best after so many minutes, and how strongly its labels guide it."""


# ---- training, in processes of its own


def work(name: str, images: int, epochs: int, file: Path) -> None:
    """Train a recipe on a number of images in `epochs` parts; write weights and what it took."""
    recipe = RECIPES[name]
    torch.manual_seed(0)
    network = recipe.network()
    (pictures, _), (labels, _) = map(split_validation, load_mnist()[:2])
    shown = torch.arange(images // epochs) % len(pictures)
    data, seconds = (pictures[shown], labels[shown]), [0.0]
    for epoch, _ in fit(network, recipe.objective, *data, epochs=epochs, **recipe.options):
        seconds.append(epoch.seconds)
    if PartialState().is_main_process:
        save_file(network.state_dict(), file)
        result = {
            "images": epoch.steps * recipe.options["batch_size"],
            "seconds": [after - before for before, after in pairwise(seconds)],
            "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        }
        file.with_suffix(".json").write_text(json.dumps(result), encoding="utf-8")


@dataclass(frozen=True)
class Trained:
    """What a training left behind."""

    network: nn.Module
    parameters: int
    images: int
    seconds: list[float]
    gigabytes: float
    """Peak of one process."""


def trained(name: str, images: int, epochs: int = 1) -> Trained:
    """Train a recipe, on a CPU with one process a core."""
    processes = 1 if torch.cuda.is_available() else min(cores(), 8)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.safetensors"
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        command = [sys.executable, *(launch if processes > 1 else [])]
        command += [__file__, "--train", name, str(images), str(epochs), str(file)]
        environment = os.environ | {"TQDM_DISABLE": "1"}
        if processes > 1:
            environment |= {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
        subprocess.run(command, env=environment, check=True)
        network = RECIPES[name].network()
        network.load_state_dict(load_file(file))
        result = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Trained(network.eval(), parameters, **result)


# ---- what came out


@torch.no_grad()
def eps_error(denoise: Denoiser) -> Estimate:
    """Mean squared error of eps_hat, a pixel, on 2,000 validation images."""
    _, held_out = split_validation(load_mnist().train_images)
    noise = Generator().manual_seed(0)

    def loss(batch: Tensor) -> Tensor:
        x_0 = to_signed(batch)
        t = stratified_t(len(x_0), SCHEDULE.T, noise)
        eps = torch.randn(x_0.shape, generator=noise)
        return denoising_loss(SCHEDULE, denoise, x_0, eps, t, SCHEDULE.snr) / PIXELS

    return estimate(per_example(loss, held_out[:2000]))


# ---- the tables


def speeds(images: int) -> None:
    """Print how fast two networks learn, and how well after the same number of images.

    The first two lines are for batches of 128, the last one for batches of 32, which learn more.
    """
    print(f"{'training':12}  parameters  images/s (least to most)  GB a process  squared eps error")
    for name in ("ShuffleUNet", "UNet 128", "UNet"):
        run = trained(name, images, epochs=5)
        rates = [run.images / 5 / seconds for seconds in run.seconds]
        error = eps_error(RECIPES[name].denoiser(run.network))
        print(
            f"{name:12}  {run.parameters:10,}  {spread(rates):24}  {run.gigabytes:12.2f}  "
            f"{error.mean:.4f} ± {error.stderr:.4f} after {run.images:,} images",
            flush=True,
        )


def spread(values: list[float]) -> str:
    """Show a median between the least and the most."""
    low, median, high = min(values), statistics.median(values), max(values)
    return f"{median:.4g} ({low:.4g} to {high:.4g})"


def quality(minutes: int, real: protocol.Reference) -> None:
    """Print how good samples are after some minutes of training, told a label and not."""
    name, strength = BUDGETS[minutes]
    run = trained(name, fitting(name, 60 * minutes))
    print(f"{name}: {run.seconds[0]:.0f} s of training on {run.images:,} images", flush=True)
    y = unet_classes.some_labels(2000).split(250)
    guide = unet_classes.guided_by_labels
    denoisers = {
        "not told the label": [RECIPES[name].denoiser(run.network)] * len(y),
        f"told, strength {strength}": [guide(run.network, part, strength) for part in y],
    }
    for how, parts in denoisers.items():
        samples = [
            draw(SCHEDULE, denoise, len(part), 50, seed)
            for seed, (part, denoise) in enumerate(zip(y, parts, strict=True))
        ]
        print(f"  {how:19} {protocol.evaluate(torch.cat(samples), real)}", flush=True)


def fitting(name: str, seconds: float) -> int:
    """Return how many images a training of so many seconds may take, from a short trial."""
    trial = trained(name, 9600, epochs=3)
    rate = trial.images / 3 / statistics.median(trial.seconds)
    return int(0.97 * rate * seconds)  # a little less: machines get warm


def sampling() -> None:
    """Print how long 16 samples of the zoo's network take."""
    network, _ = load_model(unet)
    denoise = unet.denoiser_of(network)
    for steps in (50, SCHEDULE.T):
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            draw(SCHEDULE, denoise, 16, steps)
            seconds.append(time.perf_counter() - start)
        print(f"16 samples in {steps:4} steps: {spread(seconds)} s", flush=True)


def main() -> None:
    """Print the tables, or train what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", nargs=4, metavar=("NAME", "IMAGES", "EPOCHS", "FILE"))
    parser.add_argument("--minutes", type=int, nargs="*", choices=BUDGETS, default=[1, 5])
    arguments = parser.parse_args()
    if arguments.train:
        name, images, epochs, file = arguments.train
        work(name, int(images), int(epochs), Path(file))
        return
    print(json.dumps(machine()))
    speeds(12_800)
    sampling()
    classifier, _ = load_model(digits)
    real = protocol.reference(classifier)
    for minutes in arguments.minutes:
        quality(minutes, real)


if __name__ == "__main__":
    main()
