import math
import pickle
import warnings

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.stats import kstest, multivariate_normal
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine, make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from skdeep.compose import make_sampler_pipeline
from skdeep.generative import VAESampler, _vae_model, _vae_training
from skdeep.generative import _vae as module
from skdeep.generative._vae_likelihood import SharedGaussian, least_variances
from skdeep.generative._vae_training import kurtosis_of, means_over, shrunken_squares
from skdeep.nn.row_noise import noise_parts

GRID = np.linspace(-7.5, 7.5, 51)
PLANE = np.stack(np.meshgrid(GRID, GRID), axis=-1).reshape(-1, 2)
CELL = (GRID[1] - GRID[0]) ** 2


def surface(n=600, noise=0.02):
    """Rows on a curved surface of two dimensions, in ten."""
    rng = np.random.RandomState(0)
    u = rng.uniform(-1, 1, (n, 2))
    waves = np.sin(u @ rng.randn(2, 10) * 2 + rng.uniform(0, 6, 10))
    return waves + noise * rng.randn(n, 10)


def blobs(n=600, seed=0):
    """Three groups in four columns of other units."""
    X, y = make_blobs(n, n_features=4, centers=3, cluster_std=0.7, random_state=seed)
    return X * [1, 10, 0.1, 5] + [0, 100, -3, 0], y


def stripes(n=600):
    """Three parallel groups, long in one direction, of unequal size."""
    rng = np.random.RandomState(0)
    y = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    along = rng.randn(n, 1) @ [[2, 2, 1]]
    return along + y[:, None] * [2, -2, 0] + 0.2 * rng.randn(n, 3), y


def bars(n=300):
    """Binary images of one bar, across or down."""
    rng = np.random.RandomState(0)
    y = rng.randint(2, size=n)
    X = np.zeros((n, 1, 8, 8))
    for x, kind, place in zip(X[:, 0], y, rng.randint(8, size=n), strict=True):
        (x.T if kind else x)[place] = 1
    return X, y


def small(**parameters):
    """Return a cheap estimator."""
    defaults = {
        "n_components": 2,
        "hidden_layer_sizes": (32,),
        "max_iter": 5,
        "batch_size": 64,
        "learning_rate": 5e-3,
        "beta": 0.1,  # so that brief trainings have codes
        "random_state": 0,
    }
    return VAESampler(**{**defaults, **parameters})


def trained(**parameters):
    """Return one that learns something in a second."""
    defaults = {"max_iter": 100, "hidden_layer_sizes": (64, 64), "beta": 1.0}
    return small(**{**defaults, **parameters})


def auc_of_telling_apart(X, drawn):
    """Area under the curve of neighbours that tell rows from drawn ones."""
    both = StandardScaler().fit(X).transform(np.vstack([X, drawn]))
    y = np.repeat([0, 1], [len(X), len(drawn)])
    model = KNeighborsClassifier(15)
    return cross_val_score(model, both, y, cv=3, scoring="roc_auc").mean()


# what it learns


def test_samples_of_many_columns_vary_as_the_rows_do():
    rng = np.random.RandomState(0)
    X = rng.randn(600, 3) @ rng.randn(3, 200) + 0.5 * rng.randn(600, 200)
    model = VAESampler(3, hidden_layer_sizes=(64,), max_iter=40, random_state=0).fit(X)
    drawn = model.sample(2000, random_state=0)
    assert 0.95 < np.median(drawn.std(axis=0) / X.std(axis=0)) < 1.05


@pytest.mark.parametrize("make", [stripes, bars])
@pytest.mark.parametrize("conditional", [False, True])
def test_standardized_codes_are_decoded_as_before(make, conditional, monkeypatch):
    X, y = make()

    def codes_and_rows():
        sizes = (4, 8) if X.ndim == 4 else (32,)
        model = small(conditional=conditional, hidden_layer_sizes=sizes).fit(X, y)
        given = y if conditional else None
        codes = model.transform(X, given)
        return codes, model.inverse_transform(codes, given)

    codes, rebuilt = codes_and_rows()
    monkeypatch.setattr(module, "standardize_codes", lambda *_: None)
    before, rebuilt_before = codes_and_rows()
    np.testing.assert_allclose(rebuilt, rebuilt_before, atol=1e-4)
    spread = codes.std(axis=0)
    np.testing.assert_allclose(
        codes - codes.mean(axis=0),
        (before - before.mean(axis=0)) / before.std(axis=0) * spread,
        atol=1e-3,
    )
    assert np.abs(codes.mean(axis=0)).max() < 0.1
    assert spread.max() < 1.1


def test_curved_surface_is_rebuilt_from_two_numbers():
    X = surface()
    train, test = X[:500], X[500:]
    model = trained(variance="shared").fit(train)
    rebuilt = model.inverse_transform(model.transform(test))
    left = ((rebuilt - test) ** 2).mean() / ((train.mean(axis=0) - test) ** 2).mean()
    assert left < 0.2


def test_dimensions_too_many_stay_unused():
    X = surface()
    model = trained(n_components=6, variance="shared").fit(X)
    assert 2 <= (model.kl_ > 0.5).sum() <= 4
    assert (model.kl_ < 0.1).sum() >= 2
    spread = model.transform(X).std(axis=0)
    np.testing.assert_array_equal(spread > 0.3, model.kl_ > 0.5)


@pytest.mark.parametrize("variance", ["shared", "learned"])
def test_samples_of_a_mixture_are_hard_to_tell_from_its_rows(variance):
    X, _ = blobs()
    train, test = X[:400], X[400:]
    model = trained(variance=variance).fit(train)
    drawn = model.sample(len(test), random_state=0)
    assert auc_of_telling_apart(test, drawn) < 0.7
    # Rows of a Gaussian with the same moments are easy to tell.
    rng = np.random.RandomState(0)
    gaussian = rng.multivariate_normal(train.mean(0), np.cov(train.T), len(test))
    assert auc_of_telling_apart(test, gaussian) > 0.8


@pytest.mark.parametrize("make", [stripes, bars])
def test_conditional_samples_are_of_their_class(make):
    X, y = make()
    names = np.array(["red", "green", "blue"])[y]
    sizes = (8, 16) if X.ndim == 4 else (64, 64)
    model = trained(conditional=True, hidden_layer_sizes=sizes, beta=0.5, max_iter=60)
    model.fit(X, names)
    judge = KNeighborsClassifier(5).fit(X.reshape(len(X), -1), names)

    def share_of(asked, drawn):
        return (judge.predict(drawn) == asked).mean()

    for name in np.unique(names):
        assert share_of(name, model.sample(100, y=name, random_state=0)) > 0.8
    asked = np.resize(np.unique(names), 100)
    assert share_of(asked, model.sample(100, y=asked, random_state=0)) > 0.8
    # Without a class, the classes come as often as in fit.
    drawn = model.sample(1000, random_state=0)
    assert share_of("red", drawn) == pytest.approx((names == "red").mean(), abs=0.1)


@pytest.mark.slow
def test_noise_of_each_column_is_found():
    rng = np.random.RandomState(0)
    u, noise = rng.randn(2000, 1), np.array([0.5, 1.0, 1.0, 3.0])
    X = u @ [[1, 1, 3, 3]] + noise * rng.randn(2000, 4)
    for variance in ("shared", "learned"):
        model = trained(n_components=1, variance=variance, max_iter=60).fit(X)
        found = np.sqrt(model.noise_variance_) * model.scale_
        np.testing.assert_allclose(found, noise, rtol=0.25)


def test_learned_variance_is_that_of_the_row():
    rng = np.random.RandomState(0)
    group = rng.randint(2, size=600)
    deviation = np.where(group, 1.0, 0.1)[:, None]
    X = np.c_[4.0 * group + 0.1 * rng.randn(600), deviation * rng.randn(600, 2)]
    shared, learned = (
        trained(variance=variance, warm_up=0.5, max_iter=60).fit(X[:500])
        for variance in ("shared", "learned")
    )
    assert learned.score(X[500:]) > shared.score(X[500:]) + 0.3
    drawn = learned.sample(1000, random_state=0)
    wide, narrow = drawn[drawn[:, 0] > 3, 1], drawn[drawn[:, 0] < 1, 1]
    assert wide.std() > 4 * narrow.std()


def test_unusual_rows_score_lower():
    X, _ = blobs()
    model = trained().fit(X[:500])
    rng = np.random.RandomState(0)
    # Rows of which each column is usual.
    unusual = np.column_stack([rng.permutation(column) for column in X[500:].T])
    for method in ("elbo", "iwae", "ais"):
        given = {"method": method, "n_importance": 4, "n_temperatures": 20}
        scores = [model.score_samples(rows, **given) for rows in (X[500:], unusual)]
        auc = roc_auc_score(np.repeat([1, 0], 100), np.concatenate(scores))
        assert auc > 0.8, method


# a linear model, whose likelihood is known


def linear_model(scale="standard", noise=0.3):
    """Return a fitted sampler with weights set by hand, and the density it then has."""
    rng = np.random.RandomState(0)
    X = rng.randn(50, 4) * [1, 2, 5, 0.5] + [3, -1, 10, 0]
    model = small(hidden_layer_sizes=(), variance=noise**2, max_iter=1, scale=scale)
    model.fit(X)
    W = np.linalg.qr(rng.randn(4, 2))[0] * [1.0, 0.6]
    b = 0.1 * rng.randn(4)
    # The posterior has the precision 1 + W'W / s^2, diagonal for such W.
    precision = 1 + (W**2).sum(axis=0) / noise**2
    gain = W.T / noise**2 / precision[:, None]
    decoder, encoder = model.decoder_.layers[0], model.encoder_.layers[0]
    with torch.no_grad():
        decoder.weight.copy_(torch.from_numpy(W))
        decoder.bias.copy_(torch.from_numpy(b))
        encoder.weight.copy_(torch.from_numpy(np.vstack([gain, 0 * gain])))
        bias = np.concatenate([-gain @ b, -np.log(precision)])
        encoder.bias.copy_(torch.from_numpy(bias))
    covariance = W @ W.T + noise**2 * np.eye(4)
    stretch = np.diag(model.scale_)
    mean = model.offset_ + model.scale_ * b
    return model, multivariate_normal(mean, stretch @ covariance @ stretch)


@pytest.mark.parametrize("scale", [None, "standard", "minmax"])
def test_scores_at_the_true_posterior_are_the_log_likelihood_in_input_units(scale):
    model, density = linear_model(scale)
    X = density.rvs(200, random_state=0).astype(np.float32)
    expected = density.logpdf(X)
    for method, tolerance in [("elbo", 0.3), ("iwae", 2e-3), ("ais", 2e-3)]:
        given = {"n_importance": 200, "n_temperatures": 3}
        found = model.score_samples(X, method=method, **given)
        np.testing.assert_allclose(found, expected, atol=tolerance, rtol=1e-4)
        assert found.dtype == np.float32
    assert model.score(X) == pytest.approx(expected.mean(), abs=0.05)


def test_scores_at_a_wrong_posterior_are_ordered():
    model, density = linear_model()
    with torch.no_grad():
        model.encoder_.layers[0].bias += torch.tensor([0.4, -0.4, 1.0, 1.0])
    X = density.rvs(100, random_state=0)
    truth = density.logpdf(X).mean()
    elbo, few, many, annealed = (
        model.score_samples(X, method=method, n_importance=n).mean(dtype=float)
        for method, n in [("elbo", 200), ("iwae", 4), ("iwae", 2000), ("ais", 8)]
    )
    assert elbo < few - 0.2
    assert few < many - 0.02
    assert many == pytest.approx(truth, abs=0.02)
    assert annealed == pytest.approx(truth, abs=0.05)


def test_errors_of_annealed_estimates_say_how_far_they_are_off():
    model, density = linear_model()
    with torch.no_grad():
        model.encoder_.layers[0].bias += torch.tensor([0.4, -0.4, 1.0, 1.0])
    X = density.rvs(150, random_state=0)
    given = {"method": "ais", "n_importance": 16, "n_temperatures": 8}
    found, std = model.score_samples(X, **given, return_std=True)
    np.testing.assert_array_equal(found, model.score_samples(X, **given))
    assert std.shape == (150,)
    assert std.dtype == np.float32
    off = (found - density.logpdf(X)) / std
    assert 0.5 < np.mean(off**2) < 2.5
    shuffled = make_sampler_pipeline(StandardScaler(), FrozenEstimator(model)).fit(X)
    same = model.score_samples(shuffled[0].transform(X), **given, return_std=True)
    log_density, again = shuffled.score_samples(X, **given, return_std=True)
    np.testing.assert_array_equal(again, same[1])
    np.testing.assert_array_equal(log_density, shuffled.score_samples(X, **given))


def test_samples_of_the_linear_model_have_its_moments():
    model, density = linear_model()
    drawn = model.sample(20_000, random_state=0)
    np.testing.assert_allclose(drawn.mean(0), density.mean, atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.T), density.cov, rtol=0.1, atol=0.1)


def test_codes_of_the_linear_model_are_the_means_of_its_posterior():
    model, density = linear_model(scale=None, noise=0.01)
    X = density.rvs(20, random_state=0)
    rebuilt = model.inverse_transform(model.transform(X))
    np.testing.assert_allclose(rebuilt, X, atol=0.1)


# densities


@pytest.mark.parametrize("variance", ["shared", "learned", 0.3])
def test_density_of_the_plane_sums_to_one(variance):
    rng = np.random.RandomState(0)
    X = rng.randn(300, 1) @ [[1.0, -0.5]] + 0.7 * rng.randn(300, 2)
    model = small(n_components=1, variance=variance).fit(X)
    found = model.score_samples(PLANE, method="iwae", n_importance=200)
    assert np.exp(found).sum() * CELL == pytest.approx(1, abs=0.05)


def test_density_given_classes_sums_to_one_and_so_does_the_mixture():
    rng = np.random.RandomState(0)
    y = np.repeat([0, 1, 1], 100)
    X = np.c_[3.0 * y, -2.0 * y] + 0.5 * rng.randn(300, 2) + rng.randn(300, 1)
    model = small(n_components=1, conditional=True, variance=0.3).fit(X, y)
    np.testing.assert_allclose(np.exp(model.class_log_prior_), [1 / 3, 2 / 3])
    given = {"method": "iwae", "n_importance": 200}
    parts = [np.exp(model.score_samples(PLANE, label, **given)) for label in (0, 1)]
    for part in parts:
        assert part.sum() * CELL == pytest.approx(1, abs=0.05)
    mixture = np.exp(model.score_samples(PLANE, **given))
    expected = parts[0] / 3 + 2 * parts[1] / 3
    np.testing.assert_allclose(mixture, expected, rtol=1e-3, atol=1e-6)


def test_probabilities_of_all_binary_rows_sum_to_one():
    every = (np.arange(64)[:, None] >> np.arange(6)) & 1
    rng = np.random.RandomState(0)
    X = every[rng.choice(64, 500, p=rng.dirichlet(0.2 * np.ones(64)))]
    model = trained(likelihood="bernoulli", max_iter=40).fit(X)
    found = model.score_samples(every, method="iwae", n_importance=2000)
    assert np.exp(found).sum() == pytest.approx(1, abs=0.03)
    frequent = np.exp(model.score_samples(X, method="iwae")).mean()
    assert frequent > 2 / 64


def test_probabilities_do_not_depend_on_how_ones_are_written():
    X = bars()[0].reshape(300, -1)
    model = small(likelihood="bernoulli")
    expected = clone(model).fit(X).score_samples(X)
    found = clone(model).fit(255 * X.astype(np.uint8)).score_samples(255 * X)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("method", ["elbo", "iwae", "ais"])
def test_rows_beyond_the_range_have_no_probability(method):
    X = bars(60)[0].reshape(60, -1)
    model = small(likelihood="bernoulli", max_iter=2).fit(X)
    rows = np.concatenate([X[:2], 5 * X[:2]])
    found = model.score_samples(rows, method=method, n_importance=2, n_temperatures=2)
    assert np.isfinite(found[:2]).all()
    assert np.isneginf(found[2:]).all()
    if method == "ais":
        given = {"method": method, "n_importance": 2, "n_temperatures": 2}
        _, std = model.score_samples(rows, **given, return_std=True)
        np.testing.assert_array_equal(np.isnan(std), np.isneginf(found))


def test_the_least_variance_is_a_small_part_of_that_of_the_column():
    least = torch.from_numpy(least_variances(np.array([1.0, 0.5, 1e-6, 0.0])))
    noise = SharedGaussian(torch.tensor([1.0, 1.0, 1.0, 0.0]), least=least)
    noise.follow(torch.tensor([0.0, 3.0, 0.0, 0.0]))
    np.testing.assert_allclose(noise.variance, [1e-4, 3.0, 1e-8, 0.0])


def test_columns_narrower_than_a_learned_variance_are_warned_of():
    X = 1e-3 * np.random.RandomState(0).randn(20, 2)
    with pytest.warns(UserWarning, match=r"too wide\. Use another scale"):
        small(scale=None, variance="learned", max_iter=1).fit(X)


@pytest.mark.parametrize("parameters", [{}, {"variance": "learned"}])
def test_units_move_the_density_and_nothing_else(parameters):
    X, _ = blobs(200)
    units = np.array([10.0, 1.0, 100.0, 0.5])
    model = small(**parameters).fit(X)
    other = small(**parameters).fit(X * units)
    expected = model.score_samples(X) - np.log(units).sum()
    np.testing.assert_allclose(other.score_samples(X * units), expected, atol=1e-2)
    np.testing.assert_allclose(
        other.transform(X * units), model.transform(X), atol=1e-3
    )


@pytest.mark.parametrize("scale", ["auto", "standard", None])
@pytest.mark.parametrize("variance", ["shared", "learned", 0.5])
def test_columns_that_do_not_vary_have_no_density_and_are_drawn_as_they_were(
    scale, variance
):
    rng = np.random.RandomState(0)
    X = rng.randn(200, 40)  # so many that "auto" scales all alike
    wider = np.insert(X, [0, 20], [7.5, -2.0], axis=1)
    model = small(scale=scale, variance=variance).fit(wider)
    for rows in (
        model.sample(20, random_state=0),
        model.inverse_transform(model.transform(wider[:20])),
    ):
        np.testing.assert_allclose(rows[:, [0, 21]], [[7.5, -2.0]] * 20, rtol=1e-6)
    assert (model.noise_variance_[[0, 21]] == 0).all()
    assert (np.delete(model.noise_variance_, [0, 21]) > 0).all()
    # In units in which the density of one column would fall by log 100.
    stretched = wider * np.where(np.arange(42) == 0, 100, 1)
    if scale == "standard":
        other = small(scale=scale, variance=variance).fit(stretched)
        np.testing.assert_allclose(
            other.score_samples(stretched), model.score_samples(wider), rtol=1e-4
        )
    moved = wider + np.where(np.arange(42) == 0, 1000, 0)
    for method in (model.score_samples, model.transform):
        np.testing.assert_array_equal(method(moved), method(wider))


def test_score_of_a_row_depends_on_no_other():
    X, _ = blobs(1200)
    model = small().fit(X)
    for method in ("elbo", "iwae"):
        found = model.score_samples(X, method=method)
        alone = np.concatenate(
            [model.score_samples(X[i : i + 1], method=method) for i in range(20)]
        )
        np.testing.assert_allclose(alone, found[:20], rtol=1e-4)
        np.testing.assert_allclose(
            model.score_samples(X[::-1], method=method)[::-1], found, rtol=1e-4
        )


def test_one_code_makes_the_weighted_bound_a_draw_of_the_other():
    X, _ = blobs(100)
    model = small().fit(X)
    many = [
        model.score_samples(X, method="iwae", n_importance=1, random_state=s)
        for s in range(300)
    ]
    expected = model.score_samples(X, n_importance=300).mean()
    assert np.mean(many) == pytest.approx(expected, abs=0.1)


def test_scores_repeat_with_a_seed_and_without_draw_from_numpys():
    X, _ = blobs(100)
    model = small().fit(X)
    for method in ("elbo", "iwae", "ais"):
        given = {"method": method, "n_importance": 4, "n_temperatures": 5}
        first, again = (model.score_samples(X, **given) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        other = model.score_samples(X, random_state=1, **given)
        assert not np.array_equal(first, other)
        drawn = [model.score_samples(X, random_state=None, **given) for _ in range(2)]
        assert not np.array_equal(*drawn)


@pytest.mark.parametrize("method", ["elbo", "iwae"])
def test_codes_in_parts_score_as_all_at_once(method, monkeypatch):
    X, _ = blobs(50)
    model = small().fit(X)
    given = {"method": method, "n_importance": 11}
    whole = model.score_samples(X, **given)
    monkeypatch.setattr(_vae_model, "NUMBERS", 50 * 4 * 3)  # three codes at once
    np.testing.assert_allclose(model.score_samples(X, **given), whole, rtol=1e-5)


def test_annealed_score_in_parts_covers_all_rows(monkeypatch):
    X, y = stripes(50)
    model = small(conditional=True, beta=1.0).fit(X, y)
    given = {"method": "ais", "n_importance": 4, "n_temperatures": 20}
    whole = model.score_samples(X, y, **given)
    monkeypatch.setattr(_vae_model, "NUMBERS", 7 * 4 * 3)  # seven rows at once
    found = model.score_samples(X, y, **given)
    assert found.shape == (50,)
    assert found.mean() == pytest.approx(whole.mean(), abs=0.3)


def drawn_noise(x, n_codes=300, n_components=5, seed=0, size=64):
    return torch.cat(list(noise_parts(x, n_codes, n_components, seed, size)))


def test_noise_of_rows_is_standard_normal_and_independent(device):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(40, 10, generator=rng).to(device)
    noise = drawn_noise(x)
    assert noise.shape == (300, 40, 5)
    assert kstest(noise.flatten().double().cpu().numpy(), "norm").pvalue > 0.01
    other = drawn_noise(x, seed=1)
    moved = x.clone()
    moved[:, 0] += 1 / 128
    for axes in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):  # codes, rows, components
        parts = torch.cat([n.permute(axes).flatten(1) for n in (noise, other)])
        correlation = parts.cpu().double().corrcoef().fill_diagonal_(0)
        assert correlation.abs().max() < 5 / math.sqrt(parts.shape[1])
    for changed in (moved, x.flip(1)):
        pairs = torch.stack([noise.flatten(), drawn_noise(changed).flatten()])
        assert pairs.corrcoef()[0, 1].abs() < 0.02


def test_noise_of_a_row_depends_on_its_content_alone():
    x = torch.randn(40, 10, generator=torch.Generator().manual_seed(0))
    noise = drawn_noise(x)
    assert torch.equal(drawn_noise(x[7:9]), noise[:, 7:9])
    assert torch.equal(drawn_noise(x.flip(0)), noise.flip(1))
    assert torch.equal(drawn_noise(x, size=7), noise)
    assert torch.equal(drawn_noise(x * (1 + 1e-7)), noise)


def test_noise_of_extreme_rows_is_finite():
    x = torch.tensor([[0.0, 0.0], [1e30, -1e30], [-0.0, 1e-30]])
    for seed in (0, 2**31 - 2):
        noise = drawn_noise(x, n_codes=20_000, seed=seed)
        assert torch.isfinite(noise).all()


# training


def test_means_over_parts_are_those_over_all_rows(monkeypatch):
    monkeypatch.setattr(_vae_training, "CHUNK_ROWS", 4)
    x = torch.arange(20.0).reshape(10, 2)
    found = means_over(torch.arange(10), lambda i: (x[i].mean(), x[i].square().mean(0)))
    torch.testing.assert_close(found, [x.mean(), x.square().mean(0)])


def test_loss_is_its_parts():
    X, _ = blobs()
    history = small(beta=0.5).fit(X).history_
    assert list(history) == ["loss", "reconstruction_loss", "kl", "validation_loss"]
    expected = np.add(history["reconstruction_loss"], np.multiply(0.5, history["kl"]))
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)
    assert history["loss"][-1] < history["loss"][0]


def test_larger_beta_leaves_less_in_the_code():
    X = surface(400)
    kl = [
        trained(beta=beta, variance=0.05, max_iter=30).fit(X).kl_.sum()
        for beta in (0.1, 1, 10)
    ]
    assert kl[0] > kl[1] + 0.5
    assert kl[1] > kl[2] + 0.5


def test_weight_of_the_divergence_rises_over_the_warm_up(monkeypatch):
    weights = []
    original = module.VariationalModel.loss_terms

    def spy(self, *arguments):
        reconstruction, kl = original(self, *arguments)
        kl.register_hook(lambda gradient: weights.append(float(gradient)))
        return reconstruction, kl

    monkeypatch.setattr(module.VariationalModel, "loss_terms", spy)
    X, _ = blobs(256)
    given = {"beta": 2.0, "max_iter": 10, "early_stopping": False}
    small(warm_up=0.5, **given).fit(X)  # 40 steps
    np.testing.assert_allclose(weights[:20], np.arange(1, 21) / 10, rtol=1e-5)
    np.testing.assert_allclose(weights[20:], 2, rtol=1e-5)
    del weights[:]
    small(warm_up=0.0, **given).fit(X)
    np.testing.assert_allclose(weights, 2, rtol=1e-5)
    # By default it is a quarter, but none for images and few rows.
    for rows, n_rising in ((X, 10), (X[:100], 0), (X.reshape(256, 1, 2, 2), 0)):
        del weights[:]
        small(**given).fit(rows)
        assert sum(weight < 1.999 for weight in weights) == max(n_rising - 1, 0)


def test_early_stopping_keeps_the_weights_that_were_best_on_rows_held_out():
    rng = np.random.RandomState(0)
    X = rng.randn(80, 8)  # nothing to learn but by heart
    model = trained(beta=0.01, max_iter=200, n_iter_no_change=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        stopped = clone(model).fit(X)
        whole = clone(model).set_params(early_stopping=False).fit(X)
    assert stopped.n_iter_ < 200
    losses = stopped.history_["validation_loss"]
    assert len(losses) - 1 - np.argmin(losses) <= 5
    test = rng.randn(500, 8)
    assert stopped.score(test) > whole.score(test) + 5
    assert "validation_loss" not in whole.history_


def test_shared_variance_does_not_shrink_with_what_is_learned_by_heart():
    X = np.random.RandomState(0).randn(60, 20)
    model = trained(n_components=8, beta=0.01, variance="shared")
    kept = clone(model).fit(X)
    by_heart = clone(model).set_params(early_stopping=False).fit(X)
    assert kept.noise_variance_.mean() > 2 * by_heart.noise_variance_.mean()


@pytest.mark.parametrize("n", [10, 30, 50])
def test_noise_of_few_rows_is_not_that_of_the_fewer_held_out(n):
    X = np.random.RandomState(n).normal(size=(n, 5))
    unseen = np.random.RandomState(0).normal(size=(300, 5))
    scores = [VAESampler(2, random_state=s).fit(X).score(unseen) for s in range(2)]
    assert min(scores) > -8  # the truth is -7.1


def test_squares_of_few_rows_are_shrunk_to_those_of_training_rows():
    held_out, training = torch.tensor([4.0, 2.0]), torch.tensor([1.0, 2.0])
    np.testing.assert_allclose(shrunken_squares(held_out, training, 50), [3, 3])
    np.testing.assert_allclose(shrunken_squares(held_out, training, 0), [2, 4])
    np.testing.assert_allclose(
        shrunken_squares(held_out, training, 10**6), held_out, rtol=1e-3
    )
    # Rows held out are not learned better than others: they were lucky.
    np.testing.assert_allclose(shrunken_squares(training / 9, training, 0), training)


def test_squares_of_rare_values_are_not_believed_to_be_as_small_as_without_them():
    held_out, training = torch.tensor([1.0, 1.0, 9.0]), torch.tensor([3.0, 3.0, 3.0])
    kurtosis = torch.tensor([3.0, 199.0, 199.0])
    found = shrunken_squares(held_out, training, 50, 1e-4, kurtosis)
    # Of the second, 50 * 99 rows would tell as much; the third has rare values, seen.
    r = 11 / 9
    expected = [(1 + 3 * r) / 2, (1 + 99 * 3 * r) / 100, (9 + 3 * r) / 2]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_kurtosis_is_that_of_columns():
    X = np.random.RandomState(0).randn(4000, 3) * [1, 5, 0] + [0, 100, 7]
    X[:, 0] = np.arange(4000) < 40
    found = kurtosis_of(torch.from_numpy(X))
    np.testing.assert_allclose(found, [98.01**2 / 99 + 0.01**2 / 0.99, 3, 0], rtol=0.1)


def test_noise_of_rare_indicators_is_not_that_of_rows_that_have_none():
    def table(seed):
        rng = np.random.RandomState(seed)
        measured = rng.randn(800, 1) + 0.3 * rng.randn(800, 3)
        return np.hstack([measured, rng.rand(800, 30) < 0.004])

    X = table(0)
    model = small(n_components=1, variance="shared", max_iter=20).fit(X)
    variance, spread = model.noise_variance_ * model.scale_**2, X.var(0)
    assert (variance > 0.8 * spread)[3:].all()
    assert model.score(table(1)) > 27


def test_fixed_variance_stays():
    X, _ = blobs()
    model = small(variance=0.25).fit(X)
    np.testing.assert_array_equal(model.noise_variance_, np.float32([0.25] * 4))


def test_images_have_one_variance():
    X, _ = bars()
    model = small(variance="shared").fit(X)
    assert len(np.unique(model.noise_variance_)) == 1
    table = small(variance="shared").fit(X.reshape(300, -1))
    assert len(np.unique(table.noise_variance_)) > 30


def test_collapsed_codes_warn():
    X = np.random.RandomState(0).randn(300, 4)
    with pytest.warns(ConvergenceWarning, match=r"collapsed[\s\S]*early_stopping"):
        model = small(beta=20.0, max_iter=40).fit(X)
    assert model.kl_.max() < 0.01


# samples


def test_samples_repeat_with_a_seed_and_differ_without():
    X, _ = blobs(200)
    model = small().fit(X)
    first, again = (model.sample(10, random_state=1) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (10, 4)
    assert first.dtype == np.float32
    assert not np.array_equal(model.sample(10), model.sample(10))


def test_noise_is_that_of_the_likelihood():
    X, _ = blobs(300)
    model = trained(variance=0.25, sample_noise=True).fit(X)
    noisy = model.sample(4000, random_state=0)
    means = model.set_params(sample_noise=False).sample(4000, random_state=0)
    noise = (noisy - means) / model.scale_
    np.testing.assert_allclose(noise.std(axis=0), 0.5, rtol=0.05)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.05)


def grey(n=300):
    """Flat images of grey bars."""
    return bars(n)[0].reshape(n, -1) * np.random.RandomState(0).rand(n, 1)


@pytest.mark.parametrize(
    ("X", "likelihood", "expected"),
    [
        (bars()[0].reshape(300, -1), "gaussian", True),
        (bars()[0].reshape(300, -1), "bernoulli", True),
        (3 * bars()[0].reshape(300, -1) - 1, "bernoulli", True),
        (grey(), "gaussian", True),
        (grey(), "bernoulli", False),
        (bars()[0], "gaussian", False),
        (bars()[0], "bernoulli", False),
    ],
    ids=lambda given: None if isinstance(given, np.ndarray) else str(given),
)
def test_noise_is_left_out_where_means_are_shown(X, likelihood, expected):
    model = small(likelihood=likelihood, max_iter=2, hidden_layer_sizes=(8,)).fit(X)
    assert model.sample_noise_ is expected
    drawn = model.sample(20, random_state=0)
    for noisy in (True, False):
        model.set_params(sample_noise=noisy)
        same = np.array_equal(drawn, model.sample(20, random_state=0))
        assert same == (noisy == expected)


def test_binary_samples_are_binary_and_their_means_lie_between():
    X = bars()[0].reshape(300, -1)
    model = small(likelihood="bernoulli").fit(3 * X + 1)
    assert set(np.unique(model.sample(50, random_state=0))) == {1, 4}
    means = model.set_params(sample_noise=False).sample(50, random_state=0)
    assert 1 < means.min() < means.max() < 4
    assert model.noise_variance_ is None


def test_binary_rows_are_drawn_anew_at_each_step(monkeypatch):
    seen = []
    original = module.VariationalModel.loss_terms

    def spy(self, x, *others):
        seen.append(x.clone())
        return original(self, x, *others)

    monkeypatch.setattr(module.VariationalModel, "loss_terms", spy)
    X = grey(64) * 200
    model = small(likelihood="bernoulli", binarize=True, max_iter=300, beta=1.0)
    model.set_params(early_stopping=False, hidden_layer_sizes=(8,)).fit(X)
    draws = torch.stack(seen)
    assert set(draws.unique().tolist()) == {0, 1}
    assert not torch.equal(draws[0].sum(0), draws[1].sum(0))
    mean = (X / X.max()).mean(axis=0)  # over the rows, which are shuffled
    np.testing.assert_allclose(draws.mean((0, 1)).numpy(), mean, atol=0.02)
    assert model.sample_noise_
    with pytest.raises(ValueError, match="binarize=True needs likelihood='bernoulli'"):
        small(binarize=True).fit(X)


# images


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"variance": "learned"},
        {"variance": 0.1},
        {"likelihood": "bernoulli"},
        {"conditional": True},
        {"conditional": True, "likelihood": "bernoulli"},
    ],
    ids=str,
)
def test_images_are_coded_by_convolutions_and_drawn(parameters):
    X, y = bars(100)
    X = np.concatenate([X, 1 - X], axis=1)  # two channels
    model = small(hidden_layer_sizes=(4, 8), max_iter=2, **parameters).fit(X, y)
    given = (y,) if model.conditional else ()
    assert model.image_shape_ == (2, 8, 8)
    codes = model.transform(X, *given)
    assert codes.shape == (100, 2)
    assert model.inverse_transform(codes, *given).shape == (100, 128)
    assert model.sample(3, random_state=0).shape == (3, 128)
    for method in ("elbo", "iwae", "ais"):
        brief = {"method": method, "n_importance": 2, "n_temperatures": 2}
        assert np.isfinite(model.score_samples(X, *given, **brief)).all()


@pytest.mark.slow
def test_convolutions_rebuild_planted_images():
    X, _ = bars(400)
    sizes = {"n_components": 4, "hidden_layer_sizes": (8, 16)}
    model = small(likelihood="bernoulli", max_iter=60, batch_size=16, **sizes)
    model.fit(X[:300])
    test = X[300:].reshape(100, -1)
    rebuilt = model.inverse_transform(model.transform(X[300:]))
    left = ((rebuilt - test) ** 2).mean() / ((X[:300].mean() - test) ** 2).mean()
    assert left < 0.2


def test_images_may_come_flat_or_sparse():
    X = bars(60)[0].astype(np.float32)
    flat = X.reshape(60, -1)
    expected = small().fit(X).transform(X)
    model = small(image_shape=(1, 8, 8))
    np.testing.assert_array_equal(clone(model).fit(flat).transform(flat), expected)
    rows = sparse.csr_matrix(flat)
    found = clone(model).fit(rows).transform(rows)
    np.testing.assert_allclose(found, expected, atol=1e-2)


# shapes of the data


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n", [1, 2, 9])
@pytest.mark.parametrize("early_stopping", [True, False])
def test_few_rows_fit(n, early_stopping):
    X, _ = blobs(20)
    model = small(batch_size=4, early_stopping=early_stopping).fit(X[:n])
    assert np.isfinite(model.transform(X)).all()
    assert np.isfinite(model.sample(5, random_state=0)).all()
    assert np.isfinite(model.score_samples(X[:n])).all()


def test_one_column_fits():
    X = np.random.RandomState(0).gamma(2, size=(500, 1))
    model = trained(n_components=1).fit(X)
    drawn = model.sample(2000, random_state=0)
    assert drawn.mean() == pytest.approx(X.mean(), rel=0.1)
    assert drawn.std() == pytest.approx(X.std(), rel=0.15)


def test_rows_far_from_all_others_keep_scores_finite():
    X, _ = blobs(100)
    model = small().fit(X)
    for method in ("elbo", "iwae", "ais"):
        given = {"method": method, "n_importance": 3, "n_temperatures": 3}
        found = model.score_samples(1e6 * X, **given)
        assert np.isfinite(found).all()
        assert found.max() < model.score_samples(X, **given).min()


def test_transform_does_not_depend_on_the_batch():
    X, _ = blobs(1100)
    model = small(max_iter=1).fit(X)
    Z = model.transform(X)
    alone = np.vstack([model.transform(X[i : i + 1]) for i in range(20)])
    np.testing.assert_allclose(alone, Z[:20], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(model.transform(X[:1024]), Z[:1024])


# in scikit-learn's company


def test_fit_transform_is_fit_and_transform():
    X, y = blobs(100)
    expected = small().fit(X).transform(X)
    np.testing.assert_array_equal(small().fit_transform(X), expected)
    expected = small(conditional=True).fit(X, y).transform(X, y)
    found = small(conditional=True).fit_transform(X, y)
    np.testing.assert_array_equal(found, expected)
    assert small().fit(X).get_feature_names_out().tolist() == [
        "vaesampler0",
        "vaesampler1",
    ]


@pytest.mark.slow
def test_bounds_choose_in_a_search():
    X = surface(400)
    search = GridSearchCV(
        trained(max_iter=30),
        {"n_components": [1, 2]},
        cv=2,
        error_score="raise",
    ).fit(X)
    assert search.best_params_ == {"n_components": 2}


def test_classes_survive_files():
    X, y = blobs(100)
    model = small(conditional=True).fit(X, np.array(["a", "b", "c"])[y])
    copied = pickle.loads(pickle.dumps(model))
    drawn = [m.sample(5, y="b", random_state=0) for m in (model, copied)]
    np.testing.assert_array_equal(*drawn)


def test_refit_without_classes_forgets_them():
    X, y = blobs(100)
    model = small(conditional=True).fit(X, y)
    model.set_params(conditional=False).fit(X)
    assert not hasattr(model, "classes_")
    assert model.sample(3, random_state=0).shape == (3, 4)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("n_components", 0),
        ("likelihood", "poisson"),
        ("variance", 0.0),
        ("variance", "common"),
        ("beta", -1),
        ("warm_up", 1.5),
        ("sample_noise", "never"),
        ("validation_fraction", 1.0),
        ("n_iter_no_change", 0),
        ("max_iter", 0),
        ("hidden_layer_sizes", (0,)),
    ],
)
def test_absurd_parameters_are_refused_by_name(parameter, value):
    with pytest.raises(ValueError, match=f"The '{parameter}' parameter of"):
        small(**{parameter: value}).fit(blobs(20)[0])


def test_absurd_arguments_are_refused_by_name():
    X, y = blobs(50)
    model = small().fit(X)
    with pytest.raises(ValueError, match="The 'method' parameter of score_samples"):
        model.score_samples(X, method="exact")
    with pytest.raises(ValueError, match="n_importance == 0, must be >= 1"):
        model.score_samples(X, n_importance=0)
    with pytest.raises(ValueError, match="n_importance == 1, must be >= 2"):
        model.score_samples(X, method="ais", n_importance=1)
    with pytest.raises(ValueError, match="n_temperatures == 0, must be >= 1"):
        model.score_samples(X, method="ais", n_temperatures=0)
    with pytest.raises(ValueError, match="return_std=True gives errors of method='ais"):
        model.score_samples(X, method="iwae", return_std=True)
    with pytest.raises(ValueError, match="knows no classes"):
        model.sample(3, y=1)
    with pytest.raises(ValueError, match="have 2 components"):
        model.inverse_transform(X)
    with pytest.raises(ValueError, match="needs values in"):
        small(likelihood="bernoulli", scale="standard").fit(X)
    conditional = small(conditional=True).fit(X, y)
    with pytest.raises(ValueError, match="of rows whose class y says"):
        conditional.score_samples(X, method="ais", return_std=True)
    for call in (
        conditional.transform,
        lambda X: conditional.inverse_transform(X[:, :2]),
    ):
        with pytest.raises(ValueError, match="conditional=True: pass the class"):
            call(X)


# defaults


@pytest.mark.slow
@pytest.mark.parametrize("load", [load_wine, load_breast_cancer, load_diabetes])
def test_defaults_beat_a_gaussian_on_tables_without_collapse(load):
    X = load().data
    order = np.random.RandomState(0).permutation(len(X))
    train, test = np.split(X[order], [len(X) * 4 // 5])
    scaler = StandardScaler().fit(train)
    model = VAESampler(random_state=0).fit(train)
    diagonal = GaussianMixture(covariance_type="diag").fit(scaler.transform(train))
    rival = diagonal.score(scaler.transform(test)) - np.log(scaler.scale_).sum()
    assert model.score(test) > rival
    assert model.kl_.max() > 0.1
