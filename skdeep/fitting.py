"""What the training of an estimator's own networks starts from, and leaves behind."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Generator, Tensor

from skdeep.base import BaseDeepEstimator, network_copy
from skdeep.nn import Network
from skdeep.parameters import ImageShape, checked_image_shape
from skdeep.scaling import (
    MOST_WHITENED,
    ColumnStatistics,
    column_statistics,
    constants_of,
    fitted_scaling,
    fitted_unit_scaling,
    half_whitening,
    share_a_unit,
)
from skdeep.training import (
    BETAS,
    Adam,
    AveragedWeights,
    Batches,
    BestWeights,
    FitTask,
    OneCycle,
    Phase,
    Rows,
    Step,
    Thing,
    applied,
    train,
)

CHUNK_ROWS = 4096
"""Rows that are evaluated at once outside of the steps of a training."""

JUDGED_DRAWS, MOST_DRAWS = 1024, 16
"""Draws by which few rows held out are judged, and those of one row at most."""


class Validation:
    """The loss of rows held out of a training: when to stop, and what to keep.

    The weights before the first step count too. The training stops after
    `n_iter_no_change` epochs without a new best.

    Parameters
    ----------
    fitting : Fitting
        Whose rows are parted.
    optimizer : Adam
        Whose best weights are kept.
    loss : callable
        Mean loss of rows of given numbers, ``(n,)``.
    averaged : AveragedWeights or None
        Whose weights are judged and kept, instead of the last ones.
    """

    def __init__(
        self,
        fitting: "Fitting",
        optimizer: Adam,
        loss: Callable[[Tensor], Tensor],
        averaged: AveragedWeights | None = None,
    ) -> None:
        self.training, self.held_out = fitting.training, fitting.held_out
        self.loss = loss
        self.patience = int(fitting.estimator.n_iter_no_change)
        self.averaged = averaged
        self.best = BestWeights(optimizer)
        fitting.moves(self.best)
        self.best.offer(self.mean_loss())

    def on_training_rows(self, step: Step) -> Step:
        """Make a step of numbers of the training rows one of numbers of all rows."""
        return lambda index: step(self.training[index])

    @torch.inference_mode()
    def mean_loss(self) -> float:
        """Mean loss of the rows held out."""
        parts = self.held_out.split(CHUNK_ROWS)
        total = sum(self.loss(part) * len(part) for part in parts)
        return float(total) / len(self.held_out)

    def after_epoch(self, phase: Phase) -> dict[str, float]:
        """Keep the weights if they are the best, and stop if none were for long."""
        with applied(self.averaged):
            loss = self.mean_loss()
            self.best.offer(loss)
        if self.best.n_since >= self.patience:
            phase.stop()
        return {"validation_loss": loss}


class Fitting:
    """Scaled rows, a random generator for each purpose, epochs and optimisers.

    The estimator owns its networks and its step; what surrounds them is alike for all
    and is here.

    Parameters
    ----------
    estimator : BaseDeepEstimator
        With the parameters `image_shape`, `scale`, `max_iter`, `batch_size`,
        `learning_rate`, `weight_decay` and `precision`.
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Checked rows.
    image_shape : (int, int, int) or None
        That of X, if X held images.
    seeds : list of int
        Three: of the weights, of the shuffles and of the noise.
    n_steps : int
        Gradient steps that ``max_iter="auto"`` aims at.
    unit : bool
        Whether the rows are to lie in [0, 1].
    most_epochs : int
        Epochs that ``max_iter="auto"`` never exceeds.
    has_codes : bool
        Whether ``scale="auto"`` scales columns of any two values as those of 0 and 1:
        for encoders, to which it matters which rows are near.
    whitens : bool
        Whether ``scale="auto"`` half-whitens tables, as ``"half_whiten"`` always does.
    holds_out : bool
        Whether rows are held out for a `Validation`: `validation_fraction` of them,
        drawn at random, but at least one, and not all. Else, and of a single row,
        `training` and `held_out` are the numbers of all rows.
    """

    def __init__(
        self,
        estimator: Any,
        X: np.ndarray | csr_matrix,
        image_shape: ImageShape | None,
        seeds: list[int],
        n_steps: int,
        *,
        unit: bool = False,
        most_epochs: int = 200,
        has_codes: bool = False,
        whitens: bool = False,
        holds_out: bool = False,
    ) -> None:
        device = estimator._device()
        self.estimator = estimator
        self.image_shape = checked_image_shape(estimator, image_shape, X.shape[1])
        self.n_features = X.shape[1]
        self._X = X
        is_image = self.image_shape is not None
        if unit:
            scaling = fitted_unit_scaling(X, estimator.scale, self.columns)
        elif estimator.scale is None:
            scaling = fitted_scaling(X, None)
        else:
            scaling = fitted_scaling(
                X, estimator.scale, is_image, self.columns, has_codes
            )
        self.offset, self.scale = scaling
        self.whitening = None
        if self._half_whitens(whitens):
            self.whitening = half_whitening(X, self.offset, self.scale)
        self.rows = Rows(
            X, self.offset, self.scale, device, resident=True, whitening=self.whitening
        )
        weight_seed, shuffle_seed, noise_seed = seeds
        self.weight_rng = Generator().manual_seed(weight_seed)
        self.shuffle = Generator().manual_seed(shuffle_seed)
        self.noise = Generator(device).manual_seed(noise_seed)
        self.n_training = n_rows = len(self.rows)
        self.training = self.held_out = torch.arange(n_rows, device=device)
        if holds_out and n_rows > 1:
            n_held_out = max(1, round(estimator.validation_fraction * n_rows))
            self.n_training = max(1, n_rows - n_held_out)
            order = torch.randperm(n_rows, generator=self.shuffle).to(device)
            self.training = order[n_rows - self.n_training :]
            self.held_out = order[: n_rows - self.n_training]
        self._moving: list[Thing] = [self.shuffle, self.noise]
        size = estimator.batch_size
        self.batches = Batches(self.n_training, size, self.shuffle, device)
        self.max_iter = self.batches.epochs(estimator.max_iter, n_steps, most_epochs)

    @cached_property
    def columns(self) -> ColumnStatistics:
        """Statistics of the columns of X."""
        return column_statistics(self._X)

    @property
    def constants(self) -> np.ndarray:
        """Value of each column that does not vary, NaN of all others.

        Pixels share their scale and their noise: none of an image's counts as constant.
        Nor does any column where a function of the user's changes the batches.
        """
        changed = callable(getattr(self.estimator, "augment", None))
        if changed or self.image_shape is not None:
            return np.full(self.n_features, np.nan)
        return constants_of(self.columns, self.whitening)

    def _half_whitens(self, unasked: bool) -> bool:
        """Whether it was asked for, or columns are scaled each by itself and few."""
        if not (unasked and self.estimator.scale == "auto"):
            return self.estimator.scale == "half_whiten"
        if self.image_shape is not None or self.n_features > MOST_WHITENED:
            return False
        return not share_a_unit(self._X, self.columns)

    def moves(self, *things: Thing) -> None:
        """Name what `train` moves, beside the generators and optimisers made here."""
        self._moving.extend(things)

    def optimizer(
        self,
        networks: list[Network],
        *,
        learning_rate: float | None = None,
        betas: tuple[float, float] = BETAS,
        max_gradient_norm: float | None = None,
        precision: str | None = None,
    ) -> tuple[Adam, OneCycle]:
        """Adam as the parameters say, and the course of its step size."""
        estimator = self.estimator
        optimizer = Adam(
            networks,
            learning_rate=learning_rate or estimator.learning_rate,
            weight_decay=estimator.weight_decay,
            precision=precision or estimator.precision,
            betas=betas,
            max_gradient_norm=max_gradient_norm,
        )
        schedule = OneCycle(optimizer, self.max_iter * len(self.batches))
        self.moves(optimizer, schedule)
        return optimizer, schedule

    def train(
        self,
        task: FitTask,
        phase_name: str,
        step: Step,
        optimizers: list[Adam],
        kept: dict[str, Any],
        *,
        validation: Validation | None = None,
        averaged: AveragedWeights | None = None,
        after_epoch: Callable[[Phase], dict[str, float]] | None = None,
    ) -> None:
        """Run the epochs as a phase of `task`, and give the estimator what they made.

        Parameters
        ----------
        task : FitTask
        phase_name : str
        step : callable
        optimizers : list of Adam
            All that `step` steps.
        kept : dict
            Names of attributes, and the networks or values that they get.
        validation : Validation or None
            Rows that are held out, and what becomes of their loss.
        averaged : AveragedWeights or None
            What the networks get in the end; `step` updates it.
        after_epoch : callable or None
            What is done after each epoch where there is no validation: of the phase,
            it returns further numbers for the record.
        """
        estimator: BaseDeepEstimator = self.estimator

        # Copies do not share a vector with each other, as what an optimiser moves does.
        def fitted() -> dict[str, Any]:
            return {
                **{name: copy_of(value) for name, value in kept.items()},
                "offset_": self.offset,
                "scale_": self.scale,
                "image_shape_": self.image_shape,
                "n_features_in_": self.n_features,
                "n_iter_": phase.n_iter,
                "history_": phase.history,
            }

        # A callback of this estimator may ask for a copy that predicts; one of a
        # clusterer that pretrains may not, since there are no clusters yet.
        def snapshot() -> dict[str, Any]:
            with applied(returned):
                return fitted()

        own = task.estimator is estimator
        returned = averaged or (None if validation is None else validation.best)
        phase = task.phase(phase_name, self.max_iter, snapshot if own else None)
        phase.moves(*self._moving)
        with ExitStack() as stack:
            networks = [net for optimizer in optimizers for net in optimizer.networks]
            for optimizer in optimizers:
                stack.enter_context(optimizer.training(networks))
            if validation is not None:
                step = validation.on_training_rows(step)
                after_epoch = validation.after_epoch
            train(step, self.batches, phase, after_epoch)
            if returned is not None:
                returned.restore()
        for optimizer in optimizers:
            phase.check_weights(optimizer)
            optimizer.finish()
        estimator.__dict__.update(fitted())


def draws_of_each(n_rows: int) -> int:
    """Draws of noise of each row held out, by which a model is judged: more of few."""
    return min(max(JUDGED_DRAWS // n_rows, 1), MOST_DRAWS)


def copy_of(value: Any) -> Any:
    """Copy what training moves on, tensors as arrays; other values are as they are."""
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy().copy()
    return network_copy(value) if isinstance(value, Network) else value
