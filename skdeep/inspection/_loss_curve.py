"""Losses over the epochs of a fit."""

from typing import Any, Self

from sklearn.utils.validation import check_is_fitted

from skdeep.inspection._axes import axes_for, panels_in
from skdeep.wrapping import fitted_model

Histories = dict[str, dict[str, list[float]]]

PHASES = {
    "autoencoder_": "pretraining",
    "encoder_": "pretraining",
    "head_history_": "head",
    "history_": "training",
    "self_label_history_": "self-labelling",
}
"""Attributes that hold a history, or an estimator with one, in the order of a fit."""

MOST_CHARACTERS = 80
"""Of an argument that is shown in an error."""

FEW = 30
"""Epochs up to which each has a marker."""


class LossCurveDisplay:
    """Losses over the epochs of a fit, one panel a phase.

    The phases have panels of their own since their objectives differ: a clusterer
    pretrains an autoencoder and then trains its clusters.

    Parameters
    ----------
    histories : dict of str to dict of str to list of float
        Of each phase, in order, what was recorded: names and one value an epoch, as in
        the attribute `history_`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes that were given or made, and parted into panels.

    axes_ : ndarray of matplotlib Axes of shape (n_phases,)
        Panels of the phases.

    figure_ : matplotlib Figure
        Figure that holds them.

    See Also
    --------
    NClustersDisplay : A criterion over numbers of clusters.
    sklearn.model_selection.LearningCurveDisplay : Scores over numbers of rows.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdeep.cluster import DECClusterer
    >>> from skdeep.inspection import LossCurveDisplay
    >>> from skdeep.representation import AutoencoderTransformer
    >>> autoencoder = AutoencoderTransformer(2, max_iter=5)
    >>> dec = DECClusterer(3, autoencoder=autoencoder, max_iter=5).fit(load_iris().data)
    >>> display = LossCurveDisplay.from_estimator(dec)
    >>> [ax.get_title() for ax in display.axes_]
    ['pretraining', 'training']
    """

    def __init__(self, histories: Histories) -> None:
        self.histories = histories

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, names: list[str] | None = None, ax: Any = None
    ) -> Self:
        """Draw the losses of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator of skdeep, or a pipeline or search that ends in one.
        names : list of str or None, default=None
            What is drawn; None: all losses.
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.

        Returns
        -------
        display : LossCurveDisplay

        Raises
        ------
        TypeError
            If the estimator records no epochs.
        ValueError
            If it was fitted without epochs, or a name was not recorded.
        """
        return cls.from_histories(histories_of(estimator), names=names, ax=ax)

    @classmethod
    def from_histories(
        cls, histories: Histories, *, names: list[str] | None = None, ax: Any = None
    ) -> Self:
        """Draw losses that were recorded.

        Parameters
        ----------
        histories : dict of str to dict of str to list of float
            Of each phase, names and one value an epoch.
        names : list of str or None, default=None
            What is drawn; None: all losses.
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.

        Returns
        -------
        display : LossCurveDisplay
        """
        return cls(histories).plot(ax, names=names)

    def plot(self, ax: Any = None, *, names: list[str] | None = None) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.
        names : list of str or None, default=None
            What is drawn, ``["label_change", "modularity"]`` for example. None: all
            losses.

        Returns
        -------
        display : LossCurveDisplay

        Raises
        ------
        TypeError
            If `histories` is no dict of phases, or `names` no list.
        ValueError
            If a name was recorded in no phase, or no loss was.
        """
        require_phases(self.histories)
        chosen = chosen_curves(self.histories, names)
        n_phases = len(chosen)
        self.ax_ = axes_for(ax, self, (3.4 + 2.6 * n_phases, 3.6))
        self.figure_ = self.ax_.figure
        self.axes_ = panels_in(self.ax_, 1, n_phases)[0]
        for panel, (phase, curves) in zip(self.axes_, chosen.items(), strict=True):
            for name, values in curves.items():
                marker = "." if len(values) <= FEW else None
                epochs = range(1, len(values) + 1)
                panel.plot(epochs, values, marker=marker, label=name.replace("_", " "))
            panel.set(title=phase, xlabel="epoch")
            panel.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
            panel.legend()
        return self


def histories_of(estimator: Any) -> Histories:
    """Histories of the phases of a fit, in order.

    Raises
    ------
    TypeError
        If the estimator records none.
    ValueError
        If no epochs were trained.
    """
    check_is_fitted(estimator)
    model = fitted_model(estimator)
    model = getattr(model, "clusterer_", model)  # that a search for its number chose
    found: Histories = {}
    for attribute, phase in PHASES.items():
        value = getattr(model, attribute, None)
        history = getattr(value, "history_", value)
        if isinstance(history, dict) and history and history not in found.values():
            found[phase] = history
    if not found and hasattr(model, "history_"):
        raise ValueError(
            f"There is no curve to draw: this {type(model).__name__} was fitted "
            "without epochs (max_iter=0)."
        )
    if not found:
        raise TypeError(
            "LossCurveDisplay.from_estimator needs an estimator that was trained by "
            f"epochs and has the attribute history_. Got {type(model).__name__}."
        )
    return found


def require_phases(histories: Any) -> None:
    """Raise unless histories are a dict of what each phase recorded."""
    if not isinstance(histories, dict) or not all(
        isinstance(history, dict) for history in histories.values()
    ):
        raise TypeError(
            "The 'histories' parameter must be a dict of a history for each phase, as "
            "{'training': estimator.history_}; LossCurveDisplay.from_estimator finds "
            f"them itself. Got {shortened(histories)} instead."
        )


def shortened(value: Any) -> str:
    """Text of a value, as much of it as an error shows."""
    text = repr(value)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}..."


def chosen_curves(histories: Histories, names: list[str] | None) -> Histories:
    """Part of the histories that has these names, or is a loss."""
    if isinstance(names, str):
        raise TypeError(
            f"The 'names' parameter must be a list of names, [{names!r}] for one. Got "
            f"{names!r} instead."
        )
    recorded = {name for history in histories.values() for name in history}
    unknown = set(names or []) - recorded
    if unknown:
        raise ValueError(
            f"The 'names' parameter names what was not recorded: {sorted(unknown)}. "
            f"There are {sorted(recorded)}."
        )
    curves = {
        phase: {
            name: values
            for name, values in history.items()
            if (name in names if names else name.endswith("loss"))
        }
        for phase, history in histories.items()
    }
    if not any(curves.values()):
        raise ValueError(
            f"The 'histories' parameter holds no loss, but {sorted(recorded)}: choose "
            "from these by names."
        )
    return {phase: found for phase, found in curves.items() if found}
