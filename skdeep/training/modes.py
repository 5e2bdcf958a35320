"""torch's modes inside of a fit or a prediction, whatever those of the caller are."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def learning(device: torch.device) -> Iterator[None]:
    """Record gradients, and compute in the types that the engine chooses."""
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
    ):
        yield


@contextmanager
def inferring(device: torch.device) -> Iterator[None]:
    """Record nothing, and compute in the types that the engine chooses."""
    with torch.inference_mode(), torch.autocast(device.type, enabled=False):
        yield
