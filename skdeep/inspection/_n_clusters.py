"""A criterion over numbers of clusters."""

from typing import Any, Self

import numpy as np

from skdeep.inspection._axes import axes_for
from skdeep.tables import numpy_of
from skdeep.wrapping import fitted_model


class NClustersDisplay:
    """A criterion over numbers of clusters, with the chosen one marked.

    Parameters
    ----------
    n_clusters : array-like of int of shape (n_candidates,)
        Numbers of clusters that were tried.
    scores : array-like of shape (n_candidates,) or (n_candidates, n_repeats)
        Criterion of each. Repeats (folds, seeds) are drawn as their mean and standard
        deviation, NaN aside.
    chosen : int or None, default=None
        The number that was chosen; None: that of the largest mean score.
    score_name : str, default="score"
        What the criterion is.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes that hold the picture.

    figure_ : matplotlib Figure
        Figure that holds the axes.

    line_ : matplotlib Line2D
        Curve of the criterion.

    See Also
    --------
    skdeep.cluster.NClustersSearch : Searches the number of clusters.
    LossCurveDisplay : Losses over epochs.
    sklearn.model_selection.ValidationCurveDisplay : Scores over any parameter.

    Examples
    --------
    >>> from skdeep.inspection import NClustersDisplay
    >>> display = NClustersDisplay.from_scores([2, 3, 4], [0.5, 0.7, 0.6])
    >>> display.ax_.get_title()
    '3 clusters'
    """

    def __init__(
        self,
        n_clusters: Any,
        scores: Any,
        *,
        chosen: int | None = None,
        score_name: str = "score",
    ) -> None:
        self.n_clusters = n_clusters
        self.scores = scores
        self.chosen = chosen
        self.score_name = score_name

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the curve that a search of the number of clusters chose from.

        Parameters
        ----------
        estimator : NClustersSearch
            Fitted; also as the last step of a pipeline.
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.

        Returns
        -------
        display : NClustersDisplay

        Raises
        ------
        TypeError
            If the estimator did not search the number of clusters.
        """
        model = fitted_model(estimator)
        if not (hasattr(model, "n_clusters_") and hasattr(model, "results_")):
            raise TypeError(
                "NClustersDisplay.from_estimator draws a fitted NClustersSearch. Got "
                f"{estimator!r} instead; give other curves to from_scores."
            )
        return cls(
            model.results_["n_clusters"],
            model.results_["score"],
            chosen=model.n_clusters_,
            score_name="modularity",
        ).plot(ax)

    @classmethod
    def from_scores(
        cls,
        n_clusters: Any,
        scores: Any,
        *,
        chosen: int | None = None,
        score_name: str = "score",
        ax: Any = None,
    ) -> Self:
        """Draw scores.

        Parameters
        ----------
        n_clusters : array-like of int of shape (n_candidates,)
            Numbers of clusters that were tried.
        scores : array-like of shape (n_candidates,) or (n_candidates, n_repeats)
            Criterion of each.
        chosen : int or None, default=None
            The number that was chosen; None: that of the largest mean score, NaN aside.
        score_name : str, default="score"
            What the criterion is.
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.

        Returns
        -------
        display : NClustersDisplay
        """
        return cls(n_clusters, scores, chosen=chosen, score_name=score_name).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.

        Returns
        -------
        display : NClustersDisplay

        Raises
        ------
        ValueError
            If there are not as many scores as numbers, if the chosen one was not tried,
            or if none is chosen and all scores are NaN.
        """
        candidates = np.asarray(numpy_of(self.n_clusters))
        scores = np.asarray(numpy_of(self.scores), dtype=float)
        if (
            candidates.ndim != 1
            or not len(candidates)
            or len(candidates) != len(scores)
        ):
            raise ValueError(
                "n_clusters and scores must hold one entry for each number of clusters "
                f"that was tried. Got shapes {candidates.shape} and {scores.shape}."
            )
        order = candidates.argsort(kind="stable")
        candidates, scores = candidates[order], scores[order].reshape(len(order), -1)
        known = np.ma.masked_array(scores, np.isnan(scores))
        mean = known.mean(axis=1).filled(np.nan)
        spread = known.std(axis=1).filled(np.nan)
        if self.chosen is None and np.isnan(mean).all():
            raise ValueError("All scores are NaN: there is no best one to be marked.")
        chosen = candidates[np.nanargmax(mean)] if self.chosen is None else self.chosen
        if chosen not in candidates:
            raise ValueError(
                f"The 'chosen' parameter must be one of the numbers that were tried, "
                f"{candidates.tolist()}. Got {chosen!r} instead."
            )
        self.ax_ = axes_for(ax, self)
        self.figure_ = self.ax_.figure
        (self.line_,) = self.ax_.plot(candidates, mean, marker="o", markersize=4)
        if scores.shape[1] > 1:
            self.ax_.fill_between(candidates, mean - spread, mean + spread, alpha=0.2)
        at = np.flatnonzero(candidates == chosen)
        self.ax_.axvline(chosen, color="0.6", linestyle=":", zorder=0)
        self.ax_.plot(candidates[at], mean[at], "o", color="C3", markersize=9)
        self.ax_.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        self.ax_.set(
            xlabel="number of clusters",
            ylabel=self.score_name,
            title=f"{chosen} clusters",
        )
        return self
