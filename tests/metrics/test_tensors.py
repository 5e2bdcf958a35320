"""Tensors count as the arrays that they hold, wherever rows or labels are taken."""

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from skdeep import metrics
from skdeep.cluster import cluster_terms
from skdeep.generative import attribute_direction

ROWS, LABELS = make_blobs(60, n_features=4, centers=3, random_state=0)
ROWS = torch.tensor(ROWS).bfloat16().double().numpy()  # which all types can hold
GUESS = np.where(np.arange(60) % 5 == 0, 0, LABELS)
MODEL = KMeans(3, n_init=1, random_state=0).fit(ROWS)
COMPONENTS = PCA(2, random_state=0).fit(ROWS)
CLASSIFIER = LogisticRegression().fit(ROWS, LABELS)
PROBE = {"n_labels": (5,), "n_repeats": 1, "random_state": 0}

USES = {
    "neighbor modularity": lambda X, y: metrics.neighbor_modularity_score(X, y),
    "graph modularity": lambda _, y: metrics.graph_modularity(y[:, None], y),
    "accuracy": lambda _, y: metrics.clustering_accuracy_score(y, GUESS),
    "purity": lambda _, y: metrics.purity_score(GUESS, y),
    "overlap": lambda _, y: metrics.matched_iou_score(y, GUESS),
    "pairs": lambda _, y: metrics.pairwise_precision_recall_f_score(y, GUESS),
    "coherence": lambda X, y: metrics.npmi_coherence_score(X > 0, y[None, :2]),
    "terms": lambda X, y: cluster_terms(y, abs(X), list("abcd")).coherence,
    "distance": lambda X, _: metrics.frechet_distance(X, X[::2]),
    "distance of components": lambda X, _: metrics.frechet_distance(
        X, X[::2], features=COMPONENTS
    ),
    "distance of what a network makes": lambda X, _: metrics.frechet_distance(
        X, X[::2], features=abs
    ),
    "manifold": lambda X, _: metrics.manifold_precision_recall(X, X[::2]),
    "two samples": lambda X, _: metrics.classifier_two_sample_score(
        X, X[::2], classifier=LogisticRegression(), random_state=0
    ),
    "uniqueness": lambda X, _: metrics.uniqueness_score(X),
    "novelty": lambda X, _: metrics.novelty_score(X[::2], X),
    "inception": lambda X, _: metrics.inception_score(X, classifier=CLASSIFIER),
    "path length": lambda X, _: metrics.perceptual_path_length(
        lambda codes: codes, X[::2], X[1::2], random_state=0
    ),
    "linear probe": lambda X, y: metrics.linear_probe(PCA(2), X, y, **PROBE)["encoder"][
        5
    ],
    "knn probe": lambda X, y: metrics.knn_probe(None, X, y, **PROBE)["raw"][5],
    "direction": lambda X, y: attribute_direction(X, y > 0, method="linear"),
    "scorers": lambda _, y: [
        scorer(MODEL, ROWS, y) for scorer in metrics.CLUSTERING_SCORERS.values()
    ],
}

KINDS = {
    "plain": torch.tensor,
    "of a graph": lambda X: torch.tensor(X, requires_grad=X.dtype.kind == "f"),
    "bfloat16": lambda X: torch.tensor(
        X, dtype=torch.bfloat16 if X.dtype.kind == "f" else None
    ),
}


@pytest.mark.parametrize("dispatch", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("use", USES)
def test_tensors_are_judged_as_arrays(use, kind, dispatch, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    expected = USES[use](ROWS, LABELS)
    with config_context(array_api_dispatch=dispatch):
        found = USES[use](KINDS[kind](ROWS), KINDS[kind](LABELS))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
