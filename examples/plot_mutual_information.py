r"""
Mutual information: estimated and true
======================================

The mutual information of two correlated Gaussians is known, so that an estimate can be
held against it. With :math:`d` independent pairs of columns of correlation
:math:`\rho`, it is :math:`-\frac d2 \log (1 - \rho^2)` nats.

:func:`skdeep.representation.mutual_information` trains a network, the critic, to tell
the pairs of rows that belong together from pairs put together at random. What it
reports is computed on rows that the critic has not seen.
"""

# %%
# Two sets of columns of known mutual information
# -----------------------------------------------

import matplotlib.pyplot as plt
import numpy as np

from skdeep.representation import mutual_information


def correlated_gaussians(n_samples, n_columns, nats, random_state):
    rng = np.random.RandomState(random_state)
    correlation = np.sqrt(1 - np.exp(-2 * nats / n_columns))
    X, noise = rng.randn(2, n_samples, n_columns)
    return X, correlation * X + np.sqrt(1 - correlation**2) * noise


X, Y = correlated_gaussians(3000, 10, nats=2.0, random_state=0)
brief = {
    "max_iter": 30,
    "batch_size": 256,
    "learning_rate": 3e-3,
    "weight_decay": 0.03,
    "hidden_layer_sizes": (64, 64),
}
mutual_information(X, Y, random_state=0, **brief)

# %%
# Four estimators
# ---------------
# All are lower bounds, and so they lie below the diagonal but for chance. How far
# depends on the critic: ten columns each are harder to learn from 2250 rows than one,
# and the larger the mutual information, the more there is to learn. InfoNCE cannot
# exceed its limit, the logarithm of the number of rows among which it looks for the
# partner of each.

truth = [0.0, 1.0, 2.5, 4.0, 6.0]
names = {
    "dv": "Donsker-Varadhan",
    "nwj": "Nguyen-Wainwright-Jordan",
    "jsd": "Jensen-Shannon",
    "infonce": "InfoNCE",
}
figure, axes = plt.subplots(
    1, 2, figsize=(9, 5.2), sharex=True, sharey=True, layout="constrained"
)
for ax, n_columns in zip(axes, (1, 10), strict=True):
    ax.axline((0, 0), slope=1, color="0.6", linewidth=1, label="truth")
    for marker, (estimator, label) in zip("os^D", names.items(), strict=True):
        found = [
            mutual_information(
                *correlated_gaussians(3000, n_columns, nats, random_state=1),
                estimator=estimator,
                random_state=0,
                **brief,
            )
            for nats in truth
        ]
        values = [result.value for result in found]
        ax.plot(truth, values, marker=marker, markersize=5, alpha=0.8, label=label)
    ax.axhline(found[0].limit, color="C3", linestyle=":", label="limit of InfoNCE")
    columns = "one column" if n_columns == 1 else f"{n_columns} columns"
    ax.set(title=f"{columns} each", xlabel="true mutual information (nats)")
axes[0].set_ylabel("estimate on held-out rows (nats)")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
plt.show()

# %%
# No form of dependence is presumed
# ---------------------------------
# A parabola has no correlation, and yet each column tells about the other.

rng = np.random.RandomState(0)
x, noise = rng.randn(2, 4000)
y = x**2 + 0.5 * noise
print(f"correlation {np.corrcoef(x, y)[0, 1]:.2f}")
print(mutual_information(x, y, random_state=0, **brief))
