"""torch's modes inside of a fit or a prediction, whatever those of the caller are."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch


@contextmanager
def learning(device: torch.device) -> Iterator[None]:
    """Record gradients, in the types and on the devices that the engine chooses."""
    with (
        own_devices(),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
    ):
        yield


@contextmanager
def inferring(device: torch.device) -> Iterator[None]:
    """Record nothing, in the types and on the devices that the engine chooses."""
    with (
        own_devices(),
        torch.inference_mode(),
        torch.autocast(device.type, enabled=False),
    ):
        yield


def own_devices() -> AbstractContextManager[Any]:
    """Make new tensors on the CPU where no device is named, as torch itself does.

    The context costs each call of torch a little, so only another default gets one.
    """
    # torch.get_default_device knows nothing of contexts in older releases.
    cpu = torch.device("cpu")
    return nullcontext() if torch.empty(0).device == cpu else cpu
