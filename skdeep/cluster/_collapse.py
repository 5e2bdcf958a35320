"""Whether the deep stage ruins the embedding that it was given, or its clusters."""

from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skdeep.representation._collapse import effective_rank
from skdeep.warning import warn

KEPT = 1 / 3
"""Share of the rank that can be kept below which it counts as lost."""


class RankWatch:
    """How many dimensions the embedding spreads over, before the deep stage and since.

    Tight clusters need fewer dimensions than there are, but one less than clusters: an
    embedding with less than a third of these, or of those it had, has lost its rank.

    Parameters
    ----------
    Z : ndarray of shape (n_samples, n_components)
        The embedding to begin with.
    n_clusters : int
    """

    def __init__(self, Z: np.ndarray, n_clusters: int) -> None:
        self.before = self.rank = effective_rank(Z)
        self.n_clusters = n_clusters

    def look(self, Z: np.ndarray) -> float:
        """Effective rank of the embedding now; NaN if it has diverged."""
        self.rank = effective_rank(Z) if np.isfinite(Z).all() else float("nan")
        return self.rank

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"rank": self.rank}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.rank = state["rank"]

    @property
    def lost(self) -> bool:
        """Whether the embedding has lost its rank."""
        return self.rank < KEPT * min(self.before, self.n_clusters - 1)

    def warn(self, kept: bool, name: str) -> None:
        """Warn if the rank was lost, and say which state is returned."""
        if self.lost:
            returned = f"The state {'after' if kept else 'before'} it is returned."
            warn(
                f"The embedding of {name} collapsed in the deep stage: it spreads over "
                f"{self.rank:.1f} dimensions, of {self.before:.1f} before. {returned} "
                "Try a smaller learning_rate, IDECClusterer with a larger "
                "reconstruction_weight, or DCNClusterer with a smaller "
                "clustering_weight.",
                ConvergenceWarning,
            )


def warn_of_empty_clusters(labels: np.ndarray, clusterer: Any) -> None:
    """Warn if clusters have no rows in the end, and say which."""
    n_clusters = int(clusterer.n_clusters)
    empty = np.setdiff1d(np.arange(n_clusters), labels)
    if len(empty):
        numbers = ", ".join(map(str, empty[:10])) + ", ..." * (len(empty) > 10)
        slower = ", a smaller learning_rate" * hasattr(clusterer, "learning_rate")
        warn(
            f"{type(clusterer).__name__} ended with {len(empty)} of {n_clusters} "
            f"clusters without rows: {numbers}. "
            f"Try fewer n_clusters{slower} or another random_state.",
            ConvergenceWarning,
        )
