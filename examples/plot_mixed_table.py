"""
===========================================
A table with categories and missing cells
===========================================

Numbers are scaled, categories become indicators, and so do gaps: the pipeline takes the
DataFrame as it is, and new rows too.

The customers here are planted: four groups, two columns of text, a tenth of the cells
missing. For a table of your own, replace the first lines by ``pd.read_csv``.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdeep import AEKMeans, AutoencoderTransformer, TabularEncoder
from skdeep.inspection import EmbeddingDisplay
from skdeep.metrics import clustering_accuracy_score


def planted_customers(n_rows, random_state):
    """Numbers and text of four groups, with gaps."""
    rng = np.random.RandomState(random_state)
    group = rng.randint(4, size=n_rows)
    table = pd.DataFrame(
        {
            "age": np.array([25, 40, 45, 68])[group] + rng.normal(0, 6, n_rows),
            "income": np.array([30e3, 52e3, 95e3, 40e3])[group]
            * rng.lognormal(0, 0.2, n_rows),
            "visits": rng.poisson(np.array([12, 3, 5, 8])[group]),
            "channel": np.where(
                rng.rand(n_rows) < np.array([0.9, 0.6, 0.3, 0.1])[group], "web", "shop"
            ),
            "town": rng.choice(["north", "south", "west"], n_rows),
        }
    )
    return table.mask(rng.rand(*table.shape) < 0.1), group


table, group = planted_customers(1200, random_state=0)
print(table.head())

# %%
# One pipeline from the table to clusters. Autoencoders draw each row to its nearest
# neighbours. With few columns these are the rows of the same categories, and the
# clusters would tell towns and channels apart rather than customers. Where categories
# stand beside measurements, ``neighbor_weight="auto"`` therefore leaves that term out.

columns = TabularEncoder(categorical="onehot", numeric=StandardScaler())


def clusters_of_table(neighbor_weight):
    autoencoder = AutoencoderTransformer(neighbor_weight=neighbor_weight, max_iter=60)
    return make_pipeline(columns, AEKMeans(4, autoencoder=autoencoder, random_state=0))


drawn_to_neighbors = clusters_of_table(neighbor_weight=1).fit(table)
model = clusters_of_table(neighbor_weight="auto").fit(table)
kmeans = make_pipeline(columns, KMeans(4, n_init=10, random_state=0)).fit(table)

# %%
# Both embeddings, coloured by the planted groups; and the second one by its clusters.
# k-means on the columns themselves is nearly as good.

figure, axes = plt.subplots(1, 3, figsize=(15, 4), layout="constrained")
EmbeddingDisplay.from_estimator(drawn_to_neighbors, table, labels=group, ax=axes[0])
EmbeddingDisplay.from_estimator(model, table, labels=group, ax=axes[1])
EmbeddingDisplay.from_estimator(model, table, ax=axes[2])
for ax, pipeline, name in zip(
    axes,
    [drawn_to_neighbors, model, model],
    ["neighbours: groups", "no neighbours: groups", "no neighbours: clusters"],
    strict=True,
):
    accuracy = clustering_accuracy_score(group, pipeline[-1].labels_)
    ax.set_title(f"{name} (accuracy {accuracy:.2f})")
accuracy = clustering_accuracy_score(group, kmeans[-1].labels_)
figure.suptitle(f"k-means: accuracy {accuracy:.2f}")
plt.show()

# %%
# What the clusters are: the means of the columns that hold numbers, and the share of
# customers of the web.

labelled = table.assign(cluster=model.predict(table), web=table["channel"] == "web")
print(labelled.groupby("cluster")[["age", "income", "visits", "web"]].mean().round(2))
