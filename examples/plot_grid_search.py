"""
=================================
Grid search, pretraining shared
=================================

Most of the time of a deep clusterer goes into its autoencoder. With ``memory``,
candidates of a search that share the autoencoder, the rows and the seed pretrain it
once: of the eight fits of a fold here, two do.
"""

import tempfile
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from skdeep import CLUSTERING_SCORERS, AutoencoderTransformer, IDECClusterer

X, y = load_digits(return_X_y=True)

# %%
# Parameters of the autoencoder are reached through ``autoencoder__``. The labels are
# used by the scorers alone; without them there is ``neighbor_modularity_scorer``.

grid = {
    "autoencoder__n_components": [3, 10],
    "n_clusters": [6, 8, 10, 12],
}
with tempfile.TemporaryDirectory() as memory:
    idec = IDECClusterer(
        autoencoder=AutoencoderTransformer(max_iter=40),
        max_iter=5,
        memory=memory,
        random_state=0,
    )
    search = GridSearchCV(
        idec,
        grid,
        scoring=CLUSTERING_SCORERS,
        refit=False,
        cv=StratifiedKFold(2, shuffle=True, random_state=0),
    )
    started = time.perf_counter()
    search.fit(X, y)
    print(f"16 fits, 4 pretrainings: {time.perf_counter() - started:.0f} s")

# %%
# Accuracy, mutual information and adjusted Rand index on held-out rows. The time of
# each fit shows which candidate had to pretrain.

results = search.cv_results_
panels = {name: results[f"mean_test_{name}"] for name in CLUSTERING_SCORERS}
panels["seconds of a fit"] = results["mean_fit_time"]
figure, axes = plt.subplots(1, 4, figsize=(13, 2.8), layout="constrained")
for ax, (name, values) in zip(axes, panels.items(), strict=True):
    table = np.reshape(values, (2, 4))
    ax.imshow(table, cmap="Blues" if "seconds" not in name else "Oranges")
    for (row, column), value in np.ndenumerate(table):
        dark = value > (table.min() + table.max()) / 2
        color = "white" if dark else "black"
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", color=color)
    ax.set(title=name, xlabel="n_clusters")
    ax.set_xticks(range(4), grid["n_clusters"])
    ax.set_yticks(range(2), grid["autoencoder__n_components"])
axes[0].set_ylabel("n_components")
plt.show()
