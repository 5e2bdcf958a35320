import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, norm
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.frozen import FrozenEstimator

from skdeep.cluster import VaDEClusterer
from skdeep.compose import make_sampler_pipeline
from skdeep.metrics import clustering_accuracy_score
from skdeep.representation import AutoencoderTransformer, DeepInfoMaxTransformer


def autoencoder(n_components=2, **parameters):
    settings = {
        "hidden_layer_sizes": (32,),
        "scale": "standard",
        "max_iter": 40,
        "learning_rate": 1e-2,
    }
    return AutoencoderTransformer(n_components, **{**settings, **parameters})


def vade(n_clusters=3, **parameters):
    settings = {"autoencoder": autoencoder(), "max_iter": 40, "random_state": 0}
    return VaDEClusterer(n_clusters, **{**settings, **parameters})


@pytest.fixture(scope="module")
def planted():
    X, y = make_blobs(600, n_features=5, centers=3, random_state=0)
    X = X.astype(np.float32)
    return X, y, vade().fit(X)


def test_planted_clusters_are_found(planted):
    X, y, model = planted
    assert clustering_accuracy_score(y, model.labels_) == 1
    assert clustering_accuracy_score(y, model.predict(X)) == 1
    np.testing.assert_allclose(model.weights_, 1 / 3, atol=0.05)


def test_training_raises_the_bound(planted):
    _, _, model = planted
    loss = model.history_["loss"]
    assert loss[-1] < loss[0] - 0.5
    parts = model.history_["reconstruction_loss"], model.history_["kl"]
    np.testing.assert_allclose(np.sum(parts, axis=0), loss, rtol=1e-5)
    assert min(model.history_["kl"]) > 0


def test_probabilities_are_responsibilities_at_the_code(planted):
    X, _, model = planted
    Z = model.transform(X[:20])
    joint = np.log(model.weights_) + np.stack(
        [
            multivariate_normal(mean, np.diag(variance)).logpdf(Z)
            for mean, variance in zip(
                model.cluster_centers_, model.covariances_, strict=True
            )
        ],
        axis=1,
    )
    expected = np.exp(joint - joint.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(X[:20]), expected, atol=1e-4)


def test_samples_lie_in_the_clusters_as_often_as_the_rows(planted):
    X, _, model = planted
    drawn = model.sample(900, random_state=0)
    assert drawn.shape == (900, 5)
    assert drawn.dtype == np.float32
    for label in range(3):
        rows, own = X[model.labels_ == label], drawn[model.predict(drawn) == label]
        assert len(own) / 900 == pytest.approx(len(rows) / len(X), abs=0.05)
        np.testing.assert_allclose(own.mean(0), rows.mean(0), atol=0.5)
        np.testing.assert_allclose(own.std(0), rows.std(0), rtol=0.4)
    np.testing.assert_array_equal(drawn, model.sample(900, random_state=0))
    assert not np.array_equal(drawn, model.sample(900, random_state=1))


def test_samples_of_clusters_lie_in_them(planted):
    _, _, model = planted
    of_one = model.sample(200, y=2, random_state=0)
    assert (model.predict(of_one) == 2).mean() > 0.95
    wanted = np.arange(200) % 3
    of_each = model.sample(200, y=wanted, random_state=0)
    assert (model.predict(of_each) == wanted).mean() > 0.95
    again = make_sampler_pipeline(FrozenEstimator(model)).fit(model.sample(9))
    assert (model.predict(again.sample(50, y=1, random_state=0)) == 1).mean() > 0.95


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (3, "y holds 3, but clusters have the numbers from 0 to 2"),
        (-1, "y holds -1"),
        ("a", "y holds 'a'"),
        ([0, 1], "y has 2 clusters, but n_samples=4"),
    ],
)
def test_samples_of_what_is_no_cluster_are_refused(planted, y, message):
    _, _, model = planted
    with pytest.raises(ValueError, match=message):
        model.sample(4, y=y)


def test_bound_is_a_density_below_the_true_one(planted):
    X, y, model = planted
    true = np.zeros(len(X))
    for label in range(3):
        rows = X[y == label].astype(np.float64)
        density = multivariate_normal(rows.mean(0), np.cov(rows.T)).logpdf(X)
        true += np.exp(density) / 3
    found = model.score_samples(X)
    assert found.shape == (len(X),)
    assert model.score(X) == pytest.approx(found.mean(), rel=1e-5)
    assert np.log(true).mean() - 2.5 < found.mean() < np.log(true).mean() + 0.1
    assert found.min() > model.score_samples(10 * X + 100).max()


def test_bound_is_the_mean_over_many_codes(planted):
    X, _, model = planted
    rng = np.random.RandomState(0)
    scaling = model.autoencoder_.offset_, model.autoencoder_.scale_
    x = torch.from_numpy(((X - scaling[0]) / scaling[1]).astype(np.float32))
    weights, means = np.log(model.weights_), model.cluster_centers_
    variances, noise = model.covariances_, model.noise_variance_
    with torch.no_grad():
        mean, log_var = model.encoder_(x).double().chunk(2, 1)
    bounds = []
    for _ in range(400):
        z = rng.normal(mean, torch.exp(log_var / 2))
        joint = weights + np.stack(
            [
                multivariate_normal(m, np.diag(v)).logpdf(z)
                for m, v in zip(means, variances, strict=True)
            ],
            axis=1,
        )
        log_q = norm.logpdf(z, mean, torch.exp(log_var / 2)).sum(1)
        with torch.no_grad():
            output = model.autoencoder_.decoder_(torch.from_numpy(z).float())
        log_p = norm.logpdf(x, output, noise**0.5).sum(1)
        bounds.append(log_p + np.logaddexp.reduce(joint, axis=1) - log_q)
    expected = np.mean(bounds) - np.log(scaling[1]).sum()
    assert model.score(X) == pytest.approx(expected, abs=0.05)


def test_density_is_in_units_of_the_input(planted):
    X, _, model = planted
    wider = vade().fit(1000 * X)
    expected = model.score(X) - 5 * np.log(1000)
    assert wider.score(1000 * X) == pytest.approx(expected, abs=0.5)


def test_half_whitening_is_counted_in_the_density(planted):
    X, _, model = planted
    inner = autoencoder(scale="half_whiten")
    wider = vade(autoencoder=inner).fit(1000 * X)
    assert wider.autoencoder_.whitening_ is not None
    expected = model.score(X) - 5 * np.log(1000)
    assert wider.score(1000 * X) == pytest.approx(expected, abs=1.0)
    drawn = wider.sample(900, random_state=0)
    np.testing.assert_allclose(drawn.mean(0), 1000 * X.mean(0), atol=700)
    np.testing.assert_allclose(drawn.std(0), 1000 * X.std(0), rtol=0.3)


@pytest.mark.parametrize("scale", ["standard", "half_whiten"])
def test_constants_are_repeated_and_left_out_of_the_density(planted, scale):
    X, _, _ = planted
    short = vade(max_iter=10, autoencoder=autoencoder(scale=scale, max_iter=10))
    plain = clone(short).fit(X)
    model = clone(short).fit(np.column_stack([X, np.full(len(X), 7.7)]))
    np.testing.assert_array_equal(np.isnan(model.constants_), [True] * 5 + [False])
    drawn = model.sample(50, random_state=0)[:, 5]
    np.testing.assert_array_equal(drawn, np.float32(7.7))
    wide = np.column_stack([X, np.full(len(X), 7.7)])
    # As a random column of such little noise it would add many nats.
    assert model.score(wide) == pytest.approx(plain.score(X), abs=1.0)


def test_column_that_a_frozen_autoencoder_mixes_with_others_is_no_constant(planted):
    X, _, _ = planted
    frozen = FrozenEstimator(autoencoder(scale="half_whiten", max_iter=1).fit(X))
    X = X.copy()
    X[:, 0] = 1.0
    model = vade(autoencoder=frozen, max_iter=1).fit(X)
    assert np.isnan(model.constants_).all()


def test_score_of_a_row_depends_on_no_other(planted):
    X, _, model = planted
    alone = np.concatenate([model.score_samples(row[None]) for row in X[:5]])
    np.testing.assert_allclose(alone, model.score_samples(X)[:5], rtol=1e-4)


def test_bernoulli_likelihood():
    X, y = load_digits(return_X_y=True)
    bernoulli = {"loss": "binary_cross_entropy", "scale": "auto"}
    inner = autoencoder(8, hidden_layer_sizes=(64,), **bernoulli)
    model = vade(10, autoencoder=inner, max_iter=10).fit(X)
    assert model.noise_variance_ is None
    drawn = model.sample(50, random_state=0)
    assert 0 <= drawn.min() < drawn.max() <= 16
    assert clustering_accuracy_score(y, model.labels_) > 0.7
    # No row of 64 binary pixels is more likely than 1.
    assert -np.inf < model.score_samples(X).min()
    assert model.score_samples(X).max() < 0
    assert np.isneginf(model.score_samples(2 * X)).all()


def test_state_before_the_deep_stage_is_kept_by_the_guard(planted):
    X, *_ = planted
    # A step size that destroys what was found.
    ruined = {"learning_rate": 3.0, "max_iter": 2}
    model = vade(**ruined).fit(X)
    if model.deep_stage_kept_:
        pytest.fail("the steps were meant to be harmful")
    np.testing.assert_array_equal(model.labels_, model.initial_labels_)
    np.testing.assert_array_equal(model.labels_, model.predict(X))


def test_images_have_convolutions():
    X = load_digits().images[:200, None]
    inner = autoencoder(4, hidden_layer_sizes=(4, 8), max_iter=2)
    model = vade(5, autoencoder=inner, max_iter=2).fit(X)
    assert model.sample(3, random_state=0).shape == (3, 64)
    assert type(model.encoder_).__name__ == "ConvEncoder"
    assert model.encoder_.n_outputs == 8


def test_mean_of_the_code_is_the_embedding(planted):
    X, _, model = planted
    rows = torch.from_numpy((X[:7] - model.autoencoder_.offset_).astype(np.float32))
    rows = rows / torch.from_numpy(model.autoencoder_.scale_.astype(np.float32))
    with torch.inference_mode():
        mean = model.encoder_(rows)[:, :2].numpy()
    np.testing.assert_allclose(model.transform(X[:7]), mean, rtol=1e-4, atol=1e-5)


def test_encoders_without_a_decoder_are_refused(planted):
    X, *_ = planted
    encoder = DeepInfoMaxTransformer(2, n_units=8, max_iter=1)
    with pytest.raises(TypeError, match="has no decoder"):
        vade(autoencoder=encoder).fit(X)


def test_frozen_autoencoder_is_not_changed(planted):
    X, *_ = planted
    fitted = autoencoder(random_state=0).fit(X)
    codes = fitted.transform(X)
    vade(autoencoder=FrozenEstimator(fitted), max_iter=2).fit(X)
    np.testing.assert_array_equal(fitted.transform(X), codes)


def test_one_row_is_refused_before_anything_is_trained():
    with pytest.raises(ValueError, match="minimum of 2 is required by VaDEClusterer"):
        VaDEClusterer(1).fit([[1.0, 2.0, 3.0]])
