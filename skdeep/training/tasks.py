"""The tasks of a fit, as scikit-learn's callbacks see them: fit -> phase -> epoch."""

import copy
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from numbers import Integral
from types import TracebackType
from typing import Any, Protocol

from skdeep.training.modes import learning
from skdeep.training.moving import Thing, give_state, state_of
from skdeep.training.optimizer import Adam

Snapshot = Callable[[], dict[str, Any]]


class PhaseStore(Protocol):
    """Where the states of phases are kept, and found again by a later fit."""

    def kept_seeds(self, name: str, drawn: list[int]) -> list[int]:
        """Seeds that the fit to be resumed drew under a name, else those drawn now."""

    def save(self, phase: "Phase") -> None:
        """Look at a phase after an epoch, and keep its state if it is time for it."""

    def restore(self, phase: "Phase") -> None:
        """Give a phase that begins the last state that was kept of it, if any was."""


class FitTask:
    """The root of one fit's tasks; entered around all that can fail.

    If the fit raises, the estimator forgets what it had learned: nothing half-fitted
    stays behind. One that goes on with an earlier fit keeps that as it was.

    Parameters
    ----------
    estimator : BaseDeepEstimator
    X, y : array-like or None
        What callbacks are shown.
    max_subtasks : int
        Phases of the fit.
    goes_on : bool
        Whether it goes on with an earlier fit.
    """

    def __init__(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        max_subtasks: int,
        goes_on: bool = False,
    ) -> None:
        self.estimator = estimator
        self.data = {"estimator": estimator, "X": X, "y": y}
        self.max_subtasks = max_subtasks
        self.goes_on = goes_on
        self.before = dict(vars(estimator)) if goes_on else None
        self.begun: dict[str, bool] = {}
        self.running: Phase | None = None
        self.outer: FitTask | None = None
        self._interrupted_phase: Phase | None = None
        self.store: PhaseStore | None = None

    def __enter__(self) -> "FitTask":
        with ExitStack() as modes, self._forgetting():
            modes.enter_context(learning(self.estimator._device()))
            self.context = self.estimator._init_callback_context(
                max_subtasks=self.max_subtasks
            )
            self.context.skdeep_task = self
            self.outer = task_around(self.context.parent)
            self.context.call_on_fit_task_begin(**self.data)
            self._modes = modes.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._modes.close()
        try:
            if error is not None:
                self._clear()
                return
            with self._forgetting():
                self.context.call_on_fit_task_end(
                    **self.data, reconstruction_attributes=dict
                )
        finally:  # task and context know each other: data would wait for the collector
            self.context.skdeep_task = None
            self.data = {}

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        # Copies that a callback makes of the estimator are not being fitted.
        return type(None), ()

    @property
    def interrupted_phase(self) -> "Phase | None":
        """Phase that was interrupted, in the whole fit that this is a part of."""
        if self.outer is not None:
            return self.outer.interrupted_phase
        return self._interrupted_phase

    @interrupted_phase.setter
    def interrupted_phase(self, phase: "Phase") -> None:
        if self.outer is not None:
            self.outer.interrupted_phase = phase
        else:
            self._interrupted_phase = phase

    def begin(self, phase_name: str, predicts: bool = False) -> None:
        """Note that a phase begins, here and in the fits around this one.

        And whether a copy of the estimator predicts after each of its epochs.
        """
        self.begun[phase_name] = predicts or self.begun.get(phase_name, False)
        if self.outer is not None:
            self.outer.begin(phase_name, predicts)

    def seeds(self, estimator: Any, n_seeds: int) -> list[int]:
        """One seed a purpose: an estimator draws them before anything else.

        Those of the fit that is resumed, if one is.
        """
        seeds: list[int] = estimator._seeds(n_seeds)
        if self.store is None or isinstance(estimator.random_state, Integral):
            return seeds
        return self.store.kept_seeds(type(estimator).__name__, seeds)

    @contextmanager
    def _forgetting(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._clear()
            raise

    def _clear(self) -> None:
        if self.before is None:
            self.estimator._forget()
        else:
            self.estimator.__dict__.clear()
            self.estimator.__dict__.update(self.before)

    def phase(
        self, name: str, max_iter: int, snapshot: Snapshot | None = None
    ) -> "Phase":
        """Announce a phase of at most `max_iter` epochs."""
        return Phase(self, name, max_iter, snapshot)

    @contextmanager
    def leaf(self, name: str, inner: Any = None) -> Iterator[None]:
        """Wrap a task without epochs, or the fit of an inner estimator.

        That gets parts of the callbacks, beside its own.
        """
        task = self.context.subcontext(task_name=name)
        with ExitStack() as stack:
            if inner is not None:
                stack.enter_context(self._callbacks_of(inner, name))
                stack.enter_context(task.propagate_callback_context(inner))
            task.call_on_fit_task_begin(**self.data)
            yield
            task.call_on_fit_task_end(**self.data)

    @contextmanager
    def _callbacks_of(self, inner: Any, name: str) -> Iterator[None]:
        own, ours = (
            getattr(estimator, "_skl_callbacks", [])
            for estimator in (inner, self.estimator)
        )
        parts = [each.part(name) for each in ours if hasattr(each, "part")]
        inner.set_callbacks(*own, *parts)
        try:
            yield
        finally:
            inner.set_callbacks(*own)


class Phase:
    """The epochs of one phase, and the record of their losses.

    Iterating runs the epochs: ``for epoch in phase``. The loop ends after `max_iter`
    epochs, when a callback asks for it, or after the epoch that called `stop`. Of a fit
    that is resumed it runs those that are left, once all that its epochs move, named by
    `moves` before, is what it was.

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
        self.snapshot = snapshot and (lambda: with_own_records(snapshot()))
        self.history: dict[str, list[float]] = {}
        self.n_iter = 0
        self.repeated: set[str] = set()
        self._stopped = False
        self._moving: list[Thing] = []

    def moves(self, *things: Thing) -> None:
        """Name what the epochs move: optimisers, generators, tensors, counters.

        A name more does no harm; what is left out differs after a fit was resumed.
        """
        self._moving.extend(things)

    @property
    def optimizers(self) -> list[Adam]:
        """The optimisers that its epochs step."""
        return [thing for thing in self._moving if isinstance(thing, Adam)]

    @property
    def ended(self) -> bool:
        """Whether no epoch follows."""
        return self._stopped or self.n_iter >= self.max_iter

    def _networks(self) -> list[Any]:
        networks = [net for optimizer in self.optimizers for net in optimizer.networks]
        return [[type(network).__name__, network.arguments] for network in networks]

    def state(self) -> dict[str, Any]:
        """Return what the epochs so far have done, in plain values and arrays."""
        return {
            "n_iter": self.n_iter,
            "stopped": self._stopped,
            "history": self.history,
            "networks": self._networks(),
            "moving": [state_of(thing) for thing in self._moving],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned.

        Raises
        ------
        ValueError
            If the phase was of other networks, as those for images of another shape.
        """
        if state["networks"] != self._networks():
            raise ValueError(
                f"A checkpoint of phase {self.name!r} is of another fit: its networks "
                f"are {state['networks']}, and {self._networks()} now. Fit as before "
                "to resume it, with rows of the same shape, or give Checkpoint another "
                "directory."
            )
        self.n_iter = state["n_iter"]
        self._stopped = state["stopped"]
        self.history.update(state["history"])
        for thing, moved in zip(self._moving, state["moving"], strict=True):
            give_state(thing, moved)

    def __iter__(self) -> Iterator[int]:
        self.task.running = self
        try:
            yield from self._epochs()
        finally:  # what the epochs used knows the phase: it would wait for a collector
            self.task.running = self.snapshot = None
            self._moving = []

    def _epochs(self) -> Iterator[int]:
        data = self.task.data
        self.task.begin(self.name, predicts=self.snapshot is not None)
        started = time.perf_counter()
        context = self.task.context.subcontext(
            task_name=self.name, max_subtasks=self.max_iter
        )
        context.call_on_fit_task_begin(**data)
        store = self.task.store
        if store is not None:
            store.restore(self)
        while not self.ended:
            epoch = context.subcontext(task_name="epoch")
            epoch.call_on_fit_task_begin(**data)
            self.n_iter += 1
            yield self.n_iter
            if epoch.call_on_fit_task_end(
                **data, reconstruction_attributes=self.snapshot
            ):
                self._stopped = True
            if store is not None:
                store.save(self)
            if self.task.interrupted_phase is not None:
                break
        for values in self.history.values():  # of monitors that a resumed fit lacks
            values += [math.nan] * (self.n_iter - len(values))
        context.call_on_fit_task_end(**data)
        self._report(time.perf_counter() - started)

    def stop(self) -> None:
        """Make the running epoch the last one."""
        self._stopped = True

    def interrupt(self) -> None:
        """End this phase after the running epoch, and those that follow after one.

        A fit that is resumed goes on here as if it had not been interrupted.
        """
        if self.task.interrupted_phase is None:
            self.task.interrupted_phase = self

    def record(
        self, losses: dict[str, float], again: dict[str, float] | None = None
    ) -> None:
        """Append the losses of an epoch to `history`.

        And `again` what an epoch before it found, if this one did not look.

        Raises
        ------
        FloatingPointError
            If one of them is not finite.
        """
        again = again or {}
        for name, value in {**losses, **again}.items():
            self._require_finite(name, value)
            self.history.setdefault(name, []).append(value)
        self.repeated = (self.repeated - losses.keys()) | again.keys()

    def note(self, scores: dict[str, float]) -> None:
        """Append what a callback found to `history`, finite or not.

        Epochs before the first one that is noted, as of a fit that was resumed, have
        NaN.

        Raises
        ------
        ValueError
            If the epoch has another number of that name.
        """
        for name, value in scores.items():
            values = self.history.setdefault(name, [])
            if len(values) >= self.n_iter:
                raise ValueError(
                    f"The score {name!r} has the name of a number that phase "
                    f"{self.name!r}, or another monitor, records: give it another, "
                    "{'name': scorer}."
                )
            values += [math.nan] * (self.n_iter - 1 - len(values))
            values.append(value)
        self.repeated -= scores.keys()

    def note_again(self, names: Iterable[str]) -> None:
        """Append what was found last once more, of an epoch that was not looked at."""
        names = set(names)
        self.note({name: self.history[name][-1] for name in names})
        self.repeated |= names

    def fitted_estimator(self) -> Any:
        """Copy of the estimator that predicts as if the fit ended here.

        None in a phase before which there is nothing to predict by.
        """
        if self.snapshot is None:
            return None
        estimator = copy.copy(self.task.estimator)
        if not self.task.goes_on:  # what an earlier fit left is of other rows
            of_input = {n: v for n, v in vars(estimator).items() if n.endswith("_in_")}
            estimator._forget()
            estimator.__dict__.update(of_input)
        estimator.__dict__.update(self.snapshot())
        return estimator

    def check_weights(self, optimizer: Adam) -> None:
        """Raise as `record` does if its last step made a weight infinite or NaN."""
        self._require_finite("a weight", float(optimizer.weights.sum()))

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


def with_own_records(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes of a copy that is to know of the epochs so far, and of no more."""
    return {
        name: copy.deepcopy(value) if name.endswith("history_") else value
        for name, value in attributes.items()
    }


def task_around(context: Any) -> FitTask | None:
    """Find the innermost fit of skdeep that a context belongs to, if any."""
    while context is not None:
        task = getattr(context, "skdeep_task", None)
        if task is not None:
            return task
        context = context.parent
    return None


def fit_task_of(context: Any) -> FitTask:
    """Find the fit that a callback's context belongs to.

    Through it callbacks reach the running phase, of which scikit-learn's protocol
    tells the name alone: its record, its optimisers and a model that predicts.

    Raises
    ------
    TypeError
        If no estimator of skdeep that trains networks is being fitted.
    """
    task = task_around(context)
    if task is not None:
        return task
    raise TypeError(
        "The callbacks of skdeep.callbacks work in the fits of skdeep's estimators "
        f"that train networks. Got a fit of {context.estimator_name}: set them on the "
        "estimator inside, as in pipeline[-1].set_callbacks(...)."
    )
