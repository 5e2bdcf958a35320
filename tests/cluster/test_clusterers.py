import signal
import threading
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_iris, make_blobs
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import normalized_mutual_info_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import skdeep
from skdeep.callbacks import (
    EarlyStopping,
    GradientClipping,
    MetricMonitor,
    StopOnInterrupt,
)
from skdeep.cluster import (
    AEKMeans,
    DCNClusterer,
    DECClusterer,
    IDECClusterer,
    VaDEClusterer,
)
from skdeep.cluster._collapse import warn_of_empty_clusters
from skdeep.cluster._steps import Clustering, guarded
from skdeep.metrics import (
    CLUSTERING_SCORERS,
    clustering_accuracy_score,
    embedding_silhouette_scorer,
    graph_modularity,
)
from skdeep.nn.augmentation import ImageAugmentation, MarginalCorruption
from skdeep.representation import (
    AutoencoderTransformer,
    DeepInfoMaxTransformer,
    SimCLRTransformer,
)

SHARPENING = [DECClusterer, IDECClusterer]
DEEP = [*SHARPENING, DCNClusterer]
ALL = [AEKMeans, *DEEP]

each = pytest.mark.parametrize("Clusterer", ALL)
each_deep = pytest.mark.parametrize("Clusterer", DEEP)
each_sharpening = pytest.mark.parametrize("Clusterer", SHARPENING)


def small(n_components=2, **parameters):
    defaults = {
        "hidden_layer_sizes": (16,),
        "scale": "standard",
        "max_iter": 20,
        "learning_rate": 1e-2,
    }
    return AutoencoderTransformer(n_components, **{**defaults, **parameters})


def blobs(n=120, centers=3, n_features=6, seed=0):
    return make_blobs(n, n_features=n_features, centers=centers, random_state=seed)


def fitted(autoencoder, X):
    return FrozenEstimator(clone(autoencoder).set_params(random_state=0).fit(X))


# real data


@pytest.mark.slow
@pytest.mark.parametrize("Clusterer", DEEP)
def test_digits_with_defaults_beat_kmeans_by_far(Clusterer, digits_memory):
    X, y = load_digits(return_X_y=True)
    model = Clusterer(10, memory=digits_memory, random_state=0).fit(X)
    kmeans = KMeans(10, n_init=10, random_state=0).fit(X)
    found = clustering_accuracy_score(y, model.labels_)
    assert found >= 0.86
    assert found > clustering_accuracy_score(y, kmeans.labels_) + 0.05
    nmi = normalized_mutual_info_score(y, model.labels_, average_method="geometric")
    assert nmi >= 0.85


@pytest.fixture(scope="module")
def digits_memory(tmp_path_factory):
    return str(tmp_path_factory.mktemp("digits"))


# the deep stage


@each_sharpening
def test_deep_stage_lowers_the_divergence_and_sharpens_the_assignment(Clusterer):
    X, _ = blobs()
    frozen = fitted(small(), X)
    start = AEKMeans(3, n_init=2, autoencoder=frozen, random_state=0).fit(X)
    model = Clusterer(
        3, autoencoder=frozen, tol=0, max_iter=20, guard=False, random_state=0
    ).fit(X)
    key = "loss" if Clusterer is DECClusterer else "clustering_loss"
    assert model.history_[key][-1] < model.history_[key][0]
    before, after = start.predict_proba(X).max(axis=1), model.predict_proba(X).max(1)
    assert after.mean() > before.mean()


def test_dec_leaves_the_decoder_and_idec_trains_it():
    X, _ = blobs()
    frozen = fitted(small(), X)
    before = frozen.estimator.decoder_.state_dict()
    for Clusterer, moves in ((DECClusterer, False), (IDECClusterer, True)):
        model = Clusterer(
            3, n_init=2, autoencoder=frozen, tol=0, max_iter=3, guard=False
        ).fit(X)
        after = model.autoencoder_.decoder_.state_dict()
        changed = any(not torch.equal(before[name], after[name]) for name in before)
        assert changed is moves


def test_idec_keeps_the_reconstruction_where_dec_loses_it():
    X, _ = blobs()
    frozen = fitted(small(max_iter=200, neighbor_weight=0), X)
    options = {"tol": 0, "max_iter": 100, "guard": False, "random_state": 0}
    dec = DECClusterer(3, n_init=2, autoencoder=frozen, **options).fit(X)
    idec = IDECClusterer(
        3, autoencoder=frozen, reconstruction_weight=10, **options
    ).fit(X)
    assert idec.autoencoder_.score(X) > dec.autoencoder_.score(X)
    rebuilt = idec.inverse_transform(idec.transform(X))
    assert np.mean((rebuilt - X) ** 2) < np.mean((X - X.mean(axis=0)) ** 2)
    assert not hasattr(dec, "inverse_transform")


@each_deep
def test_tol_stops_and_zero_never_does(Clusterer):
    X, _ = blobs()
    frozen = fitted(small(), X)
    options = {"autoencoder": frozen, "max_iter": 12, "random_state": 0}
    assert Clusterer(3, tol=0, **options).fit(X).n_iter_ == 12
    assert Clusterer(3, tol=1, **options).fit(X).n_iter_ == 1
    patient = Clusterer(3, tol=1, n_iter_no_change=4, **options).fit(X)
    assert patient.n_iter_ == 4
    assert all(change < 1 for change in patient.history_["label_change"])


@each_deep
def test_update_interval_refreshes_less_often(Clusterer):
    X, _ = blobs()
    frozen = fitted(small(), X)
    model = Clusterer(
        3, autoencoder=frozen, update_interval=5, tol=1, n_iter_no_change=3, max_iter=50
    ).fit(X)
    assert model.n_iter_ == 10  # refreshed after epochs 1, 5 and 10


@each_sharpening
def test_centroids_move_as_asked(Clusterer):
    X, _ = blobs()
    frozen = fitted(small(), X)
    options = {"autoencoder": frozen, "tol": 0, "max_iter": 4, "guard": False}
    mean = Clusterer(3, centroid_update="mean", random_state=0, **options).fit(X)
    Z = mean.transform(X)
    members = [Z[mean.labels_ == j].mean(axis=0) for j in range(3)]
    np.testing.assert_allclose(mean.cluster_centers_, members, rtol=1e-4, atol=1e-4)
    gradient = Clusterer(3, random_state=0, **options).fit(X)
    assert not np.allclose(gradient.cluster_centers_, mean.cluster_centers_)


def test_clusters_that_stay_empty_are_warned_of():
    text = "ended with 2 of 4 clusters without rows: 1, 3. Try fewer n_clusters, a smal"
    with pytest.warns(ConvergenceWarning, match=text):
        warn_of_empty_clusters(np.array([0, 2, 0]), DECClusterer(4))
    with pytest.warns(ConvergenceWarning, match="fewer n_clusters or another random"):
        warn_of_empty_clusters(np.array([0]), AEKMeans(2))
    model = DECClusterer(4, autoencoder=small(), init="spectral", random_state=0)
    with pytest.warns(ConvergenceWarning, match="DECClusterer ended with 2 of 4"):
        model.fit(np.repeat(np.eye(2), 10, axis=0))


@each
def test_rows_however_far_belong_to_the_nearest_centroid(Clusterer):
    X, _ = blobs()
    model = Clusterer(3, autoencoder=small(max_iter=2), random_state=0).fit(X)
    far = X * 1e9
    codes, centers = model.transform(far), model.cluster_centers_.astype(np.float64)
    nearest = np.square(codes[:, None] - centers).sum(2).argmin(1)
    assert len(np.unique(nearest)) > 1
    np.testing.assert_array_equal(model.predict(far), nearest)
    assert model.score(X * 1e20) <= 0


@pytest.mark.parametrize(("n_moved", "is_kept"), [(1, True), (60, False)])
def test_guard_takes_a_small_loss_of_modularity(n_moved, is_kept):
    rows = np.arange(400)  # of two clusters, and few neighbours in the other one
    labels = rows // 200
    neighbors = (rows[:, None] + np.arange(1, 4)) % 200 + 200 * labels[:, None]
    neighbors[::5, 0] = (neighbors[::5, 0] + 200) % 400
    moved = np.where(rows < n_moved, 1, labels)
    before, after = (Clustering(each, {}) for each in (labels, moved))
    old, new = (graph_modularity(neighbors, each.labels) for each in (before, after))
    assert 0 < old - new
    assert (old - new < 0.01 + 1e-9) == is_kept
    found = guarded(DECClusterer(2), before, after, neighbors)
    assert found["deep_stage_kept_"] == is_kept
    assert not np.shares_memory(found["labels_"], found["initial_labels_"])


@each_deep
def test_guard_returns_the_state_before_a_deep_stage_that_harms(Clusterer):
    X, y = blobs(300, centers=5)
    harmful = {"learning_rate": 0.5, "tol": 0, "max_iter": 5, "random_state": 0}
    frozen = fitted(small(max_iter=60), X)
    start = AEKMeans(5, n_init=2, autoencoder=frozen, random_state=0).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        without = Clusterer(
            5, n_init=2, autoencoder=frozen, guard=False, **harmful
        ).fit(X)
        model = Clusterer(5, n_init=2, autoencoder=frozen, **harmful).fit(X)
    assert clustering_accuracy_score(y, without.labels_) < 0.9
    assert not model.deep_stage_kept_
    assert model.history_["modularity"][-1] < model.initial_modularity_
    np.testing.assert_array_equal(model.labels_, start.labels_)
    np.testing.assert_array_equal(model.labels_, model.predict(X))
    np.testing.assert_array_equal(model.transform(X), start.transform(X))
    assert without.deep_stage_kept_
    assert "modularity" not in without.history_


@each
def test_one_cluster_fits(Clusterer):
    X, _ = blobs(40)
    model = Clusterer(1, n_init=2, autoencoder=small()).fit(X)
    assert set(model.labels_) == {0}
    np.testing.assert_array_equal(model.predict_proba(X), np.ones((40, 1)))
    assert np.isfinite(model.score(X))


@each
def test_as_many_clusters_as_rows_fit(Clusterer):
    X, _ = blobs(12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = Clusterer(12, n_init=2, autoencoder=small()).fit(X)
    assert model.labels_.max() < 12


# composition


def test_aekmeans_on_an_identity_embedding_is_kmeans():
    X = blobs(150, centers=4, n_features=2)[0].astype(np.float32)
    identity = AutoencoderTransformer(
        2, hidden_layer_sizes=(), scale=None, max_iter=1, random_state=0
    ).fit(X)
    with torch.no_grad():
        identity.encoder_.layers[0].weight.copy_(torch.eye(2))
        identity.encoder_.layers[0].bias.zero_()
    frozen = FrozenEstimator(identity)
    model = AEKMeans(4, autoencoder=frozen, init="kmeans", random_state=0).fit(X)
    kmeans = KMeans(4, n_init=20, random_state=0).fit(X)
    assert clustering_accuracy_score(kmeans.labels_, model.labels_) == 1
    assert model.inertia_ == pytest.approx(kmeans.inertia_, rel=1e-4)
    assert -model.score(X) * len(X) == pytest.approx(model.inertia_, rel=1e-4)


@each
def test_frozen_autoencoder_is_copied_and_not_changed(Clusterer):
    X, _ = blobs()
    frozen = fitted(small(), X)
    before = frozen.transform(X)
    model = Clusterer(3, n_init=2, autoencoder=frozen, random_state=0).fit(X)
    np.testing.assert_array_equal(before, frozen.transform(X))
    assert model.autoencoder_ is not frozen.estimator
    assert model.autoencoder_.history_ == frozen.estimator.history_


@each
def test_frozen_autoencoder_must_fit_the_data(Clusterer):
    X, _ = blobs()
    with pytest.raises(ValueError, match="X has 5 features, but the frozen"):
        Clusterer(3, n_init=2, autoencoder=fitted(small(), X)).fit(X[:, :5])
    with pytest.raises(NotFittedError):
        Clusterer(3, autoencoder=FrozenEstimator(small())).fit(X)


@each
@pytest.mark.parametrize("wrong", [PCA(2), FrozenEstimator(PCA(2))])
def test_transformer_without_an_encoder_is_refused(Clusterer, wrong):
    with pytest.raises(TypeError, match="skdeep transformer with an encoder"):
        Clusterer(3, autoencoder=wrong).fit(blobs()[0])


@each
def test_bad_parameter_of_the_autoencoder_is_refused_by_name(Clusterer):
    with pytest.raises(ValueError, match="The 'max_iter' parameter of Autoencoder"):
        Clusterer(3, autoencoder=small(max_iter=-1)).fit(blobs()[0])


@each
def test_autoencoder_takes_what_it_leaves_open_from_the_clusterer(Clusterer):
    X, _ = blobs()
    model = Clusterer(
        3, n_init=2, autoencoder=small(), precision="float32", random_state=0
    )
    inner = model.fit(X).autoencoder_
    assert inner.precision == "float32"
    assert isinstance(inner.random_state, int)
    kept = small(precision="bfloat16", random_state=7)
    inner = model.set_params(autoencoder=kept).fit(X).autoencoder_
    assert (inner.precision, inner.random_state) == ("bfloat16", 7)


def test_images_make_the_default_autoencoder_convolutional():
    images = load_digits().images[:100, None]
    model = AEKMeans(
        10, n_init=2, autoencoder=small(hidden_layer_sizes=(4, 4), max_iter=2)
    )
    model.fit(images)
    assert type(model.autoencoder_.encoder_).__name__ == "ConvEncoder"
    np.testing.assert_array_equal(model.predict(images), model.labels_)
    np.testing.assert_array_equal(model.predict(images.reshape(100, -1)), model.labels_)


# encoders without a decoder

CHEAP = {"n_components": 4, "hidden_layer_sizes": (16,), "max_iter": 40}
ENCODERS = [DeepInfoMaxTransformer(n_units=16, **CHEAP), SimCLRTransformer(**CHEAP)]

each_encoder = pytest.mark.parametrize(
    "encoder", ENCODERS, ids=lambda e: type(e).__name__
)


@each_encoder
@pytest.mark.parametrize("Clusterer", [AEKMeans, DECClusterer])
@pytest.mark.parametrize("freeze", [False, True])
def test_any_encoder_is_a_start(Clusterer, encoder, freeze):
    X, y = blobs()
    given = fitted(encoder, X) if freeze else encoder
    model = Clusterer(3, n_init=2, autoencoder=given, random_state=0).fit(X)
    assert type(model.autoencoder_) is type(encoder)
    assert clustering_accuracy_score(y, model.labels_) > 0.95
    np.testing.assert_array_equal(model.labels_, model.predict(X))
    assert np.isfinite(model.score(X))
    assert not hasattr(model, "inverse_transform")
    again = Clusterer(3, n_init=2, autoencoder=given, random_state=0).fit(X)
    np.testing.assert_array_equal(model.transform(X), again.transform(X))


@each_encoder
def test_pretraining_of_any_encoder_is_kept(encoder, tmp_path):
    X, _ = blobs()
    model = DECClusterer(3, n_init=2, autoencoder=encoder, random_state=0, max_iter=2)
    fresh = clone(model).fit(X)
    model.set_params(memory=str(tmp_path))
    miss, hit = clone(model).fit(X), clone(model).fit(X)
    assert cached_pretrainings(tmp_path) == 1
    for other in (miss, hit):
        np.testing.assert_array_equal(fresh.transform(X), other.transform(X))


class WithoutNeighbors(AutoencoderTransformer):
    """Has the parameters of its parent, and minimises something else."""

    def _resolved_neighbor_weight(self, X, image_shape):
        return 0.0


def test_pretraining_is_not_that_of_another_class(tmp_path):
    X, _ = blobs()
    found = {}
    for encoder in (AutoencoderTransformer, WithoutNeighbors):
        autoencoder = encoder(2, hidden_layer_sizes=(8,), max_iter=2)
        model = AEKMeans(3, n_init=2, autoencoder=autoencoder, random_state=0)
        fresh = clone(model).fit(X).transform(X)
        found[encoder] = model.set_params(memory=str(tmp_path)).fit(X).transform(X)
        np.testing.assert_array_equal(found[encoder], fresh)
    assert not np.allclose(*found.values())


@each_encoder
def test_encoders_of_images_are_a_start(encoder):
    images = load_digits().images[:60, None]
    given = clone(encoder).set_params(hidden_layer_sizes=(4, 4, 4, 16), max_iter=1)
    model = DECClusterer(
        5, n_init=2, autoencoder=given, max_iter=2, random_state=0
    ).fit(images)
    assert type(model.autoencoder_.encoder_).__name__ == "ImageEncoder"
    np.testing.assert_array_equal(model.predict(images), model.labels_)


@each_encoder
@pytest.mark.parametrize("Clusterer", [IDECClusterer, DCNClusterer])
@pytest.mark.parametrize("freeze", [False, True])
def test_idec_and_dcn_say_that_they_need_a_decoder(Clusterer, encoder, freeze):
    X, _ = blobs()
    model = Clusterer(3, n_init=2, autoencoder=small(max_iter=1), max_iter=1).fit(X)
    for unfitted in (clone(model), model):
        brief = clone(encoder).set_params(max_iter=1)
        unfitted.set_params(autoencoder=fitted(brief, X) if freeze else brief)
        with pytest.raises(TypeError, match=r"Clusterer rebuilds .* no decoder"):
            unfitted.fit(X)


# frozen encoders


@pytest.mark.parametrize("Clusterer", [AEKMeans, VaDEClusterer, *DEEP])
def test_frozen_encoder_reads_columns_as_in_its_own_fit(Clusterer):
    rows, _ = blobs()
    rows = np.insert(rows, 1, 0.0, axis=1)
    encoder = small(random_state=0).fit(rows)
    varying = rows.copy()
    varying[:, 1] = np.arange(len(rows))
    model = Clusterer(3, n_init=2, autoencoder=FrozenEstimator(encoder), random_state=0)
    expected = clone(model).fit(rows).labels_
    np.testing.assert_array_equal(model.fit(varying).labels_, expected)


# augmentation of the deep stage


@each_deep
@pytest.mark.parametrize("view", [MarginalCorruption(0.1), lambda x, _: 1.01 * x])
def test_augmented_steps_fit_and_repeat(Clusterer, view):
    X, y = blobs()
    model = Clusterer(
        3, n_init=2, autoencoder=small(), augment=view, random_state=0
    ).fit(X)
    np.testing.assert_array_equal(model.labels_, model.predict(X))
    assert clustering_accuracy_score(y, model.labels_) > 0.95
    again = clone(model).fit(X)
    np.testing.assert_array_equal(model.transform(X), again.transform(X))


@each_sharpening
def test_steps_see_augmented_rows_and_targets_do_not(Clusterer):
    X, _ = blobs()
    frozen = fitted(small(), X)
    seen = []

    def zeros(x, rng):
        assert isinstance(rng, torch.Generator)
        seen.append(x.clone())
        return torch.zeros_like(x)

    options = {"autoencoder": frozen, "tol": 0, "guard": False, "random_state": 0}
    # A step this small moves nothing: k-means and its refreshes are all that is left.
    still = {"learning_rate": 1e-12, "max_iter": 3, "batch_size": 40}
    start = AEKMeans(3, n_init=2, autoencoder=frozen, random_state=0).fit(X)
    model = Clusterer(3, n_init=2, augment=zeros, **still, **options).fit(X)
    assert [tuple(x.shape) for x in seen] == [(40, 6)] * 9
    np.testing.assert_array_equal(model.labels_, start.labels_)
    assert model.history_["label_change"] == [0, 0, 0]
    scaled = (X - frozen.estimator.offset_) / frozen.estimator.scale_
    epoch = torch.cat(seen[:3]).numpy()
    np.testing.assert_allclose(np.sort(epoch, 0), np.sort(scaled, 0), atol=1e-5)
    # The loss is that of the targets of the rows, and the assignment of zeros.
    q = start.predict_proba(X)
    p = q**2 / q.sum(0)
    p /= p.sum(1, keepdims=True)
    q_zero = start.predict_proba(frozen.estimator.offset_[None])
    divergence = (p * np.log(p / q_zero)).sum(1).mean()
    key = "loss" if Clusterer is DECClusterer else "clustering_loss"
    assert model.history_[key][0] == pytest.approx(divergence, rel=1e-3)


def test_idec_rebuilds_the_augmented_rows():
    X, _ = blobs()
    frozen = fitted(small(max_iter=100, neighbor_weight=0), X)

    def far(x, _):
        return torch.full_like(x, 5.0)

    model = IDECClusterer(
        3,
        autoencoder=frozen,
        augment=far,
        reconstruction_weight=10,
        learning_rate=1e-2,
        max_iter=100,
        tol=0,
        guard=False,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        loss = model.fit(X).history_["reconstruction_loss"]
    assert loss[-1] < 0.05 * loss[0]


@each_deep
def test_images_are_augmented_as_images(Clusterer):
    images = load_digits().images[:60, None]
    model = Clusterer(
        5,
        autoencoder=small(hidden_layer_sizes=(4, 4), max_iter=2),
        augment=ImageAugmentation(),
        max_iter=2,
        random_state=0,
    ).fit(images)
    np.testing.assert_array_equal(model.predict(images), model.labels_)
    plain = clone(model).set_params(augment=None, guard=False).fit(images)
    varied = clone(model).set_params(guard=False).fit(images)
    assert not np.array_equal(plain.transform(images), varied.transform(images))


@each_deep
def test_augmentation_of_another_shape_is_refused(Clusterer):
    model = Clusterer(3, autoencoder=small(), augment=lambda x, _: x[:1])
    with pytest.raises(ValueError, match="The 'augment' parameter must map a tensor"):
        model.fit(blobs()[0])
    assert [name for name in vars(model) if name.endswith("_")] == []


def test_augmentations_of_the_deep_stage_can_be_searched():
    X, y = blobs(90)
    search = GridSearchCV(
        DECClusterer(3, n_init=2, autoencoder=small(), max_iter=2, random_state=0),
        {"augment": [None, MarginalCorruption(0.1), MarginalCorruption(0.3)]},
        scoring="adjusted_rand_score",
        cv=2,
        error_score="raise",
    ).fit(X, y)
    assert search.best_score_ > 0.9


# memory


def cached_pretrainings(folder):
    return len(list(folder.rglob("output.pkl")))


def test_search_pretrains_once_for_all_candidates_of_a_fold(tmp_path):
    X, y = blobs(90)
    search = GridSearchCV(
        IDECClusterer(
            autoencoder=small(), memory=str(tmp_path), max_iter=2, random_state=0
        ),
        {"n_clusters": [2, 3, 4, 5]},
        scoring="adjusted_rand_score",
        cv=3,
    )
    search.fit(X, y)
    assert search.best_params_ == {"n_clusters": 3}
    assert cached_pretrainings(tmp_path) == 4  # 13 fits: three folds and the refit


def test_cached_pretraining_gives_the_same_bits(tmp_path):
    X, _ = blobs()
    model = DECClusterer(3, n_init=2, autoencoder=small(), random_state=0, max_iter=3)
    fresh = clone(model).fit(X)
    model.set_params(memory=str(tmp_path))
    miss, hit = clone(model).fit(X), clone(model).fit(X)
    assert cached_pretrainings(tmp_path) == 1
    for other in (miss, hit):
        np.testing.assert_array_equal(fresh.transform(X), other.transform(X))
        np.testing.assert_array_equal(fresh.labels_, other.labels_)


def test_other_seeds_rows_and_networks_pretrain_anew(tmp_path):
    X, _ = blobs()
    model = AEKMeans(
        3, n_init=2, autoencoder=small(), random_state=0, memory=str(tmp_path)
    )
    model.fit(X)
    clone(model).set_params(random_state=1).fit(X)
    clone(model).fit(X[:100])
    clone(model).set_params(autoencoder__n_components=3).fit(X)
    assert cached_pretrainings(tmp_path) == 4
    DECClusterer(
        3, n_init=2, autoencoder=small(), random_state=0, memory=str(tmp_path)
    ).fit(X)
    assert cached_pretrainings(tmp_path) == 4


def test_pretraining_that_callbacks_change_is_not_kept(tmp_path):
    X, _ = blobs()
    model = AEKMeans(
        3, n_init=2, autoencoder=small(), random_state=0, memory=str(tmp_path)
    )

    def n_epochs(*callbacks):
        return clone(model).set_callbacks(*callbacks).fit(X).autoencoder_.n_iter_

    stopping = EarlyStopping(n_iter_no_change=1, tol=1e9)
    assert n_epochs(stopping) == n_epochs(stopping, GradientClipping()) == 2
    assert cached_pretrainings(tmp_path) == 0
    whole = n_epochs()
    assert n_epochs(stopping) == 2 < whole
    assert n_epochs(StopOnInterrupt()) == whole
    with pytest.warns(UserWarning, match="MetricMonitor recorded nothing"):
        assert n_epochs(MetricMonitor(lambda *_: 0.0)) == whole
    elsewhere = EarlyStopping(n_iter_no_change=1, tol=1e9, phase="init")
    with pytest.warns(UserWarning, match="no phase of that name, but 'pretrain'"):
        assert n_epochs(elsewhere) == whole
    assert cached_pretrainings(tmp_path) == 1


def test_interrupted_pretraining_is_not_kept(tmp_path):
    X, _ = blobs()
    model = AEKMeans(
        3, n_init=2, autoencoder=small(), random_state=0, memory=str(tmp_path)
    )

    def interrupt(x, rng):  # noqa: ARG001
        if not interrupted:
            interrupted.append(signal.raise_signal(signal.SIGINT))
        return x

    interrupted = []
    model.set_params(autoencoder__augment=interrupt).set_callbacks(StopOnInterrupt())
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.warns(ConvergenceWarning, match="interrupted"):
            assert model.fit(X).autoencoder_.n_iter_ == 1
    finally:
        signal.signal(signal.SIGINT, before)
    assert cached_pretrainings(tmp_path) == 0


def test_pretraining_is_told_by_what_functions_do(tmp_path):
    X, _ = blobs()

    def codes(augment):
        autoencoder = small().set_params(augment=augment)
        model = AEKMeans(3, n_init=2, autoencoder=autoencoder, memory=str(tmp_path))
        return model.set_params(random_state=0).fit(X).transform(X)

    halves, same, thirds = (
        codes(lambda x, _, share=share: x * share) for share in (1 / 2, 1 / 2, 1 / 3)
    )
    assert cached_pretrainings(tmp_path) == 2
    np.testing.assert_array_equal(halves, same)
    assert np.abs(halves - thirds).max() > 1e-3


def test_memory_keeps_nothing_without_a_seed(tmp_path):
    X, _ = blobs()
    model = AEKMeans(3, n_init=2, autoencoder=small(), memory=str(tmp_path))
    for random_state in (None, np.random.RandomState(0)):
        model.set_params(random_state=random_state)
        with pytest.warns(UserWarning, match="AEKMeans keeps nothing without a seed"):
            model.fit(X)
    assert cached_pretrainings(tmp_path) == 0
    model.set_params(autoencoder__random_state=0).fit(X)
    assert cached_pretrainings(tmp_path) == 1


def test_only_memory_has_to_know_a_function_again(tmp_path):
    X, _ = blobs()
    lock = threading.Lock()

    def refused(x, _):
        with lock:
            return x

    autoencoder = small().set_params(augment=refused)
    model = AEKMeans(3, n_init=2, autoencoder=autoencoder, random_state=0).fit(X)
    assert model.labels_.shape == (len(X),)
    with pytest.raises(ValueError, match="'augment' parameter of AutoencoderTransf"):
        clone(model).set_params(memory=str(tmp_path)).fit(X)


# in scikit-learn's company


@pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_pipeline_in_a_search_over_the_autoencoder(n_jobs):
    X, y = blobs(90)
    pipeline = Pipeline(
        [
            ("scaler", StandardScaler()),
            (
                "clusterer",
                DECClusterer(
                    3, n_init=2, autoencoder=small(), max_iter=2, random_state=0
                ),
            ),
        ]
    )
    search = GridSearchCV(
        pipeline,
        {
            "clusterer__autoencoder__n_components": [2, 3],
            "clusterer__n_clusters": [2, 3],
        },
        scoring=CLUSTERING_SCORERS,
        refit="ACC",
        cv=StratifiedKFold(2, shuffle=True, random_state=0),
        n_jobs=n_jobs,
    ).fit(X, y)
    assert search.best_params_["clusterer__n_clusters"] == 3
    assert search.best_score_ > 0.95
    assert search.predict(X).shape == (90,)
    assert search.best_estimator_.transform(X).shape[0] == 90


def test_search_without_labels():
    X, _ = blobs(90)
    search = GridSearchCV(
        AEKMeans(autoencoder=small(), random_state=0),
        {"n_clusters": [2, 3, 7]},
        scoring=embedding_silhouette_scorer,
        cv=2,
    ).fit(X)
    assert search.best_params_ == {"n_clusters": 3}


@each
def test_feature_names_come_out_and_output_can_be_a_frame(Clusterer):
    frame = load_iris(as_frame=True).data
    model = Clusterer(3, n_init=2, autoencoder=small()).set_output(transform="pandas")
    Z = model.fit(frame).transform(frame)
    prefix = Clusterer.__name__.lower()
    assert list(Z.columns) == [f"{prefix}0", f"{prefix}1"]
    assert list(model.feature_names_in_) == list(frame.columns)
    pipeline = make_pipeline(
        StandardScaler(), Clusterer(3, n_init=2, autoencoder=small())
    )
    assert pipeline.fit(frame).predict(frame).shape == (150,)


def test_encoders_inside_know_the_columns_of_their_owner(tmp_path):
    frame = load_iris(as_frame=True).data
    X = frame.to_numpy()
    plain = small(max_iter=1, random_state=0).fit(X)
    for autoencoder in (plain, FrozenEstimator(plain)):
        model = AEKMeans(3, n_init=1, autoencoder=autoencoder, random_state=0)
        model.set_params(memory=str(tmp_path))
        for columns in ([*"abcd"], [*"efgh"]):  # of one cached pretraining
            named = frame.set_axis(columns, axis=1)
            inner = clone(model).fit(named).autoencoder_
            assert inner.feature_names_in_.tolist() == columns
            inner.transform(named)  # does not warn
        assert not hasattr(clone(model).fit(X).autoencoder_, "feature_names_in_")
    assert not hasattr(plain, "feature_names_in_")


class Recorder:
    """Callback that notes the tasks it sees."""

    def __init__(self):
        self.seen = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def changes(self, phase_name):
        return False

    def on_fit_task_begin(self, estimator, context):
        self.seen.append(context.task_name)

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if context.task_name == "epoch" and context.parent.task_name == "cluster":
            self.labels = fitted_estimator.predict(self.X)


@each_deep
def test_callbacks_see_phases_and_epochs_and_a_model_that_predicts(Clusterer, tmp_path):
    X, _ = blobs()
    recorder = Recorder()
    recorder.X = X
    model = Clusterer(
        3,
        autoencoder=small(max_iter=2),
        max_iter=3,
        tol=0,
        guard=False,
        memory=str(tmp_path),
        random_state=0,
    )
    model.set_callbacks(recorder).fit(X)
    pretrain = ["pretrain", "epoch", "epoch"]
    cluster = ["init", "cluster", "epoch", "epoch", "epoch"]
    assert recorder.seen == ["fit", *pretrain, *cluster]
    np.testing.assert_array_equal(recorder.labels, model.labels_)
    recorder.seen.clear()
    model.fit(X)  # the pretraining comes out of the cache: a task without epochs
    assert recorder.seen == ["fit", "pretrain", *cluster]


def test_everything_public_is_importable_from_the_top():
    for name in skdeep.__all__:
        assert hasattr(skdeep, name)
