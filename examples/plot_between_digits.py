"""
==============
Between digits
==============

A variational autoencoder draws digits, and walks from one to another through its code:
each image on the way is decoded from a point between the codes of the two ends.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skdeep import VAESampler, interpolate

digits = load_digits()
X = digits.data / 16

# %%
# Grey values in [0, 1] are read as probabilities of ink.

vae = VAESampler(8, likelihood="bernoulli", random_state=0).fit(X)
drawn = vae.sample(16, random_state=0)

# %%
# Three walks, between the first images of two classes each.

first = {label: X[digits.target == label][:1] for label in (0, 1, 3, 4, 6, 8)}
walks = [
    interpolate(vae, first[a], first[b], n_steps=8).reshape(8, 8, 8)
    for a, b in [(0, 6), (1, 4), (3, 8)]
]

figure, axes = plt.subplots(5, 8, figsize=(8, 5.2), layout="constrained")
rows = [*walks, *drawn.reshape(2, 8, 8, 8)]
for ax, image in zip(axes.flat, np.concatenate(rows), strict=True):
    ax.imshow(image, cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
for ax, name in zip(
    axes[:, 0], ["0 to 6", "1 to 4", "3 to 8", "drawn", ""], strict=True
):
    ax.set_ylabel(name)
plt.show()
