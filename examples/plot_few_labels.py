"""
==================================
What a representation is worth
==================================

A representation learned without labels is worth something if a linear model needs fewer
labels in it than in the pixels. ``linear_probe`` measures that, beside principal
components and beside the same network untrained.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from skdeep import DeepInfoMaxTransformer, SimCLRTransformer
from skdeep.metrics import linear_probe

digits = load_digits()
images = digits.images[:, None]

# %%
# Each transformer sees images and no labels. Both are trained for a short time here;
# the defaults make them better.

transformers = {
    "SimCLR": SimCLRTransformer(32, max_iter=30, random_state=0),
    "Deep InfoMax": DeepInfoMaxTransformer(32, max_iter=15, random_state=0),
}
probes = {
    name: linear_probe(transformer, images, digits.target, random_state=0)
    for name, transformer in transformers.items()
}
print(probes["SimCLR"])

# %%
# Accuracy with 5 labels a class, 10 and all.

curves = {
    "pixels": probes["SimCLR"]["raw"],
    "32 principal components": probes["SimCLR"]["pca"],
    "convolutions, untrained": probes["SimCLR"]["random"],
    **{name: scores["encoder"] for name, scores in probes.items()},
}
figure, ax = plt.subplots(figsize=(7, 4.4), layout="constrained")
for (name, accuracies), marker in zip(curves.items(), "os^Dv", strict=True):
    learned = name in probes
    ax.plot(
        [str(n) for n in accuracies],
        list(accuracies.values()),
        marker=marker,
        linestyle="-" if learned else ":",
        label=name,
    )
ax.set(xlabel="labels a class", ylabel="accuracy on held-out images")
ax.legend()
plt.show()
