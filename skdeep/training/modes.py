"""torch's modes inside of a fit or a prediction, whatever those of the caller are."""

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

_lock = threading.Lock()
_n_inside = 0
_callers_precisions: list[str] = []


def _begin_in_child() -> None:
    # The parent's other threads, one of which may hold the lock, are not in a child.
    global _lock, _n_inside
    _lock = threading.Lock()
    _n_inside = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)


@contextmanager
def learning(device: torch.device) -> Iterator[None]:
    """Record gradients, in the types and on the devices that the engine chooses."""
    with (
        own_devices(),
        float32_products(),
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
        float32_products(),
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


@contextmanager
def float32_products() -> Iterator[None]:
    """Multiply float32 numbers as such on the CPU, where torch may be told not to.

    The setting is one for the whole process: the first of several fits at once changes
    it, and the last gives it back. That of GPUs, TF32, is left to the caller.
    """
    global _n_inside, _callers_precisions
    backends = [
        getattr(torch.backends.mkldnn, name)
        for name in ("matmul", "conv")
        if hasattr(torch.backends.mkldnn, name)  # since torch 2.9
    ]
    with _lock:
        if _n_inside == 0:
            _callers_precisions = [backend.fp32_precision for backend in backends]
            for backend in backends:
                backend.fp32_precision = "ieee"
        _n_inside += 1
    try:
        yield
    finally:
        with _lock:
            _n_inside -= 1
            if _n_inside == 0:
                for backend, before in zip(backends, _callers_precisions, strict=True):
                    backend.fp32_precision = "none"
                    # What it had from a more general setting it has again.
                    if backend.fp32_precision != before:
                        backend.fp32_precision = before
