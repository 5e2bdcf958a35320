"""Tables and images with planted groups, and how well codes tell these."""

import numpy as np
from sklearn.neighbors import KNeighborsClassifier


def table(n=300):
    """Three groups in eight columns, beside twelve of noise."""
    rng = np.random.RandomState(0)
    y = rng.randint(3, size=n)
    centers = 1.2 * rng.randn(3, 8)
    return np.hstack([centers[y] + 0.6 * rng.randn(n, 8), rng.randn(n, 12)]), y


def images(n=300, kinds=("across", "down", "aslant")):
    """Bars in noise, one an image, anywhere."""
    rng = np.random.RandomState(0)
    y = rng.randint(len(kinds), size=n)
    X = 0.3 * rng.randn(n, 1, 8, 8)
    every = np.arange(8)
    for x, kind, place in zip(X[:, 0], y, rng.randint(1, 7, n), strict=True):
        bars = {
            "across": (place, every),
            "down": (every, place),
            "aslant": (every, (every + place) % 8),
        }
        x[bars[kinds[kind]]] += 2
    return X, y


def knn_accuracy(model, X, y):
    """Share of the second half that neighbours in the first one tell by their codes."""
    Z = model.fit(X).transform(X)
    half = len(X) // 2
    return KNeighborsClassifier().fit(Z[:half], y[:half]).score(Z[half:], y[half:])
