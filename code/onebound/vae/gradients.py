"""Two unbiased estimates of the gradient of E_q[f(z)] with respect to the parameters of q.

q is a diagonal Gaussian with mean `mu` and log-variance `logvar`. The draws are
z = mu + sigma * eps, with noise from N(0, I), so that both estimates can share them. f maps all of
them to one number each. The result is one estimate per draw: derivatives in `mu`, then in `logvar`.
Average over the draws. ValueError if the shapes do not fit together.
"""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from onebound.distributions import log_prob_normal

Vector = Float[Tensor, "d"]
Draws = Float[Tensor, "S d"]


def reparameterisation_gradient(
    f: Callable[[Tensor], Tensor], mu: Vector, logvar: Vector, eps: Draws
) -> Float[Tensor, "S 2*d"]:
    """Differentiate f(mu + sigma * eps) along the draw (`[eq-reparameterisation]`).

    Kingma and Welling (2014); Rezende, Mohamed and Wierstra (2014).
    """
    mu, logvar = _one_copy_per_draw(mu, logvar, eps)
    values = f(mu + torch.exp(0.5 * logvar) * eps)
    return torch.cat(torch.autograd.grad(values.sum(), (mu, logvar)), dim=1)


def score_function_gradient(
    f: Callable[[Tensor], Tensor], mu: Vector, logvar: Vector, eps: Draws, baseline: float = 0.0
) -> Float[Tensor, "S 2*d"]:
    """Weigh the score, the gradient of log q(z), with f(z) - baseline (`[eq-score-function]`).

    No derivative of f is taken. Any baseline that does not depend on the draws leaves the mean
    unchanged. Williams (1992).
    """
    mu, logvar = _one_copy_per_draw(mu, logvar, eps)
    z = (mu + torch.exp(0.5 * logvar) * eps).detach()
    log_q = log_prob_normal(z, mu, logvar)
    score = torch.cat(torch.autograd.grad(log_q.sum(), (mu, logvar)), dim=1)
    return (f(z) - baseline)[:, None].detach() * score


def _one_copy_per_draw(mu: Tensor, logvar: Tensor, eps: Tensor) -> Iterator[Tensor]:
    """Give each draw its own parameters: the gradient of a sum then comes out draw by draw."""
    if eps.ndim != 2 or mu.shape != eps.shape[1:] or logvar.shape != mu.shape:
        raise ValueError(
            "expected mu and logvar of shape (d,) and eps of shape (S, d), got "
            f"{tuple(mu.shape)}, {tuple(logvar.shape)} and {tuple(eps.shape)}"
        )
    return (p.detach().expand_as(eps).clone().requires_grad_() for p in (mu, logvar))
