"""How many threads a fit takes.

On free cores a second thread speeds a small network up by a quarter. On cores that
others use as well, each of its many short operations waits for the slower of the two,
and a fit takes ten times as long. One thread costs little and is safe, and its results
do not depend on the number of cores. Large networks gain two thirds, and take twice as
long on busy cores. A process that was forked has one thread, of which
torch is told.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from skdeep.nn import Network
from skdeep.training.precision import is_large
from skdeep.training.shared import SharedSetting

_local = threading.local()

CALLERS_THREADS = SharedSetting(torch.get_num_threads)
"""Number of threads before any fit bounded it."""

if hasattr(os, "register_at_fork"):
    # torch would wait for ever for the threads of the parent, which a child lacks.
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


@contextmanager
def bounded_threads(networks: list[Network]) -> Iterator[None]:
    """Train small networks on one thread, and give the caller's setting back."""
    if is_large(networks) or getattr(_local, "is_inside", False):
        yield
        return
    # torch keeps the number for each Python thread, but starts new ones with the last
    # number that any set. Fits at once in several threads all restore the first's.
    with CALLERS_THREADS.inside() as callers_threads:
        torch.set_num_threads(1)
        _local.is_inside = True
        try:
            yield
        finally:
            _local.is_inside = False
            torch.set_num_threads(callers_threads)
