"""
==================================
How many clusters are there?
==================================

The objective of a deep clusterer does not tell, since it changes with the embedding and
with the number of clusters. Two things can be asked without labels: how well the
clusters cut the nearest-neighbour graph of the *input* (modularity), and whether two
fits on different rows agree (stability).
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs
from sklearn.model_selection import GridSearchCV, KFold

from skdeep import AEKMeans, AutoencoderTransformer
from skdeep.inspection import NClustersDisplay
from skdeep.metrics import neighbor_modularity_scorer, stability_scorer

# %%
# Five groups in four hidden dimensions, seen through twenty bent columns.

hidden, _ = make_blobs(900, n_features=4, centers=5, cluster_std=1.2, random_state=3)
mixing = np.random.RandomState(0).randn(4, 20)
X = np.tanh(0.15 * hidden @ mixing) + 0.05 * np.random.RandomState(1).randn(900, 20)

# %%
# The candidates of a fold share one pretraining, which `memory` keeps.

candidates = range(2, 10)
with tempfile.TemporaryDirectory() as memory:
    clusterer = AEKMeans(
        autoencoder=AutoencoderTransformer(4, max_iter=40),
        memory=memory,
        random_state=0,
    )
    search = GridSearchCV(
        clusterer,
        {"n_clusters": candidates},
        scoring={
            "modularity": neighbor_modularity_scorer,
            "stability": stability_scorer,
        },
        refit=False,
        cv=KFold(3, shuffle=True, random_state=0),
    ).fit(X)

# %%
# One panel a criterion: the mean over the folds, and its standard deviation.

figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for ax, name in zip(axes, ["modularity", "stability"], strict=True):
    scores = [search.cv_results_[f"split{fold}_test_{name}"] for fold in range(3)]
    NClustersDisplay.from_scores(
        candidates, np.transpose(scores), score_name=name, ax=ax
    )
plt.show()
