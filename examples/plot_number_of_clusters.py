"""
==================================
How many clusters are there?
==================================

The objective of a deep clusterer does not tell, since it changes with the embedding and
with the number of clusters. :class:`~skdeep.cluster.NClustersSearch` pretrains once,
runs k-means on the code for each number, and asks how well these clusters cut the
nearest-neighbour graph of the *input*.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from skdeep import DECClusterer, NClustersSearch, clustering_accuracy_score
from skdeep.inspection import EmbeddingDisplay, NClustersDisplay

X, y = load_digits(return_X_y=True)
search = NClustersSearch(DECClusterer(), max_clusters=25, random_state=0).fit(X)
print(f"{search.n_clusters_} clusters, of {len(set(y))} digits")
print(f"accuracy {clustering_accuracy_score(y, search.labels_):.2f}")

# %%
# The curve that it chose from, and the clusters that DEC then made. Around its peak the
# curve is flat: the fewest clusters that are about as good are taken. A digit that is
# written in two ways may count as two groups: no criterion without labels can tell.

figure, axes = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
NClustersDisplay.from_estimator(search, ax=axes[0])
EmbeddingDisplay.from_estimator(search, X, ax=axes[1])
plt.show()
