"""
======================
From noise to a row
======================

A diffusion model takes noise away step by step. Its code is the noise itself: the same
noise leads to the same point, however many steps it takes. More steps follow the path
more exactly, and cost as much more.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_swiss_roll
from sklearn.preprocessing import scale

from skdeep import DiffusionSampler
from skdeep.metrics import classifier_two_sample_score

roll, along = make_swiss_roll(3000, noise=0.3, random_state=0)
X, new = np.split(scale(roll[:, [0, 2]]), [2000])

# %%
# The model is fitted once; ``n_steps`` counts when rows are drawn.

diffusion = DiffusionSampler(max_iter=250, random_state=0).fit(X)
noise = np.random.RandomState(0).randn(1000, 2)

# %%
# The same thousand noises, followed in 1, 3, 10 and 50 steps. Colours are the angle of
# the noise, so that it can be seen where it goes.

angle = np.arctan2(*noise.T)
figure, axes = plt.subplots(1, 5, figsize=(14, 3.1), layout="constrained")
axes[0].scatter(*noise.T, c=angle, cmap="twilight", s=3)
axes[0].set_title("noise")
for ax, n_steps in zip(axes[1:], [1, 3, 10, 50], strict=True):
    diffusion.set_params(n_steps=n_steps)
    rows = diffusion.inverse_transform(noise)
    auc = classifier_two_sample_score(new, rows, random_state=0)
    ax.scatter(*rows.T, c=angle, cmap="twilight", s=3)
    ax.set_title(f"{n_steps} step{'s' * (n_steps > 1)}: AUC {auc:.2f}")
for ax in axes:
    ax.set(xticks=[], yticks=[])
plt.show()
