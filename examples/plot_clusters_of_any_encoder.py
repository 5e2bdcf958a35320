"""
========================
Clusters of any encoder
========================

The clusterers start from every representation estimator, in one line. Here it is a
contrastive encoder of images of digits, whose views are shifted, turned and scaled.
k-means finds the classes in its codes no better than in the pixels, since codes spread
by these moves. DEC starts from Gaussians of one covariance, which tell the two apart,
and draws the classes away from each other.
"""

import matplotlib.pyplot as plt
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator

from skdeep import AEKMeans, DECClusterer, SimCLRTransformer
from skdeep.metrics import clustering_accuracy_score

digits = load_digits()
images = digits.images[:, None]  # (n, channels, height, width)

# %%
# Three clusterings, the last two from the same contrastive encoder: frozen, it is not
# trained once more for each, and DEC tunes a copy.

encoder = FrozenEstimator(
    SimCLRTransformer(16, max_iter=25, random_state=0).fit(images)
)
aekmeans = AEKMeans(10, autoencoder=encoder, random_state=0).fit(images)
dec = DECClusterer(10, autoencoder=encoder, random_state=0).fit(images)
kmeans = KMeans(10, n_init=10, random_state=0).fit(digits.data)

# %%
# Each embedding on its first two principal components, coloured by the true class.

panels = {
    "pixels, k-means": (digits.data, kmeans.labels_),
    "SimCLR, AEKMeans": (aekmeans.transform(images), aekmeans.labels_),
    "SimCLR, DEC": (dec.transform(images), dec.labels_),
}
figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
for ax, (title, (Z, labels)) in zip(axes, panels.items(), strict=True):
    plane = PCA(2).fit_transform(Z)
    ax.scatter(*plane.T, c=digits.target, cmap="tab10", s=4)
    accuracy = clustering_accuracy_score(digits.target, labels)
    ax.set(title=f"{title}: ACC {accuracy:.2f}", xticks=[], yticks=[])
plt.show()
