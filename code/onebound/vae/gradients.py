"""Two unbiased estimates of the gradient of E_q[f(z)] with respect to the parameters of q.

q is a diagonal Gaussian with mean `mu` and log-variance `logvar`, of which both estimates can share
the draws z = mu + sigma * eps. f maps each to a number. Average the results over the draws: each is
the derivatives in `mu`, then in `logvar`. ValueError if the shapes do not fit together.
"""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from onebound.checks import need
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
    got = f"{tuple(mu.shape)}, {tuple(logvar.shape)} and {tuple(eps.shape)}"
    fits = eps.ndim == 2 and mu.shape == logvar.shape == eps.shape[1:]
    need(fits, f"expected mu and logvar of shape (d,) and eps of shape (S, d), got {got}")
    return (p.detach().expand_as(eps).clone().requires_grad_() for p in (mu, logvar))
