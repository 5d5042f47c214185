import pytest
import torch
import torch.nn.functional as F

from onebound.evaluation.quality import NOISE, recognised, sharpness
from onebound.networks.classifier import ConvClassifier


@pytest.fixture
def images():
    return torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(1))


@pytest.mark.equation("eq-sharpness", "eq-sharpness-spectrum")
def test_sharpness_of_a_wave_is_its_squared_frequency_on_the_grid():
    row = torch.arange(28, dtype=torch.float64)[:, None]
    for cycles in (1, 3, 14):
        wave = torch.cos(2 * torch.pi * cycles * row / 28 + 0.3).expand(1, 1, 28, 28)
        expected = 4 * torch.sin(torch.tensor(torch.pi * cycles / 28)) ** 2
        assert sharpness(wave).item() == pytest.approx(expected.item(), rel=1e-6)
        assert sharpness(wave.mT).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.equation("eq-sharpness")
def test_sharpness_of_one_white_pixel_by_hand():
    x = torch.zeros(1, 1, 28, 28)
    x[0, 0, 0, 0] = 1  # four differences of 1; variance times 784 is 1 - 1/784
    assert sharpness(x).item() == pytest.approx(4 / (1 - 1 / 784))


def test_sharpness_ignores_contrast_brightness_and_place(images):
    expected = sharpness(images)
    torch.testing.assert_close(sharpness(0.3 * images + 7), expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(sharpness(images.roll((3, 20), dims=(2, 3))), expected)


def test_a_blur_lowers_sharpness_and_noise_has_four(images):
    kernel = torch.full((1, 1, 3, 3), 1 / 9)
    blurred = F.conv2d(F.pad(images, (1, 1, 1, 1), mode="circular"), kernel)
    assert (sharpness(blurred) < 0.5 * sharpness(images)).all()
    noise = torch.randn(400, 1, 28, 28, generator=torch.Generator().manual_seed(2))
    values = sharpness(noise)
    expected = 4 * 784 / 783
    assert abs(values.mean() - expected) < 4 * values.std() / 20


def test_a_flat_image_has_no_sharpness(images):
    images[3] = 0.5
    with pytest.raises(ValueError, match="image 3 has no variance"):
        sharpness(images)
    images[2, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="image 2 has no variance"):
        sharpness(images)


def test_recognised_means_surer_of_a_digit_than_asked():
    def classifier(x):  # the first pixel is the probability of class 3, the second of noise
        p = x[:, 0, 0, :2]
        rest = ((1 - p.sum(1, keepdim=True)) / 9).expand(-1, 9)
        return torch.cat([rest[:, :3], p[:, :1], rest[:, 3:], p[:, 1:]], dim=1).log()

    x = torch.zeros(4, 1, 28, 28)
    x[:, 0, 0, 0] = torch.tensor([0.96, 0.94, 0.01, 1.7])  # the last is cut to 1
    x[2, 0, 0, 1] = 0.98
    assert recognised(classifier, x).tolist() == [1.0, 0.0, 0.0, 1.0]
    assert recognised(classifier, x, confidence=0.9).tolist() == [1.0, 1.0, 0.0, 1.0]
    assert classifier(x).shape[1] == NOISE + 1


def test_the_mode_of_a_classifier_changes_no_verdict_and_stays(images):
    torch.manual_seed(0)
    classifier = ConvClassifier(width=4, features=8)
    classifier(images)  # moves the running means
    with torch.no_grad():
        classifier.head.weight *= 30
    expected = recognised(classifier.eval(), images, 0.3)
    classifier.train()
    classifier.head.eval()
    before = {name: buffer.clone() for name, buffer in classifier.named_buffers()}
    assert torch.equal(recognised(classifier, images, 0.3), expected)
    assert torch.equal(recognised(classifier, images[:1], 0.3), expected[:1])
    assert classifier.training
    assert not classifier.head.training
    assert all(torch.equal(b, before[name]) for name, b in classifier.named_buffers())


def test_images_that_the_classifier_does_not_know_are_refused():
    with pytest.raises(ValueError, match=r"1, 28, 28\).*got shape \(2, 1, 24, 24\)"):
        recognised(ConvClassifier(width=1), torch.rand(2, 1, 24, 24))
    with pytest.raises(ValueError, match="from nan"):
        recognised(ConvClassifier(width=1), torch.full((2, 1, 28, 28), torch.nan))


def test_a_classifier_of_other_classes_is_refused(images):
    with pytest.raises(ValueError, match=r"expected 11 logits an image, got \(5, 10\)"):
        recognised(lambda x: torch.zeros(len(x), 10), images)


def test_sharpness_of_levels_is_refused_and_of_any_images_known(images):
    with pytest.raises(ValueError, match=r"floating-point .* got torch.uint8"):
        sharpness((255 * images).to(torch.uint8))
    three = images.repeat(1, 3, 1, 2)  # tiled, it is as sharp
    torch.testing.assert_close(sharpness(three), sharpness(images), rtol=1e-5, atol=0)
