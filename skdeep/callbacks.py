"""Callbacks of scikit-learn's protocol that watch, stop and keep the fits of skdeep.

Each works on every estimator: ``estimator.set_callbacks(EarlyStopping(), ...)``.
"""

import copy
import math
import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, Self

from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer

from skdeep._compat import Interval, StrOptions, validate_parameter_constraints
from skdeep.identity import description_of
from skdeep.training import FitTask, Phase, Store, fit_task_of
from skdeep.warning import warn

__all__ = [
    "Checkpoint",
    "EarlyStopping",
    "GradientClipping",
    "MetricMonitor",
    "StopOnInterrupt",
]

EPOCH = "epoch"
"""Name of the finest tasks of a fit."""

WITHOUT_EFFECT = {"memory", "verbose"}
"""Parameters that a fit may be resumed without."""


class BaseCallback:
    """scikit-learn's hooks, as the few moments that a callback of ours looks at."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    _is_part = False
    """Whether a fit around this one tells another callback of its phases, too."""

    def setup(self, estimator: Any, context: Any) -> None:
        """Prepare for a fit.

        Parameters
        ----------
        estimator : estimator instance
            The one that is fitted.
        context : CallbackContext
            Of the whole fit.
        """
        validate_parameter_constraints(
            self._parameter_constraints, vars(self), type(self).__name__
        )
        self._prepare()

    def teardown(self, estimator: Any, context: Any) -> None:
        """Tidy up after a fit, whether it came to its end or not.

        Parameters
        ----------
        estimator : estimator instance
            The one that was fitted.
        context : CallbackContext
            Of the whole fit.
        """
        self._tidy_up()

    def on_fit_task_begin(
        self, estimator: Any, context: Any, *, X: Any = None, y: Any = None
    ) -> None:
        """Hear that a fit, a phase or an epoch begins.

        Parameters
        ----------
        estimator : estimator instance
            The one that is fitted.
        context : CallbackContext
            Of the task.
        X, y : array-like or None, default=None
            What it is fitted to.
        """
        task = fit_task_of(context)
        if context is task.context:
            self._before_fit(task, X, y)
        elif context.parent is task.context and task.running is not None:
            self._before_phase(task.running)

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, X: Any = None, y: Any = None
    ) -> bool:
        """Hear that a fit, a phase or an epoch ends.

        Parameters
        ----------
        estimator : estimator instance
            The one that is fitted.
        context : CallbackContext
            Of the task.
        X, y : array-like or None, default=None
            What it is fitted to.

        Returns
        -------
        stop : bool
            Whether the epoch that ends is to be the last of its phase.
        """
        task = fit_task_of(context)
        if context is task.context:
            self._after_fit(task)
        if context.task_name != EPOCH:
            return False
        phase = task.running
        assert phase is not None, "Epochs are those of a phase."
        return self._after_epoch(phase, X, y)

    def part(self, name: str) -> Self:
        """Make the callback of a fit inside of the one that this was set on.

        Parameters
        ----------
        name : str
            Of the inner fit.

        Returns
        -------
        callback : callback instance
        """
        part = copy.copy(self)
        part._is_part = True
        part._enter(name)
        return part

    def changes(self, phase_name: str = "") -> bool:
        """Whether a phase may end with other weights than without the callback.

        Parameters
        ----------
        phase_name : str, default=""
            Its name; empty for any phase.

        Returns
        -------
        changes : bool
        """
        return self._changes(phase_name)

    def _enter(self, name: str) -> None:
        """Become the callback of an inner fit."""

    def _changes(self, phase_name: str) -> bool:
        """Answer `changes`."""
        return False

    def _prepare(self) -> None:
        """Check the parameters."""

    def _tidy_up(self) -> None:
        """Undo what `_prepare` did."""

    def _before_fit(self, task: FitTask, X: Any, y: Any) -> None:
        """Look at a fit that begins."""

    def _before_phase(self, phase: Phase) -> None:
        """Look at a phase whose epochs begin."""

    def _after_fit(self, task: FitTask) -> None:
        """Look at a fit that ends."""

    def _after_epoch(self, phase: Phase, X: Any, y: Any) -> bool:
        """Look at an epoch of `phase`, and say whether it is to be the last one."""
        return False


class EarlyStopping(BaseCallback):
    """Stop a phase of a fit when a number of its record has not improved for long.

    It reads what `history_` will show, and stops phases one by one: that of
    pretraining does not end that of clustering. The weights are those with which the
    phase ends: of its last epoch, or of its best one for samplers that hold rows out.

    Parameters
    ----------
    monitor : str, default="auto"
        Name in the record. ``"auto"``: ``"validation_loss"`` if the phase has one,
        else ``"loss"``. A name that a phase does not record raises a ValueError after
        its first epoch: of ``"cluster"``, once all is pretrained.

    n_iter_no_change : int, default=10
        Epochs without improvement after which the phase ends.

    tol : float, default=1e-4
        A value counts as an improvement if it is better than the best by more than
        this.

    mode : {"min", "max"}, default="min"
        Whether smaller or larger values are better.

    phase : str or None, default=None
        The only phase to stop, for example ``"pretrain"`` or ``"cluster"``; None: each
        of them.

    Warns
    -----
    UserWarning
        If a fit ends that had no phase of that name: it names those that it had.

    See Also
    --------
    MetricMonitor : Puts further numbers on record.

    Notes
    -----
    Whether to stop is told by the record alone: a fit that is resumed from a
    :class:`Checkpoint` stops where it would have stopped.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdeep import AutoencoderTransformer
    >>> from skdeep.callbacks import EarlyStopping
    >>> X = load_iris().data
    >>> model = AutoencoderTransformer(2, max_iter=200, random_state=0)
    >>> model = model.set_callbacks(EarlyStopping(n_iter_no_change=3, tol=1e-2)).fit(X)
    >>> model.n_iter_ < 200
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "mode": [StrOptions({"min", "max"})],
    }

    def __init__(
        self,
        monitor: str = "auto",
        *,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        mode: str = "min",
        phase: str | None = None,
    ) -> None:
        self.monitor = monitor
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.mode = mode
        self.phase = phase

    def _after_fit(self, task: FitTask) -> None:
        # What goes on with an earlier fit need not have all of its phases.
        if self._is_part or task.goes_on or self.phase in (None, *task.begun):
            return
        warn(
            f"EarlyStopping(phase={self.phase!r}) stopped nothing: the fit of "
            f"{type(task.estimator).__name__} had no phase of that name, but "
            f"{', '.join(map(repr, sorted(task.begun)))}.",
        )

    def _changes(self, phase_name: str) -> bool:
        return not phase_name or self.phase in (None, phase_name)

    def _after_epoch(self, phase: Phase, X: Any, y: Any) -> bool:
        if not self.changes(phase.name):
            return False
        monitored = self._monitored(phase)
        if monitored in phase.repeated:
            return False  # nothing new was seen
        values = phase.history[monitored]
        sign = 1 if self.mode == "min" else -1
        since = n_since_best((sign * value for value in values), self.tol)
        return since >= self.n_iter_no_change

    def _monitored(self, phase: Phase) -> str:
        name = self.monitor
        if name == "auto":
            name = "validation_loss" if "validation_loss" in phase.history else "loss"
        if name not in phase.history:
            raise ValueError(
                f"EarlyStopping monitors {name!r}, but the epochs of phase "
                f"{phase.name!r} record {', '.join(map(repr, phase.history))}. Name "
                "one of these as 'monitor', name the phase that has it as 'phase', or "
                "set a MetricMonitor that records it before EarlyStopping."
            )
        return name


class MetricMonitor(BaseCallback):
    """Score the model of the moment after epochs, and put the scores on record.

    The scores join the losses in `history_`, one value an epoch. Unlike
    scikit-learn's `ScoringMonitor`, it scores fits without labels too.

    Parameters
    ----------
    scoring : str, callable or mapping
        A scorer ``scorer(estimator, X, y)``, the name of one of scikit-learn's, or a
        mapping of names to such. A scorer by itself is recorded by its name.

    X : array-like or None, default=None
        Rows to score on, for example held-out ones; None: the training rows.

    y : array-like or None, default=None
        Labels of these rows. With ``X=None`` those given to `fit`, unless there are
        some here: labels that a clusterer is not to see.

    every : int, default=1
        Epochs between scores; those in between have the last score on record. The
        first epoch of a phase always has its own.

    Warns
    -----
    UserWarning
        If none of the epochs of a fit can be scored, as in `AEKMeans`.

    See Also
    --------
    EarlyStopping : Stops by what is recorded, if set after this callback.

    Notes
    -----
    A score needs a copy of the model that predicts, and is given by some epochs only:
    before a clusterer has clusters, while it pretrains, there is none.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdeep import AutoencoderTransformer, DECClusterer
    >>> from skdeep.callbacks import MetricMonitor
    >>> X, y = load_iris(return_X_y=True)
    >>> monitor = MetricMonitor("adjusted_rand_score", y=y)
    >>> autoencoder = AutoencoderTransformer(2, max_iter=20)
    >>> model = DECClusterer(3, autoencoder=autoencoder, random_state=0)
    >>> history = model.set_callbacks(monitor).fit(X).history_
    >>> len(history["adjusted_rand_score"]) == model.n_iter_
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "every": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        scoring: str | Callable[..., float] | Mapping[str, Any],
        X: Any = None,
        y: Any = None,
        *,
        every: int = 1,
    ) -> None:
        self.scoring = scoring
        self.X = X
        self.y = y
        self.every = every

    def _prepare(self) -> None:
        scorers_of(self.scoring)

    def _after_fit(self, task: FitTask) -> None:
        if self._is_part or task.goes_on or any(task.begun.values()):
            return
        warn(
            "MetricMonitor recorded nothing: the fit of "
            f"{type(task.estimator).__name__} has no epochs that can be scored.",
        )

    def _after_epoch(self, phase: Phase, X: Any, y: Any) -> bool:
        if phase.snapshot is None:
            return False
        scorers = scorers_of(self.scoring)
        is_first = not scorers.keys() <= phase.history.keys()
        if is_first or phase.n_iter % self.every == 0:
            model = phase.fitted_estimator()
            if self.X is not None:
                X = self.X
            else:  # the rows as the fit sees them, which have lost their names
                vars(model).pop("feature_names_in_", None)
            if self.y is not None or self.X is not None:
                y = self.y
            phase.note({name: score_of(f, model, X, y) for name, f in scorers.items()})
        else:
            phase.note_again(scorers)
        return False


class GradientClipping(BaseCallback):
    """Shorten long gradients in each step of a fit.

    Of a gradient longer than `max_norm` the direction is kept. That tames losses with
    cliffs, and a learning rate that is a little too large; Adam, which divides by the
    size of past gradients, needs it seldom.

    Parameters
    ----------
    max_norm : float, default=1.0
        Euclidean length of the gradient of all weights of an optimiser, at most.

    See Also
    --------
    skdeep.generative.FlowSampler : Clips its gradients by itself.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdeep import AutoencoderTransformer
    >>> from skdeep.callbacks import GradientClipping
    >>> X = load_iris().data
    >>> model = AutoencoderTransformer(2, max_iter=5, random_state=0)
    >>> model.set_callbacks(GradientClipping(0.1)).fit(X).n_iter_
    5
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "max_norm": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, max_norm: float = 1.0) -> None:
        self.max_norm = max_norm

    def _changes(self, phase_name: str) -> bool:
        return True

    def _before_phase(self, phase: Phase) -> None:
        for optimizer in phase.optimizers:
            own = optimizer.max_gradient_norm or math.inf
            optimizer.max_gradient_norm = min(own, float(self.max_norm))


class StopOnInterrupt(BaseCallback):
    """Let Ctrl-C end a fit after the running epoch, with the model so far.

    Without it Ctrl-C raises `KeyboardInterrupt`, and the estimator is left unfitted.
    With it the running epoch is completed, phases that follow run for one epoch each,
    and `fit` returns: the model predicts. A second Ctrl-C raises at once.

    Fits in other threads than the main one, which alone hears Ctrl-C, go on as if it
    were not there. In a search, Ctrl-C ends only the candidate that is being fitted,
    and the score of that one joins the others: leave the callback out there.

    See Also
    --------
    Checkpoint : Keeps the state of a fit on disk, and resumes it.

    Examples
    --------
    >>> import numpy as np
    >>> from skdeep import AutoencoderTransformer
    >>> from skdeep.callbacks import StopOnInterrupt
    >>> X = np.random.RandomState(0).rand(50, 4)
    >>> model = AutoencoderTransformer(2, max_iter=5)
    >>> model.set_callbacks(StopOnInterrupt()).fit(X).n_iter_  # nobody interrupted
    5
    """

    def __init__(self) -> None:
        self._interrupted = False
        self._n_fits = 0  # in the main thread that hear it, one inside of the other
        self._previous: Any = None
        self._whole = self  # copies, for inner fits, hear what it hears

    def _prepare(self) -> None:
        if self._is_part or not is_main_thread():
            return
        self._n_fits += 1
        if self._n_fits == 1:
            self._interrupted = False
            self._previous = signal.signal(signal.SIGINT, self._on_interrupt)

    def _tidy_up(self) -> None:
        if self._is_part or not is_main_thread() or not self._n_fits:
            return
        self._n_fits -= 1
        if self._n_fits == 0:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True

    def _after_epoch(self, phase: Phase, X: Any, y: Any) -> bool:
        if not is_main_thread() or not self._whole._interrupted or phase.ended:
            return False
        if phase.task.interrupted_phase is None:
            warn(
                f"{type(phase.task.estimator).__name__} was interrupted: phase "
                f"{phase.name!r} ended after {phase.n_iter} of {phase.max_iter} "
                "epochs.",
                ConvergenceWarning,
            )
        phase.interrupt()
        return False


class Checkpoint(BaseCallback):
    """Keep the state of a fit on disk, so that it survives being killed.

    It needs the package safetensors, which the extra ``io`` brings.

    ``fit`` called again, in another process too, with the same parameters and data and
    a `Checkpoint` of the same directory, goes on where the last file was written. It
    ends with the very bits of a fit that was never stopped: weights, random draws, the
    order of the rows and the record are what they would have been.

    Parameters
    ----------
    directory : str or path
        Where the files are: one directory a fit. It is made if it is not there.

    every : int, default=10
        Epochs between files. The last epoch of a phase has one besides.

    keep : int, default=2
        Files of each phase that are kept: the last ones.

    See Also
    --------
    StopOnInterrupt : Lets Ctrl-C end a fit with the model so far.
    skdeep.io.save : Keeps a fitted model.

    Notes
    -----
    A file is written beside its place, flushed to the disk and then renamed: a fit
    that is killed as it writes leaves the files before it whole. If the disk is full, a
    warning says so, and the fit goes on. Files hold numbers as safetensors and JSON,
    and a digest of them: to read one runs no code, and a damaged one is passed over for
    the one before it. They take three times the room of the weights, and once more for
    each copy of them that a sampler keeps: the best ones, the average ones.

    What a fit computes before and between its phases (scaling, neighbours, k-means) is
    computed again. A fit that has ended is resumed too, and ends at once: give another
    directory, or delete the files, for a new one. A fit of other parameters or data,
    with other callbacks that stop or steer it, on another device, in products of
    another type, or by another version of skdeep or torch, is refused. The very bits
    need the same kind of processor. With ``random_state=None`` the seeds that were
    drawn are kept.

    In a search each candidate would need a directory of its own: set `Checkpoint` on
    the estimator that you fit at last.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from sklearn.datasets import load_iris
    >>> from skdeep import AutoencoderTransformer
    >>> from skdeep.callbacks import Checkpoint
    >>> X = load_iris().data
    >>> model = AutoencoderTransformer(2, max_iter=20, random_state=0)
    >>> model = model.set_callbacks(Checkpoint(mkdtemp())).fit(X)  # killed? Fit again.
    >>> model.n_iter_
    20
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "directory": [str, os.PathLike],
        "every": [Interval(Integral, 1, None, closed="left")],
        "keep": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self, directory: str | os.PathLike[str], *, every: int = 10, keep: int = 2
    ) -> None:
        self.directory = directory
        self.every = every
        self.keep = keep

    def _enter(self, name: str) -> None:
        self.directory = Path(self.directory) / name

    def _before_fit(self, task: FitTask, X: Any, y: Any) -> None:
        if task.goes_on:
            raise ValueError(
                "Checkpoint keeps whole fits, not the parts of a stream: before "
                "partial_fit take it off by set_callbacks(), and keep the model "
                "between the parts by skdeep.io.save."
            )
        fit = description_of(task.estimator, X, y, WITHOUT_EFFECT)
        task.store = Store(Path(self.directory), self.every, self.keep, fit)


def is_main_thread() -> bool:
    """Whether this is the thread that hears Ctrl-C."""
    return threading.current_thread() is threading.main_thread()


def n_since_best(values: Iterable[float], tol: float) -> int:
    """Count values since one was smaller than all before by more than `tol`."""
    best, since = math.inf, 0
    for value in values:
        since += 1
        if value < best - tol:
            best, since = value, 0
    return since


def scorers_of(scoring: Any) -> dict[str, Callable[..., float]]:
    """Name -> scorer, of what `MetricMonitor` was given."""
    if not isinstance(scoring, Mapping):
        name = scoring if isinstance(scoring, str) else ""
        scoring = {name or getattr(scoring, "__name__", "score"): scoring}
    for scorer in scoring.values():
        if not isinstance(scorer, str) and not callable(scorer):
            raise ValueError(
                "The 'scoring' parameter of MetricMonitor must be the name of a "
                "scorer, a callable scorer(estimator, X, y) or a mapping of names to "
                f"such. Got {scorer!r} instead."
            )
    return {name: get_scorer(scorer) for name, scorer in scoring.items()}


def score_of(scorer: Callable[..., float], model: Any, X: Any, y: Any) -> float:
    """Score of a model; where a scorer fails without labels, say how to give some."""
    try:
        return float(scorer(model, X, y))
    except (TypeError, ValueError) as error:
        if y is not None:
            raise
        raise ValueError(
            "A scorer of MetricMonitor failed, and had no labels: if it needs some, "
            "give the monitor those of the rows that it scores, as in "
            f"MetricMonitor(scoring, y=y). ({error})"
        ) from error
