"""What the tests of the package share."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seed():
    """Draw the same in every test, whatever ran before it in this process."""
    torch.manual_seed(0)
