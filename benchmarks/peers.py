"""ClustPy, silenced; left out where it is not installed."""

import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.metadata import version
from io import StringIO
from typing import Any

import numpy as np
import torch

try:
    from clustpy.deep import DCN, DEC, IDEC, VaDE
    from clustpy.deep.neural_networks import FeedforwardAutoencoder
except ImportError:
    CLUSTPY = None
else:
    CLUSTPY = version("clustpy")
"""Version of ClustPy, None if it cannot be imported."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Silence a peer, and restore the global generators, which it seeds."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        with (
            redirect_stdout(StringIO()),
            redirect_stderr(StringIO()),
            warnings.catch_warnings(action="ignore"),
        ):
            yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def clustpy_autoencoder(
    X: np.ndarray, widths: Sequence[int], batch_size: int, n_epochs: int
) -> Any:
    """Fit a feed-forward autoencoder of ClustPy."""
    with undisturbed():
        return FeedforwardAutoencoder(list(widths), random_state=0).fit(
            n_epochs, {"lr": 1e-3}, batch_size, X
        )


def clustpy_clusterer(name: str, X: np.ndarray, **parameters: Any) -> Any:
    """Fit a clusterer of ClustPy; a fitted network is not pretrained."""
    with undisturbed():
        peers = {"DEC": DEC, "IDEC": IDEC, "DCN": DCN, "VaDE": VaDE}
        return peers[name](**parameters).fit(X)
