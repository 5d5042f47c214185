import pytest
import torch

from onebound.networks.classifier import ConvClassifier


@pytest.fixture
def x():
    return torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(1))


def test_logits_are_linear_in_the_features(x):
    classifier = ConvClassifier(width=4, features=5).eval()
    features = classifier.features(x)
    assert features.shape == (6, 5)
    expected = features @ classifier.head.weight.T + classifier.head.bias
    torch.testing.assert_close(classifier(x), expected)
    assert classifier(x).shape == (6, 11)


def test_every_parameter_gets_a_gradient(x):
    classifier = ConvClassifier(width=4, features=5)
    classifier(x).square().sum().backward()
    for name, parameter in classifier.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_an_image_is_judged_alone_as_in_a_batch_once_training_is_over(x):
    classifier = ConvClassifier(width=4)
    classifier(x)  # moves the running means
    classifier.eval()
    torch.testing.assert_close(classifier(x)[2:3], classifier(x[2:3]))


@pytest.mark.parametrize("name", ["width", "features"])
def test_a_size_below_one_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be"):
        ConvClassifier(**{name: 0})
