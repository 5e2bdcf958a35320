"""
====================
Density of two moons
====================

A flow learns the density of two moons, exactly normalised; a diffusion model draws
points that a classifier can hardly tell from real ones. A mixture of Gaussians is the
rival that both have to stand beside.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons
from sklearn.mixture import GaussianMixture

from skdeep import DiffusionSampler, FlowSampler, classifier_two_sample_score

X, _ = make_moons(4000, noise=0.05, random_state=0)
held_out, _ = make_moons(2000, noise=0.05, random_state=1)

# %%
# Nats are comparable: all three densities are in units of the input.

flow = FlowSampler(max_iter=80, random_state=0).fit(X)
mixture = GaussianMixture(20, random_state=0).fit(X)
diffusion = DiffusionSampler(max_iter=80, random_state=0).fit(X)
print(f"flow     {flow.score(held_out):.3f} nats a row")
print(f"mixture  {mixture.score(held_out):.3f} nats a row")

# %%
# The density on a grid sums to one, and 0.5 is the best score of a sampler.

x, y = np.linspace(-1.5, 2.5, 240), np.linspace(-1, 1.5, 150)
grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
density = np.exp(flow.score_samples(grid))
print(f"integral {density.sum() * (x[1] - x[0]) * (y[1] - y[0]):.3f}")

figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
axes[0].pcolormesh(x, y, density.reshape(len(y), len(x)), cmap="viridis")
axes[0].set_title("density of the flow")
for ax, (name, sampler) in zip(
    axes[1:], {"flow": flow, "diffusion": diffusion}.items(), strict=True
):
    drawn = sampler.sample(2000, random_state=0)
    auc = classifier_two_sample_score(held_out, drawn, random_state=0)
    ax.scatter(*drawn.T, s=2)
    ax.set(
        title=f"drawn by the {name}: AUC {auc:.2f}", xlim=x[[0, -1]], ylim=y[[0, -1]]
    )
plt.show()
