"""Scores of clusterings and representations, and scorers for model selection.

Normalised mutual information and the adjusted Rand index themselves are
scikit-learn's.
"""

from skdeep.metrics._matching import (
    clustering_accuracy_score,
    matched_iou_score,
    purity_score,
)
from skdeep.metrics._modularity import graph_modularity, neighbor_modularity_score
from skdeep.metrics._pairs import pairwise_precision_recall_f_score
from skdeep.metrics._probes import knn_probe, linear_probe
from skdeep.metrics._scorers import (
    CLUSTERING_SCORERS,
    adjusted_rand_scorer,
    clustering_accuracy_scorer,
    embedding_silhouette_scorer,
    neighbor_modularity_scorer,
    normalized_mutual_info_scorer,
    stability_scorer,
)

__all__ = [
    "CLUSTERING_SCORERS",
    "adjusted_rand_scorer",
    "clustering_accuracy_score",
    "clustering_accuracy_scorer",
    "embedding_silhouette_scorer",
    "graph_modularity",
    "knn_probe",
    "linear_probe",
    "matched_iou_score",
    "neighbor_modularity_score",
    "neighbor_modularity_scorer",
    "normalized_mutual_info_scorer",
    "pairwise_precision_recall_f_score",
    "purity_score",
    "stability_scorer",
]
