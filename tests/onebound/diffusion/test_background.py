import pytest
import torch

from onebound.diffusion.background import Background, fit_background
from onebound.diffusion.schedules import cosine_schedule, log_snr_schedule

SHARES = torch.linspace(0.05, 0.95, 784, dtype=torch.float64).reshape(1, 28, 28)
PIXELS = Background(SHARES, 0.3, 0.4)


@pytest.mark.equation("eq-background-share", "eq-background-moments")
@pytest.mark.parametrize("schedule", [cosine_schedule(40), log_snr_schedule(40)])
def test_the_moments_are_those_of_a_sum_over_many_atoms(schedule):
    # Ink on a fine grid, and Bayes' rule by brute force.
    generator = torch.Generator().manual_seed(0)
    ink = torch.linspace(-5, 6, 20_001, dtype=torch.float64)
    weight = torch.exp(-((ink - 0.3) ** 2) / 0.8)
    atoms = torch.cat([torch.tensor([-1.0]).double(), ink])
    t = torch.tensor([1, 3, 17, 39, 40])
    x_t = torch.randn(5, 1, 28, 28, dtype=torch.float64, generator=generator)
    mean, deviation = PIXELS.moments(schedule, x_t, t)
    for row, step in enumerate(t):
        alpha_bar = schedule.alpha_bar[step]
        for place in (0, 400, 783):
            share = SHARES.flatten()[place]
            prior = torch.cat([share[None], (1 - share) * weight / weight.sum()])
            seen = x_t[row].flatten()[place]
            squares = (seen - alpha_bar.sqrt() * atoms) ** 2 / (2 * (1 - alpha_bar))
            posterior = (prior.log() - squares).softmax(0)
            centre = posterior @ atoms
            spread = (posterior @ (atoms - centre) ** 2).sqrt()
            # At t = 1 the grid is no finer than the noise.
            close = {"abs": 2e-3 if step == 1 else 1e-6}
            assert mean[row].flatten()[place].item() == pytest.approx(centre.item(), **close)
            assert deviation[row].flatten()[place].item() == pytest.approx(spread.item(), **close)


def test_a_clean_pixel_of_background_is_certain():
    schedule = log_snr_schedule(40)
    x_t = torch.full((1, 1, 28, 28), -1.0) * schedule.alpha_bar[1].sqrt()
    mean, deviation = PIXELS.moments(schedule, x_t.float(), torch.tensor([1]))
    torch.testing.assert_close(mean, torch.full_like(mean, -1.0), rtol=0, atol=1e-4)
    assert (deviation < 0.01).all()


def test_a_certain_pixel_has_a_derivative():
    background = Background(torch.full((1, 1, 1), 0.99999), 0.2, 0.3)
    x_t = torch.tensor([-1.0, 0.5]).reshape(2, 1, 1, 1).requires_grad_()
    _, deviation = background.moments(log_snr_schedule(10), x_t, torch.ones(2, dtype=torch.int64))
    deviation.sum().backward()
    assert deviation[0] < 1e-15
    assert torch.isfinite(x_t.grad).all()


def test_the_residual_counts_standard_deviations():
    schedule = cosine_schedule(40)
    x_t, t = torch.randn(3, 1, 28, 28), torch.tensor([2, 20, 40])
    mean, deviation = PIXELS.moments(schedule, x_t, t)
    residual = torch.randn_like(x_t)
    found = PIXELS.x_0_from_residual(schedule, x_t, residual, t)
    torch.testing.assert_close(found, mean + deviation * residual)
    assert found.dtype == torch.float32


def test_counting():
    images = torch.zeros(8, 1, 28, 28, dtype=torch.uint8)
    images[:6, 0, 0, 0] = 255
    images[:2, 0, 3, 4] = 51
    pixels = fit_background(images)
    assert pixels.share.shape == (1, 28, 28)
    assert pixels.share[0, 0, 0].item() == pytest.approx(3 / 10)
    assert pixels.share[0, 3, 4].item() == pytest.approx(7 / 10)
    assert pixels.share[0, 9, 9].item() == pytest.approx(9 / 10)
    ink = torch.tensor([1.0] * 6 + [-0.6] * 2)
    assert pixels.mean == pytest.approx(ink.mean().item())
    assert pixels.variance == pytest.approx(ink.var(correction=0).item())


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="shape"):
        PIXELS.x_0_from_residual(
            cosine_schedule(4),
            torch.zeros(2, 1, 28, 28),
            torch.zeros(1, 1, 28, 28),
            torch.ones(2).long(),
        )
    with pytest.raises(ValueError, match="uint8"):
        fit_background(torch.zeros(2, 1, 28, 28))
