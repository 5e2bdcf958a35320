"""The tasks of a fit, as scikit-learn's callbacks see them: fit -> phase -> epoch."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import TracebackType
from typing import Any

from skdeep.nn import Network

Snapshot = Callable[[], dict[str, Any]]


class FitTask:
    """The root of one fit's tasks; entered around all that can fail.

    If the fit raises, the estimator forgets what it had learned: nothing half-fitted
    stays behind.

    Parameters
    ----------
    estimator : BaseDeepEstimator
    X, y : array-like or None
        What callbacks are shown.
    max_subtasks : int
        Phases of the fit.
    """

    def __init__(self, estimator: Any, X: Any, y: Any, max_subtasks: int) -> None:
        self.estimator = estimator
        self.data = {"estimator": estimator, "X": X, "y": y}
        self.max_subtasks = max_subtasks
        self.begun: set[str] = set()

    def __enter__(self) -> "FitTask":
        with self._forgetting():
            self.context = self.estimator._init_callback_context(
                max_subtasks=self.max_subtasks
            )
            self.context.call_on_fit_task_begin(**self.data)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.estimator._forget()
            return
        with self._forgetting():
            self.context.call_on_fit_task_end(
                **self.data, reconstruction_attributes=dict
            )

    @contextmanager
    def _forgetting(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.estimator._forget()
            raise

    def phase(
        self, name: str, max_iter: int, snapshot: Snapshot | None = None
    ) -> "Phase":
        """Announce a phase of at most `max_iter` epochs."""
        return Phase(self, name, max_iter, snapshot)

    @contextmanager
    def leaf(self, name: str, inner: Any = None) -> Iterator[None]:
        """Wrap a task without epochs, or the fit of an inner estimator."""
        task = self.context.subcontext(task_name=name)
        with task.propagate_callback_context(inner) if inner else nullcontext():
            task.call_on_fit_task_begin(**self.data)
            yield
            task.call_on_fit_task_end(**self.data)


class Phase:
    """The epochs of one phase, and the record of their losses.

    Iterating runs the epochs: ``for epoch in phase``. The loop ends after `max_iter`
    epochs, when a callback asks for it, or after the epoch that called `stop`.

    Parameters
    ----------
    task : FitTask
    name : str
    max_iter : int
    snapshot : callable or None
        Returns what a copy of the estimator would need in order to predict now.
    """

    def __init__(
        self, task: FitTask, name: str, max_iter: int, snapshot: Snapshot | None
    ) -> None:
        self.task = task
        self.name = name
        self.max_iter = max_iter
        self.snapshot = snapshot
        self.history: dict[str, list[float]] = {}
        self.n_iter = 0
        self._stopped = False

    def __iter__(self) -> Iterator[int]:
        data = self.task.data
        self.task.begun.add(self.name)
        started = time.perf_counter()
        context = self.task.context.subcontext(
            task_name=self.name, max_subtasks=self.max_iter
        )
        context.call_on_fit_task_begin(**data)
        while self.n_iter < self.max_iter and not self._stopped:
            epoch = context.subcontext(task_name="epoch")
            epoch.call_on_fit_task_begin(**data)
            self.n_iter += 1
            yield self.n_iter
            if epoch.call_on_fit_task_end(
                **data, reconstruction_attributes=self.snapshot
            ):
                self._stopped = True
        context.call_on_fit_task_end(**data)
        self._report(time.perf_counter() - started)

    def stop(self) -> None:
        """Make the running epoch the last one."""
        self._stopped = True

    def record(self, losses: dict[str, float]) -> None:
        """Append the losses of an epoch to `history`.

        Raises
        ------
        FloatingPointError
            If one of them is not finite.
        """
        for name, value in losses.items():
            self._require_finite(name, value)
            self.history.setdefault(name, []).append(value)

    def check_weights(self, networks: list[Network]) -> None:
        """Raise as `record` does if the last step made a weight infinite or NaN."""
        for network in networks:
            for weight in network.parameters():
                self._require_finite("a weight", float(weight.detach().sum()))

    def _require_finite(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            raise FloatingPointError(
                f"{type(self.task.estimator).__name__} diverged: {name} became "
                f"{value} in epoch {self.n_iter} of phase {self.name!r}. Try a "
                "smaller learning_rate, scale='standard', or look for extreme "
                "values in X."
            )

    def _report(self, seconds: float) -> None:
        estimator = self.task.estimator
        if estimator.verbose:
            losses = ", ".join(f"{k} {v[-1]:.4g}" for k, v in self.history.items())
            sys.stdout.write(
                f"{type(estimator).__name__} {self.name}: {self.n_iter} epochs, "
                f"{seconds:.1f} s, {losses}\n"
            )
