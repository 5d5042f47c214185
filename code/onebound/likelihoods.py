"""Likelihoods p(x|z) of images, as functions of what a decoder puts out.

Each `log_prob_*` returns nats per image, shape (B,): the sum over pixels, never the mean.
"""

import torch.nn.functional as F
from torch import Tensor

from onebound.checks import check_binary, check_images


def log_prob_bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    """Log-probability of binary images under independent Bernoulli pixels (`[eq-bernoulli]`).

    Parameters
    ----------
    x
        Images with pixels in {0, 1}, shape (B, 1, 28, 28).
    logits
        Log-odds of a white pixel, any real number, the shape of `x`.

    Returns
    -------
    Tensor
        Nats, shape (B,), never positive.

    Raises
    ------
    ValueError
        If a pixel is neither 0 nor 1, or the shapes differ.
    """
    check_binary(x)
    return _bernoulli_sum(x, logits)


def cross_entropy_grey(x: Tensor, logits: Tensor) -> Tensor:
    """Minus the binary cross-entropy between grey levels and pixel probabilities.

    The formula of `log_prob_bernoulli` applied to pixels in [0, 1]. On grey levels it is the log
    of no probability. It is the mean of `log_prob_bernoulli` over images binarised with the grey
    levels as probabilities (`[eq-grey-cross-entropy]`).

    Parameters
    ----------
    x
        Images in [0, 1], shape (B, 1, 28, 28).
    logits
        Log-odds, the shape of `x`.

    Returns
    -------
    Tensor
        Nats, shape (B,).

    Raises
    ------
    ValueError
        If a pixel lies outside [0, 1], or the shapes differ.
    """
    check_images(x, 0, 1)
    return _bernoulli_sum(x, logits)


def _bernoulli_sum(x: Tensor, logits: Tensor) -> Tensor:
    if x.shape != logits.shape:
        raise ValueError(
            f"images {tuple(x.shape)} and logits {tuple(logits.shape)} differ in shape"
        )
    # x log pi + (1 - x) log(1 - pi) with pi = sigmoid(logits), and no overflow for any logit.
    return (x * logits - F.softplus(logits)).flatten(1).sum(1)
