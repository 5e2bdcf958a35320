import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import NearestNeighbors

from skdeep.cluster import (
    AEKMeans,
    DCNClusterer,
    DECClusterer,
    IDECClusterer,
    SCANClusterer,
    VaDEClusterer,
)
from skdeep.metrics import graph_modularity
from skdeep.representation import AutoencoderTransformer, SimCLRTransformer

BRIEF = {"n_init": 1, "random_state": 0}
CLUSTERERS = {
    AEKMeans: BRIEF,
    **dict.fromkeys(
        [DECClusterer, IDECClusterer, DCNClusterer], BRIEF | {"max_iter": 2}
    ),
    VaDEClusterer: BRIEF | {"max_iter": 2, "guard": False},
    SCANClusterer: BRIEF | {"max_iter": 2, "self_label_iter": 1, "guard": False},
}
each = pytest.mark.parametrize("Clusterer", CLUSTERERS)

X, y = make_blobs(150, 5, centers=6, cluster_std=3, random_state=0)


def small(**parameters):
    defaults = {"hidden_layer_sizes": (16,), "max_iter": 8, "learning_rate": 1e-2}
    return AutoencoderTransformer(3, **{**defaults, **parameters})


def brief(Clusterer, **parameters):
    """Make a clusterer of short fits, whose encoder has such parameters."""
    model = Clusterer(6, **CLUSTERERS[Clusterer])
    if Clusterer is SCANClusterer:
        defaults = {"hidden_layer_sizes": (16,), "max_iter": 2}
        encoder = SimCLRTransformer(3, **{**defaults, **parameters})
        return model.set_params(encoder=encoder)
    return model.set_params(autoencoder=small(**parameters))


class Recorder:
    """Callback that notes the tasks it sees, in the runs too."""

    max_propagation_depth = None

    def __init__(self):
        self.seen = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.seen.append(context.task_name)

    def on_fit_task_end(self, estimator, context):
        pass


@each
def test_run_with_the_largest_modularity_is_kept(Clusterer):
    model = brief(Clusterer)
    best = clone(model).set_params(n_runs=4).fit(X)
    assert best.run_scores_.shape == (4,)
    assert len(set(best.run_scores_)) > 1
    scaled = best._embedder()._scaled_rows(X)[slice(0, 150)].numpy()
    graph = NearestNeighbors(n_neighbors=15).fit(scaled)
    neighbors = graph.kneighbors(return_distance=False)
    found = graph_modularity(neighbors, best.labels_)
    assert found == pytest.approx(best.run_scores_.max())
    np.testing.assert_array_equal(best.labels_, best.predict(X))
    again = clone(best).fit(X)
    np.testing.assert_array_equal(best.transform(X), again.transform(X))
    single = model.fit(X)
    assert single.run_scores_ is None
    assert vars(best).keys() == vars(single).keys()


@each
def test_runs_share_a_pretraining_that_would_be_the_same(Clusterer):
    once = brief(Clusterer, random_state=1).set_params(n_runs=3)
    (parameter,) = once._defaults
    frozen = FrozenEstimator(clone(getattr(once, parameter)).fit(X))
    none = clone(once).set_params(**{parameter: frozen}).fit(X)
    once.fit(X)
    np.testing.assert_array_equal(once.run_scores_, none.run_scores_)
    np.testing.assert_array_equal(once.transform(X), none.transform(X))


def test_seeded_autoencoder_is_pretrained_once(monkeypatch):
    fits = []
    train = AutoencoderTransformer._train

    def counted(self, *arguments):
        fits.append(self.random_state)
        return train(self, *arguments)

    monkeypatch.setattr(AutoencoderTransformer, "_train", counted)
    model = DECClusterer(6, n_runs=3, n_init=2, max_iter=1, random_state=0)
    clone(model).set_params(autoencoder=small(random_state=1)).fit(X)
    assert fits == [1]
    clone(model).set_params(autoencoder=small()).fit(X)
    assert len(set(fits[1:])) == 3


def test_each_run_is_a_fit_of_its_own_inside_the_fit():
    recorder = Recorder()
    model = DECClusterer(
        6,
        autoencoder=small(max_iter=1),
        n_runs=2,
        n_init=2,
        max_iter=1,
        tol=0,
        random_state=0,
    )
    model.set_callbacks(recorder).fit(X)
    one = ["fit", "pretrain", "epoch", "init", "cluster", "epoch"]
    assert recorder.seen == ["fit", *one, *one]


def test_a_failing_run_leaves_an_unfitted_estimator():
    model = DECClusterer(6, autoencoder=small(), n_runs=2, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="became"):
        model.fit(X)
    assert [name for name in vars(model) if name.endswith("_")] == []
    with pytest.raises(ValueError, match="The 'n_runs' parameter of DECClusterer"):
        DECClusterer(n_runs=0).fit(X)
