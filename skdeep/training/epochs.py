"""Batches, epochs and step sizes.

A *step* takes the row numbers of a batch, makes one update and returns its losses. It
is a closure of the estimator's `fit` and fetches the rows, targets or partners it
needs. What is here knows nothing of losses or networks.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from skdeep.training.graphs import Step, at_each_step, depends_on_host, repeated
from skdeep.training.optimizer import Adam
from skdeep.training.tasks import Phase

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Batches:
    """Row numbers of the batches of an epoch, shuffled anew each time.

    A last batch of one row is joined to the one before it.

    Parameters
    ----------
    n_samples : int
    size : int
        Rows of a batch.
    rng : Generator
        Of the shuffles, on the CPU: a seed shuffles alike on every device.
    device : torch.device
        Where the row numbers are wanted.
    """

    n_samples: int
    size: int
    rng: Generator
    device: torch.device = CPU

    def __len__(self) -> int:
        return n_batches(self.n_samples, self.size)

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.randperm(self.n_samples, generator=self.rng).to(self.device)
        n_before_last = (len(self) - 1) * int(self.size)
        if n_before_last:
            yield from order[:n_before_last].split(int(self.size))
        yield order[n_before_last:]

    @property
    def first_size(self) -> int:
        """Rows of the first batch, and of all but the last."""
        return self.n_samples if len(self) == 1 else int(self.size)

    def epochs(self, max_iter: int | str, n_steps: int, most: int = 200) -> int:
        """Epochs that `max_iter` asks for; "auto": as many as make about `n_steps`.

        But at least 2 and at most `most`: long tables are seen twice, and short ones,
        of which each epoch makes few steps, not thousands of times.
        """
        if max_iter != "auto":
            return int(max_iter)
        return min(max(math.ceil(n_steps / len(self)), 2), most)


def n_batches(n_samples: int, batch_size: int) -> int:
    """Batches of an epoch."""
    # NumPy's narrow integers overflow.
    full, rest = divmod(n_samples, int(batch_size))
    return full + (rest > 1 or full == 0)


def train_epoch(step: Step, batches: Batches) -> dict[str, float]:
    """Step through one epoch and return the mean of each loss over its rows.

    The step takes the row numbers of a batch and returns a dict of scalar tensors.
    """
    step = repeated(step, len(batches), batches.first_size, batches.device)
    return mean_losses(step, batches)


def mean_losses(step: Step, batches: Batches) -> dict[str, float]:
    """Step through one epoch, and return the mean of each loss over its rows."""
    totals: dict[str, Tensor] = {}
    for index in batches:
        # A loss may hold on to a tensor of the size of the batch: only its number is
        # kept, and no name for it when the next batch is read. And it stays where it
        # is: to read it here would wait for the device.
        n = index.shape[0]
        losses = {name: loss.detach() for name, loss in step(index).items()}
        for name, loss in losses.items():
            if name in totals:
                totals[name].add_(loss, alpha=n)
            else:
                totals[name] = loss * n
    return {name: float(total) / batches.n_samples for name, total in totals.items()}


def train(
    step: Step,
    batches: Batches,
    phase: Phase,
    after_epoch: Callable[[Phase], dict[str, float]] | None = None,
) -> None:
    """Run the epochs of `phase` with nothing but `after_epoch` between them.

    It may stop the phase, and returns further numbers for the record.
    """
    n_steps = phase.max_iter * len(batches)
    step = repeated(step, n_steps, batches.first_size, batches.device)
    for _ in phase:
        phase.record(mean_losses(step, batches))
        if after_epoch is not None:
            phase.record(after_epoch(phase))


def descend(optimizer: Adam, step: Step, batches: Batches, phase: Phase) -> None:
    """Run the epochs of a phase that one optimiser steps, and check what it moved."""
    with optimizer.training():
        train(step, batches, phase)
    phase.check_weights(optimizer)


class OneCycle:
    """Learning rate that warms up over a tenth of the steps and then anneals to zero.

    Parameters
    ----------
    optimizer : Adam
        Whose learning rate is the largest.
    n_steps : int
        Steps of the whole training.
    """

    def __init__(self, optimizer: Adam, n_steps: int) -> None:
        self.optimizer = optimizer
        self.peak = optimizer.learning_rate
        self.n_warm_up = max(1, n_steps // 10)
        self.n_steps = n_steps
        self.step_number = 0

    @property
    def warms_up(self) -> bool:
        """Whether the next step, which does something else then, is before the peak."""
        warms_up = self.step_number < self.n_warm_up
        if warms_up:
            depends_on_host()
        return warms_up

    def state(self) -> dict[str, Any]:
        """How far the course is."""
        return {"step_number": self.step_number}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.step_number = state["step_number"]

    def advance(self) -> None:
        """Set the learning rate of the next step."""
        at_each_step(self._advance)

    def _advance(self) -> None:
        if self.step_number < self.n_warm_up:
            start, end = 1 / 25, 1.0
            progress = self.step_number / self.n_warm_up
        else:
            start, end = 1.0, 0.0
            n_left = max(1, self.n_steps - self.n_warm_up)
            progress = (self.step_number - self.n_warm_up) / n_left
        share = (1 - math.cos(math.pi * min(progress, 1.0))) / 2
        self.optimizer.learning_rate = self.peak * (start + (end - start) * share)
        self.step_number += 1
