"""Two unbiased estimates of the gradient of E_q[f(z)] with respect to the parameters of q.

q is a diagonal Gaussian with mean `mu` and log-variance `logvar`, each of shape (d,). The draws are
z = mu + sigma * eps for noise `eps` of shape (S, d), so that both estimates can share them. Each
returns one estimate per draw, shape (S, 2 d): derivatives in `mu`, then in `logvar`. Average them
over the draws.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from onebound.distributions import log_prob_normal


def reparameterisation_gradient(
    f: Callable[[Tensor], Tensor], mu: Tensor, logvar: Tensor, eps: Tensor
) -> Tensor:
    """Differentiate f(mu + sigma * eps) along the draw (`[eq-reparameterisation]`).

    Parameters
    ----------
    f
        Maps latents (S, d) to one number each, shape (S,), differentiably.
    mu, logvar, eps
        Parameters of q, shape (d,), and noise from N(0, I), shape (S, d).

    Returns
    -------
    Tensor
        Shape (S, 2 d).

    Raises
    ------
    ValueError
        If the shapes do not fit together.

    References
    ----------
    Kingma and Welling (2014); Rezende, Mohamed and Wierstra (2014).
    """
    parameters = _one_copy_per_draw(mu, logvar, eps)
    values = f(_draw(*parameters, eps))
    return torch.cat(torch.autograd.grad(values.sum(), parameters), dim=1)


def score_function_gradient(
    f: Callable[[Tensor], Tensor],
    mu: Tensor,
    logvar: Tensor,
    eps: Tensor,
    baseline: float = 0.0,
) -> Tensor:
    """Weigh the score, the gradient of log q(z), with f(z) - baseline (`[eq-score-function]`).

    Parameters
    ----------
    f
        Maps latents (S, d) to one number each, shape (S,); no derivative is taken.
    mu, logvar, eps
        Parameters of q, shape (d,), and noise from N(0, I), shape (S, d).
    baseline
        A number that does not depend on the draws; any value leaves the mean unchanged.

    Returns
    -------
    Tensor
        Shape (S, 2 d).

    Raises
    ------
    ValueError
        If the shapes do not fit together.

    References
    ----------
    Williams (1992).
    """
    parameters = _one_copy_per_draw(mu, logvar, eps)
    z = _draw(*parameters, eps).detach()
    score = torch.cat(torch.autograd.grad(log_prob_normal(z, *parameters).sum(), parameters), dim=1)
    return (f(z) - baseline)[:, None].detach() * score


def _one_copy_per_draw(mu: Tensor, logvar: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    """Give each draw its own parameters: the gradient of a sum then comes out draw by draw."""
    if eps.ndim != 2 or mu.shape != eps.shape[1:] or logvar.shape != mu.shape:
        raise ValueError(
            "expected mu and logvar of shape (d,) and eps of shape (S, d), got "
            f"{tuple(mu.shape)}, {tuple(logvar.shape)} and {tuple(eps.shape)}"
        )
    own_mu, own_logvar = (p.detach().expand_as(eps).clone().requires_grad_() for p in (mu, logvar))
    return own_mu, own_logvar


def _draw(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return mu + torch.exp(0.5 * logvar) * eps
