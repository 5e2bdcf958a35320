"""
===============
Topics of text
===============

Text becomes columns by TF-IDF: thousands of them, nearly all zero. Clusterers read the
sparse matrix as it is. The words with the largest weights name each cluster.

The texts are planted: each of 1200 draws some words of its topic, and more of those
that all topics share.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from skdeep import AEKMeans, AutoencoderTransformer
from skdeep.inspection import ClusterConfusionDisplay

TOPICS = {
    "space": "orbit rocket launch moon satellite planet lunar mission shuttle probe",
    "cooking": "oven butter flour recipe garlic onion simmer roast pepper dough",
    "sailing": "mast harbour anchor sail tide keel rudder breeze deck mooring",
    "medicine": "patient dose symptom clinic fever surgery nurse virus therapy blood",
    "chess": "bishop knight pawn opening endgame castle gambit rook checkmate board",
}
SHARED = "day people time work year place thing point part week hand group side way"

rng = np.random.RandomState(0)
topics = rng.choice(list(TOPICS), 1200)
texts = [
    " ".join([*rng.choice(TOPICS[topic].split(), 4), *rng.choice(SHARED.split(), 12)])
    for topic in topics
]
print(texts[0])

# %%
# One pipeline from strings to clusters.

model = make_pipeline(
    TfidfVectorizer(),
    AEKMeans(5, autoencoder=AutoencoderTransformer(8, max_iter=60), random_state=0),
).fit(texts)
labels = model[-1].labels_
weights = model[0].transform(texts)
words = model[0].get_feature_names_out()

# %%
# On the left, clusters beside topics; on the right, the heaviest words of each cluster.

figure, axes = plt.subplots(
    1, 2, figsize=(12, 4), width_ratios=[1, 1.3], layout="constrained"
)
display = ClusterConfusionDisplay.from_predictions(topics, labels, ax=axes[0])
axes[1].set_axis_off()
for line, cluster in enumerate(display.cluster_names):
    mean = np.asarray(weights[labels == cluster].mean(axis=0)).ravel()
    heaviest = ", ".join(words[mean.argsort()[::-1][:6]])
    axes[1].text(
        0, 1 - (line + 0.5) / 5, f"cluster {cluster}:  {heaviest}", va="center"
    )
plt.show()

# %%
# A new text finds its cluster, and how sure that is.

new = ["the nurse measured the fever of the patient in the clinic"]
print(
    f"cluster {model.predict(new)[0]}, probability {model.predict_proba(new).max():.2f}"
)
