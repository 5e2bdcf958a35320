"""Scores of clusterings, representations and samples, and scorers for searches.

Normalised mutual information and the adjusted Rand index themselves are
scikit-learn's.
"""

from skdeep.metrics._coherence import npmi_coherence_score
from skdeep.metrics._copies import (
    closest_record_share,
    novelty_score,
    uniqueness_score,
)
from skdeep.metrics._frechet import frechet_distance
from skdeep.metrics._inception import inception_score
from skdeep.metrics._manifold import manifold_precision_recall
from skdeep.metrics._matching import (
    clustering_accuracy_score,
    matched_iou_score,
    purity_score,
)
from skdeep.metrics._modularity import graph_modularity, neighbor_modularity_score
from skdeep.metrics._pairs import pairwise_precision_recall_f_score
from skdeep.metrics._path_length import perceptual_path_length
from skdeep.metrics._probes import knn_probe, linear_probe
from skdeep.metrics._sampler_scorers import (
    SAMPLER_SCORERS,
    classifier_two_sample_scorer,
    frechet_scorer,
    manifold_f_scorer,
    manifold_precision_scorer,
    manifold_recall_scorer,
)
from skdeep.metrics._scorers import (
    CLUSTERING_SCORERS,
    adjusted_rand_scorer,
    clustering_accuracy_scorer,
    embedding_silhouette_scorer,
    neighbor_modularity_scorer,
    normalized_mutual_info_scorer,
    stability_scorer,
)
from skdeep.metrics._two_sample import classifier_two_sample_score

__all__ = [
    "CLUSTERING_SCORERS",
    "SAMPLER_SCORERS",
    "adjusted_rand_scorer",
    "classifier_two_sample_score",
    "classifier_two_sample_scorer",
    "closest_record_share",
    "clustering_accuracy_score",
    "clustering_accuracy_scorer",
    "embedding_silhouette_scorer",
    "frechet_distance",
    "frechet_scorer",
    "graph_modularity",
    "inception_score",
    "knn_probe",
    "linear_probe",
    "manifold_f_scorer",
    "manifold_precision_recall",
    "manifold_precision_scorer",
    "manifold_recall_scorer",
    "matched_iou_score",
    "neighbor_modularity_score",
    "neighbor_modularity_scorer",
    "normalized_mutual_info_scorer",
    "novelty_score",
    "npmi_coherence_score",
    "pairwise_precision_recall_f_score",
    "perceptual_path_length",
    "purity_score",
    "stability_scorer",
    "uniqueness_score",
]
