"""
=============================
Types of cells, from counts
=============================

Single-cell counts are sparse, and cells differ in how many molecules were caught of
them. The usual steps are scikit-learn transformers: scale each cell to the same total,
take logarithms, keep the first principal components, and cluster.

The cells here are planted: 1500 of six types, 1000 genes, most entries zero.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer

from skdeep import DECClusterer
from skdeep.inspection import EmbeddingDisplay
from skdeep.metrics import clustering_accuracy_score


def planted_cells(n_cells, n_genes, n_types, random_state):
    """Draw counts of cells with 30 marker genes a type, and the types."""
    rng = np.random.RandomState(random_state)
    base = rng.lognormal(0, 1, n_genes)
    profiles = np.tile(base, (n_types, 1))
    for profile in profiles:
        profile[rng.choice(n_genes, 30, replace=False)] *= rng.lognormal(1.2, 0.5, 30)
    types = rng.choice(n_types, n_cells, p=rng.dirichlet(np.full(n_types, 8)))
    depth = rng.lognormal(4.6, 0.5, n_cells)
    shares = profiles[types] / profiles[types].sum(axis=1, keepdims=True)
    return sparse.csr_matrix(rng.poisson(depth[:, None] * shares)), types


counts, types = planted_cells(1500, 1000, 6, random_state=0)
print(f"{1 - counts.nnz / np.prod(counts.shape):.0%} of the entries are zero")

# %%
# ``Normalizer`` and ``log1p`` keep zeros zero, and ``TruncatedSVD`` takes the sparse
# matrix. The clusterers could, too; that makes a larger network and takes longer.


def log_counts(X):
    """Molecules per thousand of a cell, in logarithms."""
    return (X * 1e3).log1p()


def from_counts(clusterer):
    return make_pipeline(
        Normalizer("l1"),
        FunctionTransformer(log_counts, accept_sparse=True),
        TruncatedSVD(30, random_state=0),
        clusterer,
    )


dec = from_counts(DECClusterer(6, random_state=0)).fit(counts)
kmeans = from_counts(KMeans(6, n_init=10, random_state=0)).fit(counts)

# %%
# The embedding, coloured by the planted types.

figure, axes = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
for ax, labels, title in zip(
    axes, [dec[-1].labels_, types], ["clusters", "types"], strict=True
):
    EmbeddingDisplay.from_estimator(dec, counts, labels=labels, ax=ax)
    ax.set_title(title)
accuracies = [
    clustering_accuracy_score(types, model[-1].labels_) for model in (kmeans, dec)
]
figure.suptitle("accuracy: k-means {:.2f}, DEC {:.2f}".format(*accuracies))
plt.show()
