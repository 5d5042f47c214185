"""A classifier of digits whose features serve to compare sets of images."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from onebound.networks import inputs
from onebound.networks.inputs import SHAPE, Images, Shape


class Features(nn.Sequential):
    """Images of one shape to what the last layer reads, which also serves by itself."""

    shape: Shape

    def forward(self, x: Images) -> Float[Tensor, "B features"]:
        """Return the features."""
        inputs.check_shape(x, self.shape)
        return super().forward(inputs.own_type(x, self)).to(x.dtype)


class ConvClassifier(nn.Module):
    """Images in [0, 1] to 11 logits, ten digits and "noise", by way of `features` numbers."""

    def __init__(self, width: int = 32, features: int = 64, shape: Shape = SHAPE) -> None:
        super().__init__()
        inputs.check_built_for(shape, width=width, features=features)
        deep, places = 2 * width, (shape[1] // 8) * (shape[2] // 8)
        self.features = Features(
            nn.PixelUnshuffle(2),  # each 2 x 2 patch becomes channels: half of height and width
            *_block(4 * shape[0], width),
            *_block(width, deep, stride=2),  # a quarter
            *_block(deep, deep),
            *_block(deep, deep),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(places * deep, features),
            nn.SiLU(),
        )
        self.features.shape = shape
        self.head = nn.Linear(features, 11)

    def forward(self, x: Images) -> Float[Tensor, "B 11"]:
        """Return logits."""
        return self.head(inputs.own_type(self.features(x), self.head)).to(x.dtype)


def _block(before: int, after: int, stride: int = 1) -> Sequence[nn.Module]:
    # The normalisation has a shift of its own.
    convolution = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.SiLU()]
