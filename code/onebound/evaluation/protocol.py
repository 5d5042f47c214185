"""Samples judged as a set: one protocol, the same for every model.

1. Draw n samples with a fixed seed; 2,000 unless a chapter says otherwise. None is left out.
2. Cut them to [-1, 1] and round them to the 256 levels, as a file of images would.
3. Count those that the zoo's classifier takes for one digit with confidence above 0.95.
4. Count the classes of those that it takes for a digit at all, over their share in MNIST.
5. Take the Frechet distance of its features to those of the 10,000 test images, and beside it the
   floor: what n training images get.

The classifier was chosen on the validation images; no step has anything to choose. All seeds are
fixed: the same samples give the same numbers, on one machine with one version of torch.

    classifier, _ = load_model(digits)
    real = reference(classifier)  # once: seconds
    print(evaluate(samples, real))

Read the numbers together. The only thing but digits that the classifier was shown is noise: of the
means of ten random digits, smudges, it recognises nine in ten. The distance is not taken in, but
says nothing about a single sample. Neither sees a copy: put `neighbours` beside them. And print
pictures. The ratio is strict, if anything: the classifier was trained on five in six of the images
behind the floor, and the floor of others would be higher.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from onebound.checks import need
from onebound.data.images import to_unit
from onebound.data.mnist import MNIST, load_mnist
from onebound.evaluation import frechet
from onebound.evaluation.estimates import Estimate, estimate, per_example
from onebound.evaluation.quality import NOISE, Classifier, at_rest, logits_of, recognised
from onebound.networks.classifier import ConvClassifier
from onebound.networks.inputs import Images

Levels = UInt8[Tensor, "B C H W"]
Shares = Float[Tensor, "10"]  # of the digits in the training data


@dataclass(frozen=True, eq=False)
class Reference:
    """Real images as the classifier sees them."""

    classifier: ConvClassifier
    shares: Shares
    train: Float[Tensor, "N D"]  # features of the training images
    test: frechet.Normal  # fitted to the features of the test images


@dataclass(frozen=True)
class Evaluation:
    """What the protocol says about a sample."""

    n: int
    recognised: Estimate  # share in [0, 1]; real test images have about 0.98
    classes: tuple[Estimate, ...]  # share of each digit over that in the training data; 1 is right
    frechet: Estimate  # distance to the test images; its error is over samples of this size
    floor: Estimate  # mean distance of n training images to the test images

    @property
    def ratio(self) -> float:
        """The distance over its floor; 1 is as good as real images."""
        return self.frechet.mean / self.floor.mean

    @property
    def interval(self) -> tuple[float, float]:
        """Of 95 %, for the mean distance of samples of this size; too wide near the floor."""
        mean, stderr = self.frechet
        return mean - 1.96 * stderr, mean + 1.96 * stderr

    @property
    def imbalance(self) -> float:
        """Largest relative error of a class's share; 0 is right."""
        return max(abs(ratio.mean - 1) for ratio in self.classes)

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.n} samples: recognised {100 * self.recognised.mean:.1f} ± "
            f"{100 * self.recognised.stderr:.1f} %; shares of the classes within "
            f"{100 * self.imbalance:.0f} %; Frechet distance {self.frechet.mean:.3g} "
            f"({low:.3g} to {high:.3g}), floor {self.floor.mean:.3g}, ratio {self.ratio:.2f}"
        )


def to_levels(samples: Images) -> Levels:
    """Cut samples to [-1, 1] and round them to levels on the CPU: the inverse of `to_signed`.

    A sampler may overshoot the range. ValueError if there are none, one is not finite, or nothing
    is below 0: then they are in the range [0, 1].
    """
    some = samples.is_floating_point() and samples.ndim == 4 and len(samples) > 0
    got = f"{samples.dtype} of shape {tuple(samples.shape)}"
    need(some, f"expected floating-point samples of shape (B, C, H, W) with B >= 1, got {got}")
    low, high = (value.item() for value in samples.aminmax())
    within = -float("inf") < low < 0 and high < float("inf")  # false for NaN too
    need(within, f"expected samples in [-1, 1], got values from {low:g} to {high:g}")
    return ((samples.detach().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def class_balance(classifier: Classifier, images: Images, shares: Shares) -> tuple[Estimate, ...]:
    """Share of each digit among images in [0, 1], over its share in the training data.

    Images whose likeliest class is noise do not count. A digit that is missing has 0 ± 0: the error
    is then unknown, and with m images a ratio up to 3 / (m share) would not surprise. ValueError if
    fewer than two images are taken for a digit.
    """
    chosen = per_example(lambda part: logits_of(classifier, part), images).argmax(1)
    chosen = chosen[chosen != NOISE]
    return tuple(
        estimate((chosen == digit).double() / share) for digit, share in enumerate(shares.tolist())
    )


def reference(classifier: ConvClassifier, mnist: MNIST | None = None) -> Reference:
    """Look at all real images, which takes seconds; keep the result for many samples."""
    images, labels, test, _ = mnist or load_mnist()
    train_features, test_features = (_features(classifier, part) for part in (images, test))
    shares = labels.bincount(minlength=10) / len(labels)
    return Reference(classifier, shares, train_features, frechet.fit(test_features))


def evaluate(samples: Images, real: Reference) -> Evaluation:
    """Judge independent draws from a model by the protocol at the top of this module.

    They are in [-1, 1] up to an overshoot, and more than the features; ``2 * x - 1`` brings images
    from [0, 1] there. ValueError as `to_levels`, `class_balance`, `frechet.fit`, `frechet.floor`.
    """
    levels = to_levels(samples)
    unit = to_unit(levels)
    return Evaluation(
        n=len(unit),
        recognised=estimate(per_example(lambda x: recognised(real.classifier, x), unit)),
        classes=class_balance(real.classifier, unit, real.shares),
        frechet=frechet.from_sample(_features(real.classifier, levels), real.test),
        floor=frechet.floor(real.train, real.test, len(unit)),
    )


def _features(classifier: ConvClassifier, levels: Levels) -> Float[Tensor, "B D"]:
    with at_rest(classifier):
        return per_example(lambda part: classifier.features(to_unit(part)), levels, batch_size=250)
