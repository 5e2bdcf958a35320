"""
=========================
Four samplers on moons
=========================

A VAE, a flow, a diffusion model and an adversarial network learn the same two moons.
The title of each panel is the area under the ROC curve of a classifier that tells the
drawn points from new real ones: 0.5 is the best that a sampler can reach.

A table of two columns is no task for a VAE: the noise of its code and of its decoder
blurs what is as thin as a moon. The flow is exact, and the shape that it bends shows in
the bridges between the moons.
"""

import time

import matplotlib.pyplot as plt
from sklearn.datasets import make_moons

from skdeep import DiffusionSampler, FlowSampler, GANSampler, VAESampler
from skdeep.metrics import classifier_two_sample_score

X, _ = make_moons(1500, noise=0.06, random_state=0)
new, _ = make_moons(1000, noise=0.06, random_state=1)

# %%
# Budgets of some seconds each.

samplers = {
    "VAE": VAESampler(2, beta=0.1, max_iter=60, random_state=0),
    "flow": FlowSampler(max_iter=60, random_state=0),
    "diffusion": DiffusionSampler(max_iter=220, random_state=0),
    "GAN": GANSampler(2, max_iter=100, random_state=0),
}
figure, axes = plt.subplots(
    1, 5, figsize=(14, 3), sharex=True, sharey=True, layout="constrained"
)
axes[0].scatter(*new.T, s=2, color="0.45")
axes[0].set_title("new real points")
for ax, (name, sampler) in zip(axes[1:], samplers.items(), strict=True):
    started = time.perf_counter()
    drawn = sampler.fit(X).sample(1000, random_state=0)
    seconds = time.perf_counter() - started
    auc = classifier_two_sample_score(new, drawn, random_state=0)
    ax.scatter(*drawn.T, s=2, color="C1")
    ax.set_title(f"{name}: AUC {auc:.2f}")
    print(f"{name:10s} {seconds:5.1f} s")
plt.show()
