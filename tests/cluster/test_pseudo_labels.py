import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.frozen import FrozenEstimator

from skdeep.cluster import DCNClusterer, DECClusterer, IDECClusterer
from skdeep.cluster._pseudo_labels import with_pseudo_labels
from skdeep.metrics import clustering_accuracy_score
from skdeep.objectives.clustering import soft_assignment
from skdeep.representation import AutoencoderTransformer

each = pytest.mark.parametrize("Clusterer", [DECClusterer, IDECClusterer, DCNClusterer])

X, y = make_blobs(150, 6, centers=3, random_state=0)


@pytest.fixture(scope="module")
def frozen():
    autoencoder = AutoencoderTransformer(
        2, hidden_layer_sizes=(16,), max_iter=30, learning_rate=1e-2, random_state=0
    )
    return FrozenEstimator(autoencoder.fit(X))


def test_sure_rows_add_the_cross_entropy_of_their_own_label():
    z = torch.tensor([[0.0, 0.1], [0.2, 0.0], [10.0, 0.0], [5.0, 0.0]])
    centroids = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    q = soft_assignment(z, centroids, 1.0)
    clusterer = DECClusterer(2, pseudo_label_weight=0.5, pseudo_label_threshold=0.9)
    losses = with_pseudo_labels(clusterer, {"loss": torch.tensor(2.0)}, z, centroids)
    first = -q[:2, 0].log().mean()  # the last row lies between both and is not sure
    own = float(first - q[2, 1].log()) / 2
    assert float(losses["pseudo_label_loss"]) == pytest.approx(own, rel=1e-5)
    assert float(losses["loss"]) == pytest.approx(2 + 0.5 * own, rel=1e-5)


def test_without_weight_or_sure_rows_nothing_is_added():
    z, centroids = torch.randn(5, 2), torch.randn(3, 2)
    loss = {"loss": torch.tensor(1.0)}
    assert with_pseudo_labels(DECClusterer(), loss, z, centroids) is loss
    strict = DECClusterer(pseudo_label_weight=1, pseudo_label_threshold=1.0)
    assert with_pseudo_labels(strict, loss, z, centroids)["loss"] == 1


@each
def test_pseudo_labels_sharpen_the_assignment(Clusterer, frozen):
    model = Clusterer(
        3, autoencoder=frozen, max_iter=10, tol=0, guard=False, random_state=0
    )
    plain = clone(model).fit(X)
    tuned = clone(model).set_params(pseudo_label_weight=1.0, pseudo_label_threshold=0.5)
    tuned.fit(X)
    assert "pseudo_label_loss" not in plain.history_
    assert len(tuned.history_["pseudo_label_loss"]) == 10
    sure = [m.predict_proba(X).max(axis=1).mean() for m in (plain, tuned)]
    assert sure[1] > sure[0]
    assert clustering_accuracy_score(y, tuned.labels_) > 0.95
    np.testing.assert_array_equal(tuned.labels_, tuned.predict(X))


@each
@pytest.mark.parametrize(
    "wrong", [{"pseudo_label_weight": -1}, {"pseudo_label_threshold": 1.5}]
)
def test_values_out_of_range_are_refused(Clusterer, wrong):
    with pytest.raises(ValueError, match=f"The '{next(iter(wrong))}' parameter of"):
        Clusterer(3, **wrong).fit(X)
