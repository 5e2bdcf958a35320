import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_digits, make_blobs
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import NearestNeighbors

from skdeep.cluster import AEKMeans, IDECClusterer
from skdeep.metrics import clustering_accuracy_score
from skdeep.nn import AttentionEncoder
from skdeep.nn.augmentation import ImageAugmentation, MarginalCorruption
from skdeep.objectives.contrastive import neighbor_contrastive_loss
from skdeep.representation import (
    AutoencoderTransformer,
    _autoencoder,
    _autoencoder_objective,
)
from skdeep.representation._neighbors import nearest_neighbors, principal_points
from skdeep.training import Rows

CPU = torch.device("cpu")


def digits(n=500):
    return load_digits().data[:n]


def small(**parameters):
    defaults = {
        "n_components": 4,
        "hidden_layer_sizes": (32,),
        "max_iter": 30,
        "batch_size": 64,
        "learning_rate": 1e-2,
        "random_state": 0,
    }
    return AutoencoderTransformer(**{**defaults, **parameters})


def rows_of(X):
    return Rows(X, np.zeros(X.shape[1]), np.ones(X.shape[1]), CPU)


# what it learns


@pytest.mark.parametrize("write", [lambda c: 1 + c, lambda c: (c - 0.5) / 0.1])
def test_the_code_does_not_depend_on_how_two_categories_are_written(write):
    rng = np.random.RandomState(0)
    measured, sex = rng.randn(60, 3) * [1, 10, 1e3], rng.randint(2, size=(60, 1))
    X, written = np.hstack([measured, sex]), np.hstack([measured, write(sex)])
    codes = small(max_iter=3).fit(X).transform(X)
    found = small(max_iter=3).fit(written).transform(written)
    np.testing.assert_allclose(found, codes, atol=1e-4)


def test_whitening_does_not_depend_on_the_last_bit_of_a_deviation():
    rng = np.random.RandomState(0)
    ranks = np.array([rng.permutation(60) for _ in range(4)]).T
    assert np.ptp(ranks.std(axis=0)) == 0
    model = small(max_iter=0).fit(ranks)
    nearly = small(max_iter=0).fit(ranks + 1e-9 * rng.randn(60, 4))
    np.testing.assert_allclose(model.whitening_, nearly.whitening_, atol=1e-6)
    alike = small(max_iter=0).fit(rng.rand(60, 4) > 0.5)  # zeros and ones are
    assert alike.whitening_ is None


def test_linear_autoencoder_reaches_the_reconstruction_of_pca():
    rng = np.random.RandomState(0)
    X = rng.randn(300, 3) @ rng.randn(3, 8) + 0.3 * rng.randn(300, 8) + 5
    model = small(
        n_components=3, hidden_layer_sizes=(), neighbor_weight=0, max_iter=300
    ).fit(X)
    scaled = (X - model.offset_) / model.scale_
    pca = PCA(3).fit(scaled)
    best = np.mean((pca.inverse_transform(pca.transform(scaled)) - scaled) ** 2)
    assert best - 1e-6 <= -model.score(X) < 1.05 * best


def test_neighbor_term_puts_neighbors_closer_than_strangers():
    X = digits()
    with_term = small(max_iter=60).fit(X).transform(X)
    without = small(max_iter=60, neighbor_weight=0).fit(X).transform(X)

    def contrast(Z):  # mean distance to input-space neighbours over that to anyone
        neighbors = nearest_neighbors(rows_of(X), 5, seed=0)
        near = np.linalg.norm(Z[neighbors] - Z[:, None], axis=2).mean()
        return near / np.linalg.norm(Z[:, None] - Z[None], axis=2).mean()

    assert contrast(with_term) < 0.75 * contrast(without)


def test_neighbors_attract_more_while_the_step_size_warms_up(monkeypatch):
    seen = []

    def spy(z, z_neighbor, exaggeration):
        seen.append(exaggeration)
        return neighbor_contrastive_loss(z, z_neighbor, exaggeration)

    monkeypatch.setattr(_autoencoder_objective, "neighbor_contrastive_loss", spy)
    X = digits(100)
    small(batch_size=10, max_iter=2).fit(X)
    assert seen == [4.0] * 2 + [1.0] * 18
    seen.clear()
    small(batch_size=10, max_iter=2, early_exaggeration=3).fit(X)
    assert seen == [3] * 2 + [1.0] * 18
    seen.clear()
    small(batch_size=10, max_iter=2, augment=lambda x, _: x).fit(X)
    assert seen == [1.0] * 20


@pytest.mark.slow
def test_few_seeds_tear_digits_apart():
    X, y = load_digits(return_X_y=True)
    accuracies = [
        clustering_accuracy_score(y, AEKMeans(10, random_state=seed).fit_predict(X))
        for seed in range(6)
    ]
    # Which seeds do, one in six, depends on how a processor rounds.
    assert np.sum(np.array(accuracies) < 0.92) <= 2
    assert np.median(accuracies) > 0.93


def test_denoising_rebuilds_masked_columns_better():
    rng = np.random.RandomState(0)
    base = rng.randn(400, 2)
    X = np.hstack([base, base, base, base])  # each column can be told from others
    damaged = X * (rng.rand(*X.shape) > 0.3)

    def error(corruption):
        model = small(
            corruption=corruption, neighbor_weight=0, scale=None, max_iter=100
        ).fit(X)
        return np.mean((model.inverse_transform(model.transform(damaged)) - X) ** 2)

    assert error(0.3) < 0.8 * error(0.0)


def test_unusual_rows_score_lower():
    X = digits()
    model = small(max_iter=60).fit(X)
    shuffled = np.random.default_rng(0).permuted(X, axis=1)
    assert np.median(model.score_samples(shuffled)) < model.score_samples(X).min() / 2


def test_scale_tells_what_a_rare_one_of_two_values_weighs():
    rng = np.random.RandomState(0)
    X = rng.randn(300, 2) @ rng.randn(2, 8) + 0.3 * rng.randn(300, 8)
    X = np.column_stack([X, [500] + 299 * [0]])

    def rank(scale):
        model = AutoencoderTransformer(
            3, hidden_layer_sizes=(32,), scale=scale, neighbor_weight=0, max_iter=20
        )
        score = model.set_params(random_state=0).fit(X).score_samples(X)
        return np.sum(score < score[0])

    assert rank("standard") == 0
    assert rank("auto") > 10


def test_loss_falls():
    loss = small().fit(digits()).history_["loss"]
    assert loss[-1] < 0.9 * loss[0]


def test_fitted_networks_hold_their_own_weights_alone():
    model = small(neighbor_weight=0, max_iter=1).fit(digits())
    for network in (model.encoder_, model.decoder_):
        n_bytes = 4 * sum(weight.numel() for weight in network.parameters())
        assert n_bytes < len(pickle.dumps(network)) < n_bytes + 20_000
        assert not network.training


# options


def test_cross_entropy_reconstructs_in_the_range_of_the_input():
    X = digits()
    model = small(loss="binary_cross_entropy").fit(X)
    rebuilt = model.inverse_transform(model.transform(X))
    assert rebuilt.min() >= 0
    assert rebuilt.max() <= 16
    assert np.mean((rebuilt - X) ** 2) < np.mean((X.mean(0) - X) ** 2)


def test_cross_entropy_keeps_values_that_lie_between_zero_and_one():
    X = (digits() > 8).astype(np.float32)
    model = small(loss="binary_cross_entropy").fit(X)
    assert np.all(model.offset_ == 0)
    assert np.all(model.scale_ == 1)


def test_cross_entropy_refuses_a_scale_that_leaves_the_unit_interval():
    with pytest.raises(ValueError, match="needs values in \\[0, 1\\]"):
        small(loss="binary_cross_entropy", scale="standard").fit(digits())


@pytest.mark.parametrize("scale", ["auto", "standard", "minmax", None])
def test_inverse_transform_returns_to_the_units_of_the_input(scale):
    X = make_blobs(200, n_features=3, random_state=0)[0] * [1, 100, 1e4] + [0, 5, 1e5]
    model = small(scale=scale, max_iter=3).fit(X)
    rebuilt = model.inverse_transform(model.transform(X))
    assert rebuilt.shape == X.shape
    assert rebuilt.dtype == np.float32
    if scale is not None:
        spread = np.abs(rebuilt - X.mean(axis=0)).mean(axis=0)
        assert np.all(spread < 4 * X.std(axis=0))


def test_images_train_convolutions():
    images = load_digits().images[:200]
    model = small(hidden_layer_sizes=(8, 8), max_iter=3, image_shape=(1, 8, 8))
    flat = model.fit(images.reshape(200, -1)).transform(images.reshape(200, -1))
    four_d = small(hidden_layer_sizes=(8, 8), max_iter=3).fit(images[:, None])
    assert type(four_d.encoder_).__name__ == "ConvEncoder"
    assert four_d.image_shape_ == (1, 8, 8)
    np.testing.assert_array_equal(flat, four_d.transform(images[:, None]))
    assert model.inverse_transform(flat).shape == (200, 64)


def test_attention_reads_tables_and_starts_clusterers():
    X, y = make_blobs(150, 5, centers=3, cluster_std=0.5, random_state=0)
    autoencoder = small(n_components=2, network="attention", hidden_layer_sizes=(8,))
    assert type(autoencoder.fit(X).encoder_) is AttentionEncoder
    scaled = (X - autoencoder.offset_) / autoencoder.scale_
    assert -autoencoder.score(X) < 0.5 * np.square(scaled).mean()
    rebuilt = autoencoder.inverse_transform(autoencoder.transform(X))
    assert rebuilt.shape == X.shape
    idec = IDECClusterer(3, autoencoder=autoencoder, max_iter=3, random_state=0)
    assert clustering_accuracy_score(y, idec.fit_predict(X)) == 1
    copied = pickle.loads(pickle.dumps(idec))
    assert np.array_equal(copied.transform(X), idec.transform(X))


def test_attention_refuses_images():
    with pytest.raises(ValueError, match="'network' parameter of AutoencoderTransf"):
        AutoencoderTransformer(network="attention").fit(np.ones((4, 1, 3, 3)))


@pytest.mark.parametrize("shape", [(1, 8, 9), (2, 8, 8)])
def test_image_shape_of_another_size_is_refused(shape):
    with pytest.raises(ValueError, match="pixels, but X has 64 features"):
        small(image_shape=shape).fit(digits())


@pytest.mark.parametrize("shape", [(8, 8), (1, 8.0, 8), (1, -8, -8), ("1", 8, 8)])
def test_image_shape_that_is_none_is_refused(shape):
    with pytest.raises(ValueError, match="three positive integers"):
        small(image_shape=shape).fit(digits())


@pytest.mark.parametrize("sizes", [(0,), (-3, 4), (2.5,), ("wide",)])
def test_absurd_hidden_layers_are_refused(sizes):
    with pytest.raises(ValueError, match="must hold positive integers"):
        small(hidden_layer_sizes=sizes).fit(digits())


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("n_components", 0),
        ("corruption", 1.0),
        ("neighbor_weight", -1),
        ("n_neighbors", 0),
        ("max_iter", -1),
        ("mask_weight", -1),
        ("augment", "strong"),
        ("batch_size", 0),
        ("learning_rate", 0),
        ("weight_decay", -0.1),
        ("precision", "float16"),
        ("scale", "robust"),
        ("loss", "l1"),
    ],
)
def test_absurd_parameters_are_refused_by_name(parameter, value):
    with pytest.raises(ValueError, match=f"The '{parameter}' parameter of"):
        small(**{parameter: value}).fit(digits())


def test_codes_of_another_width_are_refused():
    model = small(max_iter=1).fit(digits())
    with pytest.raises(ValueError, match="X has 3 columns, but the codes of this"):
        model.inverse_transform(np.zeros((2, 3)))


def test_bfloat16_products_learn_the_same():
    X = digits()
    full = small(precision="float32", max_iter=15).fit(X)
    half = small(precision="bfloat16", max_iter=15).fit(X)
    assert half.score(X) == pytest.approx(full.score(X), rel=0.1)
    assert all(w.dtype == torch.float32 for w in half.encoder_.parameters())
    assert half.transform(X).dtype == np.float32


def test_automatic_epochs_make_the_steps_they_promise(monkeypatch):
    monkeypatch.setattr(_autoencoder, "N_STEPS", 200)
    X = make_blobs(6000, n_features=2, random_state=0)[0]
    model = AutoencoderTransformer(
        1, hidden_layer_sizes=(4,), batch_size=300, neighbor_weight=0, random_state=0
    ).fit(X)
    assert model.n_iter_ == 200 // 20


def test_verbose_writes_one_line(capsys):
    small(max_iter=2, verbose=1).fit(digits())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert "train: 2 epochs" in lines[0]
    small(max_iter=2).fit(digits())
    assert capsys.readouterr().out == ""


def test_no_epochs_leave_the_drawn_networks():
    X = digits(100)
    model = small(max_iter=0).fit(X)
    assert model.n_iter_ == 0
    assert model.history_ == {}
    assert model.transform(X).shape == (100, 4)
    assert np.isfinite(model.score(X))
    other = small(max_iter=0, learning_rate=1.0, batch_size=7).fit(X)
    np.testing.assert_array_equal(model.transform(X), other.transform(X))
    assert small().fit(X).score(X) > model.score(X)


# augmentation and corruption


@pytest.mark.parametrize("neighbor_weight", [0, 1])
def test_augmentation_changes_what_is_encoded_and_what_is_rebuilt(neighbor_weight):
    X = digits(200)

    def blank(x, _):
        return torch.full_like(x, 3.0)

    model = small(
        augment=blank, neighbor_weight=neighbor_weight, max_iter=100, scale=None
    ).fit(X)
    assert model.history_["reconstruction_loss"][-1] < 0.1
    threes = model.inverse_transform(model.transform(np.full((1, 64), 3.0)))
    np.testing.assert_allclose(threes, 3, atol=0.5)


def test_augmentation_sees_scaled_images_with_their_partners():
    images = load_digits().images[:40, None]
    seen = []

    def spy(x, rng):
        assert isinstance(rng, torch.Generator)
        seen.append(x.clone())
        return x

    options = {"hidden_layer_sizes": (4, 4), "batch_size": 40, "max_iter": 2}
    options["early_exaggeration"] = 1  # else of unchanged batches alone
    with_spy = small(augment=spy, **options).fit(images)
    assert [tuple(x.shape) for x in seen] == [(80, 1, 8, 8)] * 2
    scaled = (images.reshape(40, -1) - with_spy.offset_) / with_spy.scale_
    found = seen[0][:40].flatten(1).numpy()
    np.testing.assert_allclose(np.sort(found, 0), np.sort(scaled, 0), atol=1e-5)
    without = small(**options).fit(images)
    np.testing.assert_array_equal(with_spy.transform(images), without.transform(images))


def test_augmentation_of_another_shape_is_refused():
    model = small(augment=lambda x, _: x[:, :3])
    with pytest.raises(ValueError, match="The 'augment' parameter must map a tensor"):
        model.fit(digits(50))
    assert not hasattr(model, "n_features_in_")


def test_corruption_by_other_rows_is_an_augmentation():
    X = digits(100)
    first, second = (
        small(augment=augment, max_iter=2).fit(X).transform(X)
        for augment in (None, MarginalCorruption(0.3))
    )
    assert not np.array_equal(first, second)


def test_augmentations_can_be_searched():
    X = digits(100)
    model = small(image_shape=(1, 8, 8), hidden_layer_sizes=(4,), max_iter=2)
    grid = {"augment": [None, ImageAugmentation(), MarginalCorruption()]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X)
    assert len(search.cv_results_["params"]) == 3
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.transform(X), search.transform(X))


def correlated(n=300):
    base = np.random.RandomState(0).randn(n, 2)
    return np.hstack([base] * 4)  # a replaced cell differs from its three copies


def test_code_learns_which_cells_were_replaced():
    model = small(
        n_components=8,
        hidden_layer_sizes=(64, 64),
        corruption=0.3,
        mask_weight=1.0,
        neighbor_weight=0,
        max_iter=100,
    ).fit(correlated())
    assert set(model.history_) == {"loss", "reconstruction_loss", "mask_loss"}
    loss = model.history_["mask_loss"]
    blind = -(0.3 * np.log(0.3) + 0.7 * np.log(0.7))
    assert loss[0] > blind - 0.05
    assert loss[-1] < 0.9 * blind
    total = np.add(model.history_["reconstruction_loss"], loss)
    np.testing.assert_allclose(model.history_["loss"], total, rtol=1e-5)


def test_code_cannot_tell_replaced_cells_of_independent_columns():
    X = np.random.RandomState(0).randn(300, 8)
    model = small(corruption=0.3, mask_weight=1.0, neighbor_weight=0).fit(X)
    assert model.history_["mask_loss"][-1] > 0.5


def test_mask_task_goes_with_neighbors_and_images():
    images = load_digits().images[:60, None]
    options = {"corruption": 0.3, "mask_weight": 0.5, "neighbor_weight": 0.25}
    model = small(hidden_layer_sizes=(4,), max_iter=2, **options).fit(images)
    weights = {"reconstruction_loss": 1, "neighbor_loss": 0.25, "mask_loss": 0.5}
    assert set(model.history_) == {"loss", *weights}
    total = sum(w * np.array(model.history_[name]) for name, w in weights.items())
    np.testing.assert_allclose(model.history_["loss"], total, rtol=1e-5)


def test_mask_task_needs_corruption():
    model = small(mask_weight=0.5)
    with pytest.raises(ValueError, match="'corruption' parameter of AutoencoderTr"):
        model.fit(digits(50))
    assert not hasattr(model, "n_features_in_")


# rows


@pytest.mark.parametrize("n", [1, 2, 5, 33])
def test_few_rows_fit(n):
    X = digits(n)
    model = small(batch_size=4, max_iter=2).fit(X)
    assert np.isfinite(model.transform(X)).all()


def test_transform_does_not_depend_on_the_batch():
    X = digits()
    model = small().fit(X)
    alone = np.vstack([model.transform(X[i : i + 1]) for i in range(20)])
    np.testing.assert_allclose(alone, model.transform(X)[:20], rtol=1e-4, atol=1e-5)


def test_time_stamps_keep_their_differences():
    rng = np.random.RandomState(0)
    X = 1.7e9 + rng.rand(200, 3) * 10  # ten seconds: below float32 at this height
    model = small(neighbor_weight=0, max_iter=100, learning_rate=0.01).fit(X)
    assert -model.score(X) < 0.5


def test_neighbors_are_scikit_learns():
    X = digits(300)[:, 20:60]
    found = nearest_neighbors(rows_of(X), 7, seed=0)
    search = NearestNeighbors(n_neighbors=7).fit(X.astype(np.float32))
    expected = search.kneighbors(return_distance=False)
    assert np.mean(np.sort(found) == np.sort(expected)) > 0.99


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_principal_points_are_those_of_pca(kind):
    X = np.random.RandomState(0).randn(400, 120) @ np.diag(np.linspace(3, 0.1, 120))
    X += 10
    rows = Rows(kind(X), X.mean(0) + 1, np.linspace(1, 2, 120), torch.device("cpu"))
    points = principal_points(rows, 20, seed=0)
    best = PCA(20).fit_transform(X / rows.scale)
    assert np.var(points, axis=0).sum() > 0.95 * np.var(best, axis=0).sum()
    centered = (X - X.mean(0)) / rows.scale
    inner = np.linalg.lstsq(centered, points - points.mean(0), rcond=None)[0]
    np.testing.assert_allclose(inner.T @ inner, np.eye(20), atol=1e-3)


def test_neighbors_of_sparse_wide_rows_are_those_of_the_dense_ones():
    X = sparse.random(300, 400, 0.05, format="csr", random_state=0)
    first = nearest_neighbors(rows_of(X), 5, seed=0)
    second = nearest_neighbors(rows_of(X.toarray()), 5, seed=0)
    np.testing.assert_array_equal(first, second)


def test_neighbors_in_blocks_are_other_rows_of_the_data(monkeypatch):
    from skdeep.representation import _neighbors

    monkeypatch.setattr(_neighbors, "EXACT", 200)
    monkeypatch.setattr(_neighbors, "BLOCK", 100)
    X = make_blobs(450, n_features=5, centers=3, random_state=0)[0]
    y = make_blobs(450, n_features=5, centers=3, random_state=0)[1]
    found = nearest_neighbors(rows_of(X), 6, seed=0)
    assert found.shape == (450, 6)
    assert np.all(found != np.arange(450)[:, None])
    assert np.mean(y[found] == y[:, None]) > 0.99


def test_impossible_rows_are_no_typical_ones_by_the_cross_entropy():
    X = np.random.RandomState(0).rand(80, 5) > 0.7
    model = small(loss="binary_cross_entropy", max_iter=30).fit(X)
    typical = model.score_samples(X)
    for rows in (3.0 * X, -np.ones(X.shape)):
        assert model.score_samples(rows).max() < typical.max()
        assert model.score(rows) < model.score(X)
