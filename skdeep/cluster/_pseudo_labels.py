"""Fine-tuning by the labels of rows that are sure of them."""

from numbers import Real
from typing import Any

from torch import Tensor

from skdeep._compat import Interval
from skdeep.cluster._base import BaseDeepClusterer
from skdeep.objectives.clustering import log_soft_assignment
from skdeep.objectives.scan import self_labelling_loss

PSEUDO_LABEL_CONSTRAINTS: dict[str, list[Any]] = {
    "pseudo_label_weight": [Interval(Real, 0, None, closed="left")],
    "pseudo_label_threshold": [Interval(Real, 0, 1, closed="both")],
}
"""What the parameters of `with_pseudo_labels` may be."""


def with_pseudo_labels(
    clusterer: BaseDeepClusterer,
    losses: dict[str, Tensor],
    z: Tensor,
    centroids: Tensor,
) -> dict[str, Tensor]:
    """Add the cross-entropy of the sure rows of a batch to its loss, if weighted.

    Parameters
    ----------
    clusterer : DECClusterer, IDECClusterer or DCNClusterer
    losses : dict of str to Tensor
        With the key ``"loss"``.
    z : Tensor of shape (n, n_components)
    centroids : Tensor of shape (n_clusters, n_components)

    Returns
    -------
    dict of str to Tensor
    """
    if not clusterer.pseudo_label_weight:
        return losses
    log_q = log_soft_assignment(z, centroids, clusterer.alpha)
    q = log_q.detach().exp()
    own = self_labelling_loss(log_q, q, clusterer.pseudo_label_threshold)
    loss = losses["loss"] + clusterer.pseudo_label_weight * own
    return {**losses, "loss": loss, "pseudo_label_loss": own}
