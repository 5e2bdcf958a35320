"""torch's modes inside of a fit or a prediction, whatever those of the caller are."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from skdeep.training.shared import SharedSetting


@contextmanager
def learning(device: torch.device) -> Iterator[None]:
    """Record gradients, in the types and on the devices that the engine chooses."""
    with (
        own_devices(),
        FLOAT32_PRODUCTS.inside(),
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
        FLOAT32_PRODUCTS.inside(),
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


def multiply_float32() -> dict[Any, str]:
    """Multiply float32 numbers as such on the CPU; return what torch was told to do.

    The setting of GPUs, TF32, is left to the caller, and so is that of torch before
    2.9, which is one for all devices.
    """
    products = torch.backends.mkldnn
    names = [name for name in ("matmul", "conv") if hasattr(products, name)]
    backends = [getattr(products, name) for name in names]
    before = {backend: backend.fp32_precision for backend in backends}
    for backend in backends:
        backend.fp32_precision = "ieee"
    return before


def multiply_as_before(before: dict[Any, str]) -> None:
    """Give the setting of the caller back."""
    for backend, precision in before.items():
        backend.fp32_precision = "none"
        # What it had from a more general setting it has again.
        if backend.fp32_precision != precision:
            backend.fp32_precision = precision


FLOAT32_PRODUCTS = SharedSetting(multiply_float32, multiply_as_before)
"""The type in which torch multiplies float32 numbers, of the whole process."""
