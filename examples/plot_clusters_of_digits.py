"""
==================
Clusters of digits
==================

Nobody tells the clusterers which digit an image shows, nor that it is an image. An
autoencoder is pretrained on the pixels, k-means places ten centroids in its code, and
two ways to sharpen them follow: DEC trains the encoder alone, IDEC keeps the decoder.
"""

import matplotlib.pyplot as plt
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator

from skdeep import AutoencoderTransformer, DECClusterer, IDECClusterer
from skdeep.inspection import (
    ClusterConfusionDisplay,
    EmbeddingDisplay,
    LossCurveDisplay,
    SampleDisplay,
)
from skdeep.metrics import clustering_accuracy_score

X, y = load_digits(return_X_y=True)

# %%
# Both clusterers start from one pretraining.

pretrained = FrozenEstimator(AutoencoderTransformer(10, random_state=2).fit(X))
dec = DECClusterer(10, autoencoder=pretrained, random_state=2).fit(X)
idec = IDECClusterer(10, autoencoder=pretrained, random_state=2).fit(X)
kmeans = KMeans(10, n_init=10, random_state=0).fit(X)
for model in (kmeans, dec, idec):
    accuracy = clustering_accuracy_score(y, model.labels_)
    print(f"{type(model).__name__:14s} {accuracy:.3f}")

# %%
# The embedding on its first two principal components. The crosses are the centroids;
# colours are clusters on the left, and on the right how sure the model is of them.

figure, axes = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
EmbeddingDisplay.from_estimator(dec, X, ax=axes[0])
EmbeddingDisplay.from_estimator(dec, X, color_by="probability", ax=axes[1])
plt.show()

# %%
# Which digits do the clusters mix up? Classes are put beside the clusters that match
# them best.

ClusterConfusionDisplay.from_estimator(dec, X, y)
plt.show()

# %%
# IDEC has a decoder, so that its centroids can be looked at: a prototype each.

prototypes = idec.inverse_transform(idec.cluster_centers_)
SampleDisplay.from_samples(prototypes, image_shape=(1, 8, 8))
plt.show()

# %%
# The objectives over the epochs, one panel a phase. That of the neighbours drops where
# its early exaggeration ends.

LossCurveDisplay.from_estimator(idec)
plt.show()
