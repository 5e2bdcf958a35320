import copy
import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import NearestNeighbors

import skdeep.cluster._online
from skdeep.callbacks import (
    Checkpoint,
    EarlyStopping,
    GradientClipping,
    MetricMonitor,
)
from skdeep.cluster import AEKMeans, DECClusterer, IDECClusterer
from skdeep.cluster._online import (
    CAPACITY,
    Reservoir,
    WeightedDraw,
    foreignness,
    in_old_order,
)
from skdeep.metrics import clustering_accuracy_score
from skdeep.representation import AutoencoderTransformer, SimCLRTransformer

each = pytest.mark.parametrize("Clusterer", [DECClusterer, IDECClusterer])


def small(**parameters):
    defaults = {"hidden_layer_sizes": (16,), "max_iter": 60, "learning_rate": 1e-2}
    return AutoencoderTransformer(3, **{**defaults, **parameters})


def brief(Clusterer, **parameters):
    """Return a clusterer of four clusters that lie apart: few starts find them."""
    defaults = {"autoencoder": small(), "n_init": 2, "random_state": 0}
    return Clusterer(4, **{**defaults, **parameters})


def blobs(n=300, centers=4, seed=0):
    X, y = make_blobs(n, 6, centers=centers, random_state=seed)
    return X.astype(np.float32), y


def streamed(model, X, size=60):
    for start in range(0, len(X), size):
        model.partial_fit(X[start : start + size])
    return model


@each
def test_pretraining_goes_on_with_the_corruption_it_began_with(Clusterer):
    X, _ = blobs()
    model = brief(Clusterer, autoencoder=small(max_iter=5)).partial_fit(X[:150])
    codes = []
    for corruption in (0.0, 0.5):
        later = copy.deepcopy(model)
        later.autoencoder.corruption = later.autoencoder_.corruption = corruption
        codes.append(later.partial_fit(X[150:]).pretrained_.transform(X))
    assert not np.allclose(*codes)


def test_cells_that_were_swapped_are_swapped_later_too():
    X = 20 + blobs()[0]  # no zero is near
    autoencoder = small(max_iter=5, corruption=0.5, mask_weight=1.0, scale=None)
    model = brief(DECClusterer, autoencoder=autoencoder).partial_fit(X[:150])
    least = []
    model.autoencoder_.encoder_.register_forward_hook(
        lambda _, inputs, __: least.append(float(inputs[0].min()))
    )
    model.partial_fit(X[150:])
    assert min(least) >= X.min() > 0


# the reservoir


@pytest.mark.parametrize("kind", [np.asarray, lambda rows: sparse.csr_matrix(rows)])
@pytest.mark.parametrize("size", [1, 700, 5000])
def test_reservoir_is_a_uniform_sample_of_the_stream(kind, size):
    rng = np.random.RandomState(0)
    stream = np.arange(1, 10_001)[:, None]
    if size == 1:
        stream = stream[:2500]
    reservoir = Reservoir(kind(stream[:0]))
    for start in range(0, len(stream), size):
        reservoir = reservoir.with_more(kind(stream[start : start + size]), rng)
    rows = (
        reservoir.rows.toarray() if sparse.issparse(reservoir.rows) else reservoir.rows
    )
    kept = np.sort(rows.ravel())
    assert len(kept) == CAPACITY
    assert len(np.unique(kept)) == CAPACITY
    assert reservoir.n_seen == len(stream)
    expected = np.linspace(1, len(stream), CAPACITY)
    assert np.abs(kept - expected).max() < 0.04 * len(stream)


def test_rows_are_drawn_by_weight():
    draw = WeightedDraw(np.array([0.0, 1, 3]), 0, torch.device("cpu"))
    drawn = draw(torch.arange(8000)).numpy()
    np.testing.assert_allclose(np.bincount(drawn) / 8000, [0, 0.25, 0.75], atol=0.02)


def test_neighbours_are_drawn_by_weight():
    draw = WeightedDraw(np.array([0.0, 1.0, 3.0, 1.0]), 0, torch.device("cpu"))
    drawn = draw.among(torch.tensor([[0, 1, 2]] * 4000 + [[3, 0, 0]]))
    assert drawn.shape == (4001,)
    assert int(drawn[-1]) == 3
    shares = np.bincount(drawn[:-1].numpy(), minlength=4) / 4000
    np.testing.assert_allclose(shares, [0, 0.25, 0.75, 0], atol=0.03)


@pytest.mark.parametrize(("gap", "expected"), [(0, 0), (100, 1)])
def test_foreignness_tells_rows_of_other_kinds_from_rows_alike(gap, expected):
    X = np.random.RandomState(0).randn(900, 3)
    X[500:] += gap
    neighbors = NearestNeighbors(n_neighbors=15).fit(X)
    found = foreignness(neighbors.kneighbors(return_distance=False), 500)
    assert found == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("n_old", [0, 4])
def test_without_rows_to_compare_nothing_is_foreign(n_old):
    assert foreignness(np.array([[1], [0], [3], [2]]), n_old) == 0


def test_clusters_keep_the_numbers_of_their_rows():
    old = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    new = np.array([2, 2, 2, 0, 0, 1, 1, 0])
    order = in_old_order(old, new, 3)
    np.testing.assert_array_equal(order, [2, 0, 1])


# streams


@each
def test_shuffled_stream_is_clustered_as_well_as_by_fit(Clusterer):
    X, y = blobs()
    model = streamed(brief(Clusterer), X)
    assert clustering_accuracy_score(y, model.predict(X)) > 0.95
    assert model.reservoir_.n_seen == 300
    assert np.sort(model.reservoir_.rows, axis=0).tobytes() == np.sort(X, 0).tobytes()


@each
def test_sorted_stream_forgets_no_cluster(Clusterer):
    X, y = blobs(400)
    X, y = X[np.argsort(y)], np.sort(y)
    model = streamed(brief(Clusterer), X, 100)
    assert clustering_accuracy_score(y, model.predict(X)) > 0.95


@pytest.mark.parametrize(
    "comes_sorted", [True, pytest.param(False, marks=pytest.mark.slow)]
)
def test_rows_of_other_kinds_let_the_pretraining_begin_anew(comes_sorted):
    X, y = blobs(3000)
    order = np.argsort(y, kind="stable") if comes_sorted else np.arange(3000)
    autoencoder = small(max_iter=5)
    model = brief(DECClusterer, autoencoder=autoencoder, max_iter=2)
    model.partial_fit(X[order[:1500]])
    changed = copy.deepcopy(model)
    changed.autoencoder_.encoder_.layers[0].weight.data += 1  # of no use if anew
    for each_model in (model, changed):
        each_model.partial_fit(X[order[1500:]])
    codes = [m.pretrained_.transform(X) for m in (model, changed)]
    assert np.array_equal(*codes) == comes_sorted
    if comes_sorted:
        assert clustering_accuracy_score(y, model.predict(X)) > 0.95


@each
def test_clusters_keep_their_numbers_from_call_to_call(Clusterer):
    X, _ = blobs()
    model = brief(Clusterer).partial_fit(X[:200])
    before = model.predict(X)
    after = model.partial_fit(X[200:]).predict(X)
    assert np.mean(before == after) > 0.95


@each
def test_first_call_is_fit(Clusterer):
    X, _ = blobs()
    model = brief(Clusterer, max_iter=3)
    first, fitted = clone(model).partial_fit(X), clone(model).fit(X)
    np.testing.assert_array_equal(first.transform(X), fitted.transform(X))
    assert fitted.reservoir_ is None
    assert first.fit(X).reservoir_ is None  # and fit begins anew
    np.testing.assert_array_equal(first.transform(X), fitted.transform(X))


@each
def test_pretraining_goes_on_without_the_deep_stages(Clusterer):
    X, _ = blobs()
    model = brief(Clusterer).partial_fit(X[:200])
    assert model.pretrained_ is None
    before = model.transform(X)
    model.partial_fit(X[200:250])
    first = copy.deepcopy(model.pretrained_)
    assert not np.array_equal(first.transform(X), before)
    assert not np.array_equal(first.transform(X), model.transform(X))
    changed = copy.deepcopy(model)
    changed.autoencoder_.encoder_.layers[-1].bias.data += 100  # of no use to it
    for m in (model, changed):
        m.partial_fit(X[250:])
    codes = [m.pretrained_.transform(X) for m in (model, changed)]
    np.testing.assert_array_equal(*codes)


def test_gradients_of_later_parts_are_clipped():
    X, _ = blobs()
    plain = brief(DECClusterer).partial_fit(X[:150])
    clipped, loose = (
        copy.deepcopy(plain).set_callbacks(GradientClipping(max_norm)).partial_fit(X)
        for max_norm in (1e-6, 1e12)
    )
    plain.partial_fit(X)
    # The deep stage of DEC leaves the decoder as it is.
    weights, those_of_loose, those_of_clipped = (
        next(model.autoencoder_.decoder_.parameters())
        for model in (plain, loose, clipped)
    )
    assert torch.equal(weights, those_of_loose)
    assert not torch.equal(weights, those_of_clipped)


@each
def test_attributes_are_those_of_the_last_call(Clusterer):
    X, _ = blobs()
    model = streamed(brief(Clusterer), X[:290], 100)
    np.testing.assert_array_equal(model.labels_, model.predict(X[200:290]))
    assert model.initial_labels_.shape == (90,)
    assert model.cluster_frequencies_.sum() == pytest.approx(290, rel=1e-5)
    assert len(model.history_["loss"]) == model.n_iter_
    assert np.isfinite(model.score(X))


def test_sizes_count_rows_that_are_not_at_hand_any_more(monkeypatch):
    monkeypatch.setattr(skdeep.cluster._online, "CAPACITY", 40)
    X, _ = blobs()
    model = streamed(brief(DECClusterer, max_iter=1), X, 150)
    assert model.reservoir_.rows.shape == (40, 6)
    assert model.cluster_frequencies_.sum() == pytest.approx(300, rel=1e-5)


@each
def test_later_parts_take_as_long_as_their_rows_are_many(Clusterer):
    X, _ = blobs()
    model = brief(Clusterer, autoencoder=small(max_iter=1), max_iter=1, tol=0)
    streamed(model, X[:128], 64)
    assert model.n_iter_ == 40 * 64 // 256
    streamed(model.set_params(tol=1, n_iter_no_change=2), X[128:192], 64)
    assert model.n_iter_ == 2


@each
def test_later_parts_are_recorded_and_guarded_as_the_first(Clusterer):
    X, y = blobs()
    model = brief(Clusterer, max_iter=2, n_runs=2).partial_fit(X[:150])
    recorded = set(model.history_)
    model.partial_fit(X[150:])
    assert set(model.history_) == recorded
    assert model.deep_stage_kept_
    assert model.initial_modularity_ > 0.5
    assert model.run_scores_ is None
    model.set_params(learning_rate=0.5).partial_fit(X[150:])
    assert not model.deep_stage_kept_
    np.testing.assert_array_equal(model.labels_, model.initial_labels_)
    assert clustering_accuracy_score(y, model.predict(X)) > 0.98
    model.set_params(guard=False).partial_fit(X[150:])
    assert model.deep_stage_kept_
    assert np.isnan(model.initial_modularity_)


def test_later_parts_start_as_they_are_told_and_leave_frozen_encoders_alone():
    X = np.random.RandomState(0).rand(200, 6)
    frozen = FrozenEstimator(small(max_iter=5, random_state=0).fit(X))
    model = brief(DECClusterer, autoencoder=frozen, max_iter=1).partial_fit(X[:100])
    found = []
    for init in ("kmeans", "modularity", "gmm", "tied", "smooth", "spectral"):
        later = copy.deepcopy(model).set_params(init=init).partial_fit(X[100:])
        found.append(tuple(later.initial_labels_))
        codes = [encoder.transform(X) for encoder in (later.pretrained_, frozen)]
        np.testing.assert_array_equal(*codes)
    assert len(set(found)) == len(found)


@each
def test_column_that_varies_later_is_read_from_then_on(Clusterer):
    X, y = blobs(600)
    late = np.insert(X, 2, np.where(np.arange(600) < 200, 0, 40 * y), axis=1)
    model = brief(Clusterer).partial_fit(late[:200])
    moved = late + np.float32(9) * (np.arange(7) == 2)
    assert np.array_equal(model.transform(moved), model.transform(late))
    model.partial_fit(late[200:400])
    assert np.isnan(model.autoencoder_.constants_).all()
    assert not np.allclose(model.transform(moved), model.transform(late))
    model.partial_fit(late[:200])  # as at first again
    assert np.isnan(model.autoencoder_.constants_).all()


@each
def test_stream_goes_on_after_fit_and_from_a_copy(Clusterer):
    X, y = blobs()
    model = brief(Clusterer).fit(X[:200])
    model.partial_fit(X[200:250])
    copied = pickle.loads(pickle.dumps(model))
    for m in (model, copied):
        m.partial_fit(X[250:251])  # one row
    np.testing.assert_array_equal(model.transform(X), copied.transform(X))
    assert clustering_accuracy_score(y, model.predict(X)) > 0.9
    assert model.reservoir_.n_seen == 51


@each
def test_same_stream_gives_the_same_bits_and_other_seeds_do_not(Clusterer):
    X, _ = blobs()
    model = brief(Clusterer, autoencoder=small(max_iter=5), random_state=3)
    first, second = (streamed(clone(model), X, 100) for _ in range(2))
    np.testing.assert_array_equal(first.transform(X), second.transform(X))
    other = streamed(clone(model).set_params(random_state=4), X, 100)
    assert not np.array_equal(first.transform(X), other.transform(X))


def test_encoders_without_a_decoder_and_sparse_rows_stream_too():
    X, y = blobs()
    encoder = SimCLRTransformer(4, hidden_layer_sizes=(16,), max_iter=60)
    model = streamed(brief(DECClusterer, autoencoder=encoder), X, 100)
    assert clustering_accuracy_score(y, model.predict(X)) > 0.9
    rows = sparse.csr_matrix(X)
    model = streamed_sparse(brief(IDECClusterer), rows)
    assert sparse.issparse(model.reservoir_.rows)
    assert clustering_accuracy_score(y, model.predict(X)) > 0.9


def streamed_sparse(model, rows):
    return model.partial_fit(rows[:200]).partial_fit(rows[200:])


@each
def test_divergence_leaves_the_model_as_it_was(Clusterer):
    X, _ = blobs()
    model = brief(Clusterer).partial_fit(X[:200])
    before = model.predict_proba(X)
    model.set_params(learning_rate=1e30)
    with pytest.raises(FloatingPointError, match=r"of phase 'cluster'"):
        model.partial_fit(X[200:])
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert model.reservoir_.n_seen == 200


@each
def test_callback_that_fails_at_the_end_leaves_the_model_as_it_was(Clusterer):
    X, _ = blobs()
    model = brief(Clusterer).partial_fit(X[:200])
    before = model.predict_proba(X)
    model.set_callbacks(FailsAtTheEnd())
    with pytest.raises(RuntimeError, match="at the end"):
        model.partial_fit(X[200:])
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert model.reservoir_.n_seen == 200


class FailsAtTheEnd:
    """Callback of scikit-learn's protocol."""

    def setup(self, estimator, context):
        pass

    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "fit":
            raise RuntimeError("at the end")


def test_other_columns_are_refused():
    X, _ = blobs()
    model = DECClusterer(4, autoencoder=small(), max_iter=2).partial_fit(X)
    with pytest.raises(ValueError, match="X has 5 features"):
        model.partial_fit(X[:, :5])
    with pytest.raises(ValueError, match="minimum of 4 is required"):
        DECClusterer(4).partial_fit(X[:3])
    with pytest.raises(ValueError, match="minimum of 4 is required"):
        DECClusterer(4, autoencoder=small(), max_iter=2).fit(X).partial_fit(X[:3])
    assert not hasattr(AEKMeans, "partial_fit")


PARTS = np.array_split(blobs(120)[0], 2)


def small_dec():
    autoencoder = small(max_iter=2)
    return DECClusterer(
        3, autoencoder=autoencoder, n_init=2, max_iter=2, random_state=0
    )


MISTAKES = {
    "begun with n_clusters=3.* Got 4": lambda model: model.set_params(n_clusters=4),
    "begun with autoencoder__n_components=3.* Got 7": lambda model: model.set_params(
        autoencoder__n_components=7
    ),
    "begun with autoencoder='AutoencoderTransformer'": lambda model: model.set_params(
        autoencoder=SimCLRTransformer(2)
    ),
    "begun with autoencoder__.* Got": lambda model: model.set_params(autoencoder=None),
    "is not fitted yet": lambda model: model.set_params(
        autoencoder=FrozenEstimator(small())
    ),
    "scales rows otherwise": lambda model: model.set_params(
        autoencoder=FrozenEstimator(small(max_iter=2).fit(PARTS[1][:, ::-1]))
    ),
    "'learning_rate'": lambda model: model.set_params(learning_rate=-1.0),
    "Checkpoint keeps whole fits": lambda model: model.set_callbacks(
        Checkpoint("unused")
    ),
    "monitors 'nothing'": lambda model: model.set_callbacks(EarlyStopping("nothing")),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_in_a_later_part_leave_the_model_as_it_was(
    text, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    model = small_dec().partial_fit(PARTS[0])
    before = model.predict_proba(PARTS[1])
    MISTAKES[text](model)
    with pytest.raises(ValueError, match=text):
        model.partial_fit(PARTS[1])
    np.testing.assert_array_equal(model.predict_proba(PARTS[1]), before)
    assert model.reservoir_.n_seen == len(PARTS[0])
    model.set_params(**small_dec().get_params(deep=False)).set_callbacks()
    model.partial_fit(PARTS[1])


def test_streams_go_on_with_lists_for_tuples():
    model = small_dec().partial_fit(PARTS[0])
    sizes = list(model.autoencoder.hidden_layer_sizes)
    model.set_params(autoencoder__hidden_layer_sizes=sizes).partial_fit(PARTS[1])
    assert model.reservoir_.n_seen == sum(map(len, PARTS))


def test_streams_go_on_with_integers_of_numpy():
    model = small_dec().set_params(n_clusters=np.int64(3))
    model.partial_fit(PARTS[0]).partial_fit(PARTS[1])
    assert len(model.cluster_centers_) == 3


def test_parts_may_be_sparse_or_not():
    models = [small_dec().partial_fit(PARTS[0]).partial_fit(PARTS[1])]
    for first, second in [
        (sparse.csr_matrix, np.asarray),
        (np.asarray, sparse.csr_array),
    ]:
        model = small_dec().partial_fit(first(PARTS[0])).partial_fit(second(PARTS[1]))
        models.append(model)
    expected, *others = (model.predict_proba(PARTS[0]) for model in models)
    for found in others:
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_later_parts_are_monitored():
    model = small_dec().partial_fit(PARTS[0])
    model.set_callbacks(
        MetricMonitor({"rows": lambda model, X, y: len(model.predict(X)) + y[0]})
    )
    model.partial_fit(PARTS[1], [0.5] * len(PARTS[1]))
    assert model.history_["rows"] == [len(PARTS[1]) + 0.5] * model.n_iter_
