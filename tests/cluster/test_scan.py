import pickle
import warnings

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, make_blobs
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import normalized_mutual_info_score
from sklearn.model_selection import GridSearchCV

from skdeep.cluster import AEKMeans, SCANClusterer
from skdeep.cluster._scan_steps import code_neighbors, discriminant_head
from skdeep.cluster._starts import REGULARISATION
from skdeep.metrics import clustering_accuracy_score
from skdeep.nn.augmentation import ImageAugmentation, MarginalCorruption
from skdeep.representation import (
    AutoencoderTransformer,
    DeepInfoMaxTransformer,
    SimCLRTransformer,
)

SMALL = AutoencoderTransformer(
    2, hidden_layer_sizes=(16,), scale="standard", max_iter=20, learning_rate=1e-2
)

BRIEF = {"max_iter": 3, "self_label_iter": 2, "batch_size": 40, "random_state": 0}


def blobs(n=120, centers=3):
    return make_blobs(n, n_features=6, centers=centers, random_state=0)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def planted():
    X, y = blobs()
    loose = clone(SMALL).set_params(early_exaggeration=1, random_state=0)
    return X, y, FrozenEstimator(loose.fit(X))


# real data


@pytest.mark.slow
def test_digits_as_images_with_defaults_beat_kmeans_on_the_same_codes():
    X, y = load_digits(return_X_y=True)
    images = X.reshape(-1, 1, 8, 8)
    encoder = FrozenEstimator(SimCLRTransformer(random_state=1).fit(images))
    model = SCANClusterer(10, encoder=encoder, random_state=1).fit(images)
    found = clustering_accuracy_score(y, model.labels_)
    assert found >= 0.9
    kmeans = AEKMeans(10, autoencoder=encoder, random_state=1).fit(images)
    assert found > clustering_accuracy_score(y, kmeans.labels_) + 0.04
    nmi = normalized_mutual_info_score(y, model.labels_, average_method="geometric")
    assert nmi >= 0.86


# the start


def head_of(Z, labels, n_clusters=None):
    labels = torch.as_tensor(labels)
    n_clusters = int(labels.max()) + 1 if n_clusters is None else n_clusters
    return discriminant_head(Z, labels, n_clusters)


def test_head_is_the_softmax_of_distances_in_the_metric_of_the_clusters():
    Z, labels = normal(60, 3, seed=1), torch.arange(60) % 4
    exact = Z.double().numpy()
    centers = np.stack([exact[labels == j].mean(0) for j in range(4)])
    inner = exact - centers[labels]
    floor = REGULARISATION * exact.var()
    precision = np.linalg.inv(inner.T @ inner / 60 + floor * np.eye(3))
    squares = cdist(exact, centers, "mahalanobis", VI=precision) ** 2
    expected = torch.softmax(torch.from_numpy(-squares / (2 * 3)), dim=1)
    with torch.no_grad():
        found = head_of(Z, labels)(Z).softmax(1)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("far", [0, 1e3])
def test_head_has_the_labels_of_clusters_that_lie_apart(far):
    Z, y = make_blobs(200, n_features=5, centers=4, random_state=0)
    Z = torch.from_numpy((Z * [9, 1, 1, 1, 1] + far).astype(np.float32))
    with torch.no_grad():
        np.testing.assert_array_equal(head_of(Z, y)(Z).argmax(1), y)


def test_labels_do_not_depend_on_the_metric_of_the_codes():
    Z, labels = normal(200, 3, seed=1), torch.arange(200) % 4
    Z[:, 0] += labels
    turned = Z @ torch.tensor([[2.0, 0, 1], [0, 0.5, 0], [1, 0, 1]])
    with torch.no_grad():
        first, second = (head_of(z, labels)(z).argmax(1) for z in (Z, turned))
    assert (first == second).float().mean() > 0.98


def test_head_of_equal_codes_is_undecided():
    Z = torch.ones(5, 3)
    with torch.no_grad():
        p = head_of(Z, [0, 0, 1, 1, 2])(Z).softmax(1)
    torch.testing.assert_close(p, torch.full((5, 3), 1 / 3))


def test_head_has_a_place_for_clusters_without_rows():
    Z = normal(20, 3, seed=1)
    with torch.no_grad():
        p = head_of(Z, torch.arange(20) % 2, 4)(Z).softmax(1)
    assert torch.isfinite(p).all()


def test_neighbours_are_those_of_the_smallest_angle():
    Z = torch.tensor([[1.0, 0], [9, 1], [0, 2], [1, 10], [-1, 0.1]])
    assert code_neighbors(Z, 1, 0).tolist() == [[1], [0], [3], [2], [2]]
    assert code_neighbors(Z, 9, 0).shape == (5, 4)
    assert code_neighbors(Z[:1], 3, 0).tolist() == [[0]]
    assert code_neighbors(torch.zeros(3, 2), 2, 0).shape == (3, 2)


def test_initial_labels_are_those_of_clusters_of_the_pretrained_codes(planted):
    X, _, frozen = planted
    model = SCANClusterer(3, encoder=frozen, **BRIEF).fit(X)
    kmeans = AEKMeans(3, autoencoder=frozen, random_state=0).fit(X)
    assert clustering_accuracy_score(kmeans.labels_, model.initial_labels_) == 1


# the two phases


def test_neighbours_learn_to_agree_and_all_clusters_stay(planted):
    X, y, frozen = planted
    options = {"augment": None, "batch_size": 40, "max_iter": 40, "random_state": 0}
    model = SCANClusterer(3, encoder=frozen, **options).fit(X)
    assert clustering_accuracy_score(y, model.labels_) > 0.95
    history = model.history_
    consistency = history["consistency_loss"]
    assert np.mean(consistency[-10:]) < 0.8 * np.mean(consistency[:10])
    assert history["entropy"][-1] == pytest.approx(np.log(3), abs=0.05)
    np.testing.assert_allclose(
        history["loss"],
        np.subtract(history["consistency_loss"], 2 * np.array(history["entropy"])),
        rtol=1e-4,
        atol=1e-5,
    )


def test_without_the_entropy_one_cluster_takes_all():
    X = np.random.RandomState(0).randn(120, 4)  # nothing to be told apart
    frozen = FrozenEstimator(clone(SMALL).set_params(random_state=0).fit(X))
    options = {"learning_rate": 2e-2, "batch_size": 40, "self_label_iter": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        without, even = (
            SCANClusterer(
                3, encoder=frozen, entropy_weight=w, guard=False, max_iter=60, **options
            )
            .set_params(random_state=0)
            .fit(X)
            for w in (0.0, 2.0)
        )
    assert len(set(without.labels_)) == 1
    assert len(set(even.labels_)) == 3
    assert without.history_["entropy"][-1] < 0.2 < 1 < even.history_["entropy"][-1]


def test_self_labelling_makes_rows_surer(planted):
    X, y, frozen = planted
    X = X + np.random.RandomState(0).normal(scale=2, size=X.shape)
    options = {"encoder": frozen, "max_iter": 5, "random_state": 4}
    before = SCANClusterer(3, self_label_iter=0, **options).fit(X)
    after = SCANClusterer(
        3, threshold=0.5, self_label_iter=50, self_label_learning_rate=1e-3, **options
    ).fit(X)
    assert after.predict_proba(X).max(axis=1).mean() > (
        before.predict_proba(X).max(axis=1).mean()
    )
    assert clustering_accuracy_score(y, after.labels_) > 0.9
    history = after.self_label_history_
    assert np.mean(history["loss"][-10:]) < np.mean(history["loss"][:10])
    assert history["sure_fraction"][-1] >= history["sure_fraction"][0] > 0.5
    assert all(len(values) == 50 for values in history.values())
    assert before.self_label_history_ == {}


def test_rows_below_the_threshold_do_not_train(planted):
    X, _, frozen = planted
    options = {**BRIEF, "encoder": frozen, "threshold": 0.999999}
    options["entropy_weight"] = 0.5
    left_out = SCANClusterer(8, **{**options, "self_label_iter": 0}).fit(X)
    assert left_out.predict_proba(X).max() < 0.999999
    model = SCANClusterer(8, **options).fit(X)
    assert model.self_label_history_["loss"] == [0, 0]
    assert model.self_label_history_["sure_fraction"] == [0, 0]
    np.testing.assert_array_equal(model.predict_proba(X), left_out.predict_proba(X))


def test_encoder_and_head_are_trained_and_the_given_one_is_not(planted):
    X, _, frozen = planted
    before = frozen.transform(X)
    model = SCANClusterer(3, encoder=frozen, **BRIEF).fit(X)
    np.testing.assert_array_equal(frozen.transform(X), before)
    assert not np.array_equal(model.transform(X), before)
    np.testing.assert_array_equal(model.encoder_.transform(X), model.transform(X))
    with torch.no_grad():
        p = model.head_(torch.from_numpy(model.transform(X))).softmax(1)
    np.testing.assert_allclose(p, model.predict_proba(X), rtol=1e-4, atol=1e-6)
    assert not hasattr(model, "inverse_transform")


def test_centers_are_the_means_of_the_codes(planted):
    X, _, frozen = planted
    model = SCANClusterer(3, encoder=frozen, **BRIEF).fit(X)
    Z = model.transform(X)
    means = [Z[model.labels_ == k].mean(axis=0) for k in range(3)]
    np.testing.assert_allclose(model.cluster_centers_, means, rtol=1e-4, atol=1e-5)
    frequencies = model.predict_proba(X).sum(axis=0)
    np.testing.assert_allclose(model.cluster_frequencies_, frequencies, rtol=1e-4)


def test_score_is_the_objective_of_rows_that_are_their_own_neighbours(planted):
    X, _, frozen = planted
    model = SCANClusterer(3, encoder=frozen, entropy_weight=3.0, **BRIEF).fit(X)
    p = model.predict_proba(X).astype(float)
    consistency = -np.log((p**2).sum(axis=1)).mean()
    mean = p.mean(axis=0)
    objective = consistency + 3.0 * (mean * np.log(mean)).sum()
    assert model.score(X) == pytest.approx(-objective, rel=1e-4)


# the guard


def test_guard_returns_the_state_before_phases_that_harm():
    X, y = blobs(300, centers=5)
    frozen = FrozenEstimator(
        clone(SMALL).set_params(max_iter=60, random_state=0).fit(X)
    )
    harmful = {"learning_rate": 0.5, "max_iter": 5, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        without = SCANClusterer(5, encoder=frozen, guard=False, **harmful).fit(X)
        model = SCANClusterer(5, encoder=frozen, **harmful).fit(X)
    assert clustering_accuracy_score(y, without.labels_) < 0.9
    assert without.deep_stage_kept_
    assert np.isnan(without.initial_modularity_)
    assert "modularity" not in without.history_
    assert not model.deep_stage_kept_
    assert model.self_label_history_["modularity"][-1] < model.initial_modularity_
    np.testing.assert_array_equal(model.labels_, model.initial_labels_)
    np.testing.assert_array_equal(model.labels_, model.predict(X))
    np.testing.assert_array_equal(model.transform(X), frozen.transform(X))


# encoders, images and tables

CHEAP = {"n_components": 4, "hidden_layer_sizes": (16,), "max_iter": 60}
ENCODERS = [DeepInfoMaxTransformer(n_units=16, **CHEAP), SimCLRTransformer(**CHEAP)]


# SimCLR is the default, and has its own test.
@pytest.mark.parametrize(
    "encoder",
    [ENCODERS[0], pytest.param(ENCODERS[1], marks=pytest.mark.slow)],
    ids=lambda e: type(e).__name__,
)
def test_any_encoder_is_a_start(encoder):
    X, y = blobs()
    model = SCANClusterer(3, encoder=encoder, max_iter=20, random_state=0).fit(X)
    assert type(model.encoder_) is type(encoder)
    assert clustering_accuracy_score(y, model.labels_) > 0.95
    np.testing.assert_array_equal(model.labels_, model.predict(X))
    again = clone(model).fit(X)
    np.testing.assert_array_equal(model.transform(X), again.transform(X))


def test_no_encoder_means_simclr():
    X, y = blobs()
    model = SCANClusterer(3, max_iter=20, random_state=0).fit(X)
    assert type(model.encoder_) is SimCLRTransformer
    assert clustering_accuracy_score(y, model.labels_) == 1


def test_images_are_encoded_as_images():
    images = load_digits().images[:100, None]
    encoder = SimCLRTransformer(8, hidden_layer_sizes=(4, 4, 4, 16), max_iter=2)
    model = SCANClusterer(5, encoder=encoder, guard=False, **BRIEF)
    with warnings.catch_warnings():  # 100 images and 12 steps
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(images)
        assert type(model.encoder_.encoder_).__name__ == "ImageEncoder"
        np.testing.assert_array_equal(model.predict(images), model.labels_)
        flat = images.reshape(100, -1)
        np.testing.assert_array_equal(model.predict(flat), model.labels_)
        plain = clone(model).set_params(augment=None).fit(images)
        given = clone(model).set_params(augment=ImageAugmentation()).fit(images)
    assert not np.array_equal(plain.transform(images), model.transform(images))
    np.testing.assert_array_equal(given.transform(images), model.transform(images))


def test_views_of_tables_are_corrupted_rows(planted):
    X, _, frozen = planted
    default = SCANClusterer(3, encoder=frozen, **BRIEF).fit(X)
    given = clone(default).set_params(augment=MarginalCorruption(0.3)).fit(X)
    np.testing.assert_array_equal(default.transform(X), given.transform(X))
    strong = clone(default).set_params(
        strong_augment=MarginalCorruption(0.6), threshold=0.3
    )
    weak = clone(strong).set_params(strong_augment="auto")
    assert not np.array_equal(strong.fit(X).transform(X), weak.fit(X).transform(X))


def test_steps_see_rows_with_their_neighbours_and_then_sure_rows(planted):
    X, _, frozen = planted
    seen, strong = [], []

    def noted(where):
        def augment(x, rng):
            assert isinstance(rng, torch.Generator)
            where.append(x.clone())
            return x

        return augment

    model = SCANClusterer(
        3, encoder=frozen, augment=noted(seen), strong_augment=noted(strong), **BRIEF
    ).fit(X)
    assert [tuple(x.shape) for x in seen] == [(80, 6)] * 9
    assert [tuple(x.shape) for x in strong] == [(40, 6)] * 6
    scaled = (X - frozen.estimator.offset_) / frozen.estimator.scale_
    anchors = torch.cat([x[:40] for x in seen[:3]]).numpy()
    np.testing.assert_allclose(np.sort(anchors, 0), np.sort(scaled, 0), atol=1e-5)
    # Partners are rows too, near in the pretrained codes.
    numbers = cdist(torch.cat(seen), scaled).argmin(axis=1).reshape(9, 2, 40)
    neighbors = code_neighbors(torch.from_numpy(frozen.transform(X)), 15, 0).numpy()
    for anchor, partner in zip(
        numbers[:, 0].ravel(), numbers[:, 1].ravel(), strict=True
    ):
        assert partner in neighbors[anchor]
    assert model.n_iter_ == 3


def test_augmentation_of_another_shape_is_refused(planted):
    X, _, frozen = planted
    for name in ("augment", "strong_augment"):
        model = SCANClusterer(3, encoder=frozen, **{name: lambda x, _: x[:1]})
        with pytest.raises(ValueError, match="must map a tensor"):
            model.set_params(max_iter=1).fit(X)
        assert [name for name in vars(model) if name.endswith("_")] == []


@pytest.mark.parametrize("wrong", [PCA(2), FrozenEstimator(PCA(2))])
def test_transformer_without_an_encoder_is_refused(wrong):
    with pytest.raises(TypeError, match=r"'encoder' parameter .* skdeep transformer"):
        SCANClusterer(3, encoder=wrong).fit(blobs()[0])


def test_frozen_encoder_must_be_fitted_to_such_data(planted):
    X, _, frozen = planted
    with pytest.raises(ValueError, match="X has 5 features, but the frozen"):
        SCANClusterer(3, encoder=frozen).fit(X[:, :5])
    with pytest.raises(NotFittedError):
        SCANClusterer(3, encoder=FrozenEstimator(SMALL)).fit(X)


# extremes


def test_one_cluster_fits():
    X, _ = blobs(40)
    model = SCANClusterer(1, encoder=SMALL, **BRIEF).fit(X)
    assert set(model.labels_) == {0}
    np.testing.assert_array_equal(model.predict_proba(X), np.ones((40, 1)))
    assert model.score(X) == pytest.approx(0, abs=1e-6)


def test_as_many_clusters_as_rows_fit():
    X, _ = blobs(12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = SCANClusterer(12, encoder=SMALL, **BRIEF).fit(X)
    assert np.isfinite(model.cluster_centers_).all()


def test_one_row_fits():
    X = blobs(5)[0][:1]
    model = SCANClusterer(1, encoder=SMALL, **BRIEF).fit(X)
    assert model.predict(X).tolist() == [0]


# in scikit-learn's company


def test_pretraining_is_kept_and_searched(tmp_path):
    X, y = blobs(90)
    model = SCANClusterer(encoder=SMALL, memory=str(tmp_path), **BRIEF)
    search = GridSearchCV(
        model, {"n_clusters": [2, 3]}, scoring="adjusted_rand_score", cv=2
    ).fit(X, y)
    assert search.best_params_ == {"n_clusters": 3}
    assert len(list(tmp_path.rglob("output.pkl"))) == 3  # two folds and the refit
    fresh = clone(search.best_estimator_).set_params(memory=None).fit(X)
    np.testing.assert_array_equal(fresh.transform(X), search.transform(X))


def test_copies_predict_the_same(planted):
    X, _, frozen = planted
    model = SCANClusterer(3, encoder=frozen, **BRIEF).fit(X)
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.predict_proba(X), model.predict_proba(X))


def test_feature_names_come_out():
    frame = load_iris(as_frame=True).data
    model = SCANClusterer(3, encoder=SMALL, **BRIEF).set_output(transform="pandas")
    Z = model.fit(frame).transform(frame)
    assert list(Z.columns) == ["scanclusterer0", "scanclusterer1"]
    assert list(model.feature_names_in_) == list(frame.columns)


class Recorder:
    """Callback that notes the tasks it sees, and what a model predicts in them."""

    def __init__(self, X):
        self.X = X
        self.seen = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.seen.append(context.task_name)

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        phases = ("cluster", "self-label")
        if context.task_name == "epoch" and context.parent.task_name in phases:
            self.labels = fitted_estimator.predict(self.X)


def test_callbacks_see_phases_and_a_model_that_predicts():
    X, _ = blobs()
    recorder = Recorder(X)
    encoder = clone(SMALL).set_params(max_iter=2)
    model = SCANClusterer(3, encoder=encoder, guard=False, **BRIEF)
    model.set_callbacks(recorder).fit(X)
    expected = ["fit", "pretrain", "epoch", "epoch", "init"]
    expected += ["cluster", *["epoch"] * 3, "self-label", *["epoch"] * 2]
    assert recorder.seen == expected
    np.testing.assert_array_equal(recorder.labels, model.labels_)
