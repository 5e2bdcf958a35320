"""
===========================
Anomalies by reconstruction
===========================

An autoencoder rebuilds what it was trained on, and fails on what it never saw. It is
trained here on images of 0 to 8; nines and damaged images should then be rebuilt badly.
For this task the neighbour term is switched off: only the reconstruction counts.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import RocCurveDisplay
from sklearn.model_selection import train_test_split

from skdeep import AutoencoderTransformer
from skdeep.inspection import ReconstructionDisplay

X, y = load_digits(return_X_y=True)
train, usual = train_test_split(X[y != 9], random_state=0)
nines = X[y == 9]
rng = np.random.RandomState(0)
damaged = usual.copy()
damaged[:, rng.permutation(64)[:8]] = 16  # eight pixels are stuck

# %%
# ``score_samples`` is minus the error of the reconstruction: low for unusual rows.

autoencoder = AutoencoderTransformer(
    12, neighbor_weight=0, corruption=0.1, random_state=0
).fit(train)
pca = PCA(12).fit(train)
forest = IsolationForest(random_state=0).fit(train)


def pca_score(rows):
    return -((rows - pca.inverse_transform(pca.transform(rows))) ** 2).mean(axis=1)


scores = {
    "autoencoder": autoencoder.score_samples,
    "PCA": pca_score,
    "isolation forest": forest.score_samples,
}

# %%
# The ROC curves of telling unusual from usual images.

figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
for ax, (title, unusual) in zip(
    axes, {"nines": nines, "damaged images": damaged}.items(), strict=True
):
    rows = np.concatenate([usual, unusual])
    is_usual = np.arange(len(rows)) < len(usual)
    for name, score in scores.items():
        RocCurveDisplay.from_predictions(is_usual, score(rows), name=name, ax=ax)
    ax.set_title(title)
plt.show()

# %%
# Usual images, nines and damaged ones above what the autoencoder makes of them: nines
# come back as threes, eights and fives.

shown = np.concatenate([usual[:4], nines[:4], damaged[:4]])
ReconstructionDisplay.from_estimator(
    autoencoder, shown, image_shape=(1, 8, 8), n_images=12
)
plt.show()
