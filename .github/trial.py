"""What a reader does with the installed package, for a minute: train a little, and draw."""

import torch

from onebound.data.images import to_signed
from onebound.data.mnist import load_mnist
from onebound.diffusion.denoisers import clipped, even_steps, respaced
from onebound.diffusion.loss import denoising_loss, stratified_t
from onebound.diffusion.samplers import ancestral, last
from onebound.training.run import train
from onebound.zoo import unet_small

SCHEDULE = unet_small.SCHEDULE


def main() -> None:
    """Train on 2,000 digits; the loss falls, and samples are images."""
    network = unet_small.build()
    denoise = unet_small.denoiser_of(network)
    images = to_signed(load_mnist().train_images[:2000])

    def loss(x_0: torch.Tensor) -> torch.Tensor:
        t = stratified_t(len(x_0), SCHEDULE.T).to(x_0.device)
        weight = SCHEDULE.snr / (1 + SCHEDULE.snr) / 784
        return denoising_loss(SCHEDULE, denoise, x_0, torch.randn_like(x_0), t, weight)

    losses = [epoch.loss for epoch in train(network, loss, images, epochs=3, batch_size=32)]
    assert losses[-1] < losses[0], losses
    coarse, known = respaced(SCHEDULE, clipped(denoise), even_steps(SCHEDULE.T, 10))
    samples = last(ancestral(coarse, known, torch.randn(4, 1, 28, 28)))
    assert samples.isfinite().all()
    assert samples.abs().max() <= 1
    print(f"loss {losses[0]:.3f}, then {losses[-1]:.3f}; {len(samples)} digits drawn")


if __name__ == "__main__":
    main()
