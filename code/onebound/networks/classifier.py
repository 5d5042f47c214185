"""A classifier of digits whose features serve to compare sets of images."""

from collections.abc import Sequence

from torch import Tensor, nn

from onebound.checks import check_positive


class ConvClassifier(nn.Module):
    """Images (B, 1, 28, 28) in [0, 1] to 11 logits, (B, 11): ten digits, and "noise".

    Convolutions at 14 x 14 and 7 x 7 pixels, then `features` numbers, then one linear layer.
    """

    def __init__(self, width: int = 32, features: int = 64) -> None:
        super().__init__()
        check_positive("width", width)
        check_positive("features", features)
        deep = 2 * width
        self.features = nn.Sequential(
            nn.PixelUnshuffle(2),  # each 2 x 2 patch becomes 4 channels: 14 x 14
            *_block(4, width),
            *_block(width, deep, stride=2),  # 7 x 7
            *_block(deep, deep),
            *_block(deep, deep),
            nn.MaxPool2d(2),  # 3 x 3
            nn.Flatten(),
            nn.Linear(9 * deep, features),
            nn.SiLU(),
        )
        self.head = nn.Linear(features, 11)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        return self.head(self.features(x))


def _block(before: int, after: int, stride: int = 1) -> Sequence[nn.Module]:
    # The normalisation has a shift of its own.
    convolution = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.SiLU()]
