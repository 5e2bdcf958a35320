import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator

from skdeep.cluster import DCNClusterer, DECClusterer, IDECClusterer
from skdeep.cluster._collapse import RankWatch
from skdeep.representation import AutoencoderTransformer


def small(n_components=6, **parameters):
    defaults = {
        "hidden_layer_sizes": (32,),
        "scale": "standard",
        "max_iter": 30,
        "learning_rate": 1e-2,
    }
    return AutoencoderTransformer(n_components, **{**defaults, **parameters})


@pytest.mark.parametrize(
    ("n_dimensions", "n_clusters", "lost"),
    [(9, 10, False), (4, 10, False), (2, 10, True), (1, 2, False), (0, 2, True)],
)
def test_rank_is_lost_below_a_third_of_what_the_clusters_need(
    n_dimensions, n_clusters, lost
):
    rng = np.random.RandomState(0)
    watch = RankWatch(rng.randn(500, 10), n_clusters)
    Z = np.zeros((500, 10))
    Z[:, :n_dimensions] = rng.randn(500, n_dimensions)
    assert watch.look(Z) == pytest.approx(n_dimensions, rel=0.05)
    assert watch.lost is lost


def test_one_cluster_and_diverged_codes_lose_no_rank():
    watch = RankWatch(np.random.RandomState(0).randn(50, 3), 1)
    watch.look(np.zeros((50, 3)))
    assert not watch.lost
    assert np.isnan(watch.look(np.full((50, 3), np.inf)))
    assert not watch.lost


def test_warning_says_what_is_returned_and_what_to_try():
    watch = RankWatch(np.random.RandomState(0).randn(50, 6), 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch.warn(True, "DECClusterer")
    watch.look(np.zeros((50, 6)))
    text = r"spreads over 0.0 dimensions, of .* state {} it .* smaller learning_rate"
    for kept, when in ((True, "after"), (False, "before")):
        with pytest.warns(ConvergenceWarning, match=text.format(when)):
            watch.warn(kept, "DECClusterer")


@pytest.mark.filterwarnings("ignore:DCNClusterer ended with")
def test_collapse_ends_the_deep_stage_and_the_guard_undoes_it():
    X, _ = make_blobs(300, 8, centers=6, random_state=0)
    narrow = small(hidden_layer_sizes=(4,), early_exaggeration=1, random_state=1)
    frozen = FrozenEstimator(narrow.fit(X))
    # Steps so large that the few rectifiers fall silent, one after the other.
    model = DCNClusterer(
        6,
        autoencoder=frozen,
        clustering_weight=1e4,
        learning_rate=10.0,
        max_iter=60,
        tol=0,
        random_state=1,
    )
    with pytest.warns(ConvergenceWarning, match=r"collapsed .* state before it"):
        guarded = clone(model).fit(X)
    assert guarded.n_iter_ < 60
    assert not guarded.deep_stage_kept_
    np.testing.assert_allclose(guarded.transform(X), frozen.transform(X), rtol=1e-5)
    with pytest.warns(ConvergenceWarning, match=r"collapsed .* state after it"):
        free = clone(model).set_params(guard=False).fit(X)
    assert free.history_["effective_rank"][-1] < 5 / 3


@pytest.mark.parametrize("Clusterer", [DECClusterer, IDECClusterer, DCNClusterer])
def test_sound_embeddings_keep_their_rank(Clusterer):
    X, _ = load_digits(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = Clusterer(10, n_init=2, autoencoder=small(10), random_state=0).fit(
            X[:600]
        )
    assert min(model.history_["effective_rank"]) > 4
