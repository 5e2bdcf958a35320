"""How many threads a fit takes.

On free cores a second thread speeds a small network up by a quarter. On cores that
others use as well, each of its many short operations waits for the slower of the two,
and a fit takes ten times as long. One thread costs little and is safe, and its results
do not depend on the number of cores. A process that was forked has one thread, of which
torch is told.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from skdeep.nn import Network
from skdeep.training.precision import is_convolutional, n_weights

SMALL = 1_000_000
"""Weights up to which dense networks train on one thread."""

_local = threading.local()
_lock = threading.Lock()
_n_inside = 0
_callers_threads = 1


def _begin_in_child() -> None:
    # The threads of the parent are not in a forked child, and torch, which would wait
    # for them for ever, has to be told. Nor are the parent's other fits there.
    global _lock, _n_inside
    _lock = threading.Lock()
    _n_inside = 0
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)


@contextmanager
def bounded_threads(networks: list[Network]) -> Iterator[None]:
    """Train small networks on one thread, and give the caller's setting back."""
    global _n_inside, _callers_threads
    is_large = is_convolutional(networks) or n_weights(networks) > SMALL
    if is_large or getattr(_local, "is_inside", False):
        yield
        return
    # torch keeps the number for each Python thread, but starts new ones with the last
    # number that any set. Fits at once in several threads all restore the first's.
    with _lock:
        if _n_inside == 0:
            _callers_threads = torch.get_num_threads()
        _n_inside += 1
    torch.set_num_threads(1)
    _local.is_inside = True
    try:
        yield
    finally:
        _local.is_inside = False
        torch.set_num_threads(_callers_threads)
        with _lock:
            _n_inside -= 1
