"""Weights other than the last ones: the best that were seen, and a running average."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from skdeep.training.graphs import changing
from skdeep.training.optimizer import Adam


class BestWeights:
    """The weights with the smallest loss on rows held out, and how long ago they were.

    Parameters
    ----------
    optimizer : Adam
        Whose weights are kept.
    """

    def __init__(self, optimizer: Adam) -> None:
        self.optimizer = optimizer
        self.loss = math.inf
        self.n_since = 0
        self._weights: Tensor | None = None

    def offer(self, loss: float) -> None:
        """Keep the weights of now if their loss is the smallest so far."""
        self.n_since += 1
        if loss < self.loss:
            self.loss = loss
            self.n_since = 0
            self._weights = self.optimizer.weights.detach().clone()

    def state(self) -> dict[str, Any]:
        """Return the best weights, their loss, and how long ago they were."""
        return {"loss": self.loss, "n_since": self.n_since, "weights": self._weights}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.loss = state["loss"]
        self.n_since = state["n_since"]
        if state["weights"] is not None:
            self._weights = state["weights"].to(self.optimizer.weights)

    def restore(self) -> None:
        """Give the networks the best weights back, if any were offered."""
        if self._weights is not None:
            self.optimizer.set_weights(self._weights)


class AveragedWeights:
    r"""Exponential average of the weights over the steps of a training.

    .. math:: \bar w \leftarrow d_t \bar w + (1 - d_t) w, \qquad
              d_t = \min \Big( d, \frac{1 + t}{10 + t} \Big)

    The decay grows with the step t, so that short trainings forget their start too.

    Parameters
    ----------
    optimizer : Adam
        Whose weights are averaged.
    decay : float
        d, in [0, 1).
    """

    def __init__(self, optimizer: Adam, decay: float) -> None:
        self.optimizer = optimizer
        self.decay = decay
        self.n_steps = 0
        self._average = optimizer.weights.detach().clone()

    def state(self) -> dict[str, Any]:
        """Return the average, and the steps it was taken over."""
        return {"n_steps": self.n_steps, "average": self._average}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.n_steps = state["n_steps"]
        self._average.copy_(state["average"])

    def update(self) -> None:
        """Take the weights of now into the average."""
        share = changing(self._next_share)
        self._average.lerp_(self.optimizer.weights.detach(), share)

    def _next_share(self) -> float:
        decay = min(self.decay, (1 + self.n_steps) / (10 + self.n_steps))
        self.n_steps += 1
        return 1 - decay

    def restore(self) -> None:
        """Give the networks the averages for good."""
        self.optimizer.set_weights(self._average)


@contextmanager
def applied(kept: BestWeights | AveragedWeights | None) -> Iterator[None]:
    """Let the networks have the weights that are kept inside the context, if any."""
    if kept is None:
        yield
        return
    last = kept.optimizer.weights.detach().clone()
    kept.restore()
    try:
        yield
    finally:
        kept.optimizer.set_weights(last)
