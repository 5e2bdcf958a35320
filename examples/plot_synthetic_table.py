"""
=========================
Synthetic rows, judged
=========================

Rows that look like those of a table, but are nobody's. Three questions decide whether
they are good: can a classifier tell them from real rows that were held out, do they
cover the real ones, and are they copies of the rows that were fitted?

The rival is a Gaussian mixture. On a table of some hundred rows it is hard to beat.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import QuantileTransformer

from skdeep import DiffusionSampler, FlowSampler, make_sampler_pipeline
from skdeep.inspection import SampleDisplay
from skdeep.metrics import (
    classifier_two_sample_score,
    closest_record_share,
    manifold_precision_recall,
)

X = load_breast_cancer(as_frame=True).data.filter(like="mean")
train, held_out = train_test_split(X, test_size=0.4, random_state=0)

# %%
# Skewed columns become normal ones by their quantiles, and samples come back through
# that step as a DataFrame.


def normal_columns():
    return QuantileTransformer(
        n_quantiles=100, output_distribution="normal", random_state=0
    )


models = {
    "columns alone": None,
    "Gaussian mixture": GaussianMixture(3, reg_covar=1e-3, random_state=0),
    "flow": FlowSampler(max_iter=60, random_state=0),
    "diffusion": DiffusionSampler(max_iter=400, random_state=0),
}
rng = np.random.RandomState(0)
drawn = {}
for name, model in models.items():
    if model is None:  # each column shuffled: right marginals, no dependence
        drawn[name] = train.apply(lambda column: rng.permutation(column.to_numpy()))
    else:
        pipeline = make_sampler_pipeline(normal_columns(), model).fit(train)
        drawn[name] = pipeline.sample(len(train), random_state=0)

# %%
# An AUC of 0.5 is ideal; precision falls with rows that are wrong, recall with rows
# that are missing; half of the rows should be nearer to a fitted row than to a held-out
# one, were there as many of both.

spread = train.std()
verdicts = {}
for name, rows in drawn.items():
    found = manifold_precision_recall(held_out / spread, rows / spread)
    verdicts[name] = {
        "AUC": classifier_two_sample_score(held_out, rows, random_state=0),
        "precision": found.precision,
        "recall": found.recall,
        "nearer to fitted": closest_record_share(
            train / spread, rows / spread, held_out / spread
        ),
    }
verdicts = pd.DataFrame(verdicts).T
print(verdicts.round(2))

figure, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
verdicts.plot.bar(ax=ax, rot=0, width=0.75)
ax.axhline(0.5, color="0.5", linewidth=0.8, linestyle=":")
ax.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1))
plt.show()

# %%
# Pairs of columns: real rows in grey, those of the flow in orange. The curve of radius
# and area is the hardest to keep.

names = ["mean radius", "mean area", "mean smoothness", "mean concavity"]
SampleDisplay.from_samples(drawn["flow"], held_out, kind="pairs", columns=names)
plt.show()
