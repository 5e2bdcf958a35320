import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from scipy.stats import multivariate_normal
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine, make_moons
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, train_test_split

from skdeep.compose import TabularEncoder, make_sampler_pipeline
from skdeep.generative import FlowSampler
from skdeep.generative._flow import become_gaussian
from skdeep.generative._gaussian import fitted_gaussian, shrunken_means


def small(**parameters):
    settings = {"n_couplings": 3, "hidden_layer_sizes": (32,), "max_iter": 60}
    return FlowSampler(random_state=0, **{**settings, **parameters})


@pytest.fixture(scope="module")
def moons():
    return make_moons(1000, noise=0.08, random_state=0)


@pytest.fixture(scope="module")
def fitted(moons):
    return small(batch_size=128, max_iter=30).fit(moons[0])


def gaussian_score(X, held_out):
    """Mean log-density by one Gaussian of full covariance, whatever the units."""
    center, spread = X.mean(0), X.std(0)
    gaussian = GaussianMixture(1, reg_covar=1e-6).fit((X - center) / spread)
    return gaussian.score((held_out - center) / spread) - np.log(spread).sum()


def test_flow_finds_two_moons(fitted, moons):
    held_out, _ = make_moons(500, noise=0.08, random_state=1)
    assert fitted.score(held_out) > gaussian_score(moons[0], held_out) + 0.5
    axis = np.linspace(-3, 4, 250)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    total = np.exp(fitted.score_samples(grid)).sum() * (axis[1] - axis[0]) ** 2
    assert total == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("scale", ["standard", "minmax", "auto", None])
def test_density_is_in_units_of_the_input_whatever_the_scaling(scale):
    rng = np.random.RandomState(0)
    root = np.array([[3.0, 0.0], [40.0, 20.0]])
    X = rng.randn(2000, 2) @ root.T + [5, -70]
    flow = small(scale=scale, max_iter=5).fit(X)
    expected = multivariate_normal([5, -70], root @ root.T).logpdf(X)
    assert flow.score(X) == pytest.approx(expected.mean(), abs=0.1)


@pytest.mark.parametrize(
    "load",
    [
        load_wine,
        pytest.param(load_breast_cancer, marks=pytest.mark.slow),
        pytest.param(load_diabetes, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_default_is_not_below_one_gaussian_on_small_tables(load, seed):
    X = load().data
    X, held_out = train_test_split(X, test_size=0.3, random_state=seed)
    flow = FlowSampler(random_state=seed).fit(X)
    assert flow.score(held_out) > gaussian_score(X, held_out) - 0.05


@pytest.mark.parametrize("coupling", ["affine", "additive"])
def test_other_couplings_stay_finite_on_small_tables(coupling):
    X, held_out = train_test_split(load_wine().data, test_size=0.3, random_state=0)
    flow = FlowSampler(coupling, max_iter=100, random_state=0).fit(X)
    assert flow.score(held_out) > gaussian_score(X, held_out) - 0.05


def test_the_gaussian_has_not_seen_the_rows_that_judge_it(monkeypatch):
    seen = []

    def watched(flow, rows, index, *others):
        seen.append(index)
        become_gaussian(flow, rows, index, *others)

    monkeypatch.setattr("skdeep.generative._flow.become_gaussian", watched)
    X = np.random.RandomState(0).randn(200, 3)
    flow = small(max_iter=5).fit(X)
    # No flow is better than the Gaussian here: it is given back, and that of all rows.
    assert [len(index.unique()) for index in seen] == [180, 200]
    mean = np.repeat(X.mean(0)[np.newaxis], 2, axis=0)
    np.testing.assert_allclose(flow.inverse_transform([[0] * 3] * 2), mean, atol=1e-5)


def test_few_rows_of_classes_become_a_gaussian_a_class():
    y = np.arange(150) % 2
    X = np.random.RandomState(0).randn(150, 3) + y[:, None]
    flow = FlowSampler(conditional=True, max_iter=5, random_state=0).fit(X, y)
    within = np.concatenate([X[y == c] - X[y == c].mean(0) for c in range(2)])
    for c, n_rows in enumerate(np.bincount(y)):
        # Between the classes the variance is about a half of that inside.
        mean = X.mean(0) + n_rows / (n_rows + 2) * (X[y == c].mean(0) - X.mean(0))
        found = flow.inverse_transform(np.zeros((1, 3)), y=c)
        np.testing.assert_allclose(found[0], mean, atol=0.01)
        peak = flow.score_samples([mean], y=c)
        gaussian = multivariate_normal(np.zeros(3), np.cov(within.T, ddof=0))
        assert peak == pytest.approx(gaussian.logpdf(np.zeros(3)), abs=0.05)
    assert flow.score(X, y) > flow.score(X, 1 - y) + 0.5


def test_a_rare_class_far_from_all_others_is_drawn_where_it_lies():
    rng = np.random.RandomState(0)
    X = np.concatenate([rng.randn(300, 2), rng.randn(5, 2) + 50])
    y = np.repeat([0, 1], [300, 5])
    flow = small(conditional=True, max_iter=2).fit(X, y)
    drawn = flow.sample(500, y=1, random_state=0)
    np.testing.assert_allclose(drawn.mean(0), X[y == 1].mean(0), atol=0.5)


def test_means_of_classes_are_drawn_together_as_far_as_they_do_not_differ():
    rng = np.random.RandomState(0)
    n_rows, scatter = 20, 3.0
    centers = rng.randn(500, 1)
    X = centers[:, None] + scatter * rng.randn(500, n_rows, 1)
    means, counts = X.mean(1), np.full((500, 1), n_rows)
    squares = np.square(X - means[:, None]).sum((0, 1))
    given = (torch.from_numpy(part) for part in (means, counts, squares))
    share = n_rows / (n_rows + scatter**2)
    expected = means.mean(0) + share * (means - means.mean(0))
    np.testing.assert_allclose(shrunken_means(*given), expected, atol=0.15)


def test_classes_of_a_row_each_have_one_mean():
    given = torch.tensor([[0.0], [2.0], [7.0]]), torch.ones(3, 1), torch.zeros(1)
    assert shrunken_means(*given).tolist() == [[3.0]] * 3
    given = torch.tensor([[2.0], [0.0]]), torch.tensor([[4.0], [0.0]]), torch.ones(1)
    assert shrunken_means(*given).tolist() == [[2.0]] * 2


def test_without_early_stopping_no_rows_are_held_out(moons):
    flow = small(early_stopping=False, max_iter=2).fit(moons[0])
    assert set(flow.history_) == {"loss"}
    assert flow.n_iter_ == 2


def test_the_base_of_the_rows_is_normal_and_leads_back(fitted, moons):
    X, _ = moons
    Z = fitted.transform(X)
    assert np.abs(Z.mean(0)).max() < 0.2
    assert np.abs(Z.std(0) - 1).max() < 0.2
    np.testing.assert_allclose(fitted.inverse_transform(Z), X, atol=1e-3)


def test_samples_lie_where_the_rows_do(fitted, moons):
    X, _ = moons
    drawn = fitted.sample(1000, random_state=0)
    nearest = np.linalg.norm(drawn[:, None] - X[None], axis=2).min(1)
    assert np.median(nearest) < 0.05


def test_densities_of_classes_are_told_apart(moons):
    X, y = moons
    flow = small(conditional=True, batch_size=128, max_iter=30).fit(X, y)
    own, other = flow.score_samples(X, y), flow.score_samples(X, 1 - y)
    assert (own > other).mean() > 0.95
    mixture = np.logaddexp(own, other) + np.log(0.5)
    np.testing.assert_allclose(flow.score_samples(X), mixture, atol=1e-3)


@pytest.mark.parametrize("shape", [(30, 2), (30, 1, 4, 4)])
def test_networks_without_hidden_layers_are_refused(shape):
    with pytest.raises(ValueError, match=r"hold one integer at least\. Got \(\)"):
        small(hidden_layer_sizes=()).fit(np.random.RandomState(0).randn(*shape))


def test_columns_that_do_not_vary_are_left_out_of_the_density(moons):
    X, _ = moons
    wide = np.column_stack([np.full(len(X), 7.0), X, np.zeros(len(X))])
    flow, plain = small(max_iter=5).fit(wide), small(max_iter=5).fit(X)
    np.testing.assert_allclose(flow.score(wide), plain.score(X), atol=1e-4)
    drawn = flow.sample(5, random_state=0)
    assert (drawn[:, 0] == 7).all()
    assert (drawn[:, 3] == 0).all()
    assert flow.transform(wide).shape == (1000, 2)


@pytest.mark.parametrize("scale", ["auto", None])
def test_table_of_constants_has_no_density_and_comes_back(scale):
    X = np.tile([7.1, -3.3], (30, 1))
    flow = small(scale=scale, max_iter=2).fit(X)
    codes = flow.transform(X)
    assert codes.shape == (30, 1)
    for drawn in [flow.sample(30, random_state=0), flow.inverse_transform(codes)]:
        np.testing.assert_array_equal(drawn, drawn[:1].repeat(30, axis=0))
        np.testing.assert_allclose(drawn, X, rtol=1e-6)
    np.testing.assert_array_equal(flow.score_samples(X), 0)


@pytest.mark.slow
def test_noise_keeps_needles_from_columns_of_few_values():
    rng = np.random.RandomState(0)
    X = np.column_stack([rng.randint(3, size=600), rng.randn(600)]).astype(float)
    options = {"early_stopping": False, "max_iter": 40, "batch_size": 128}
    plain = small(**options).fit(X).score(X)
    noisy = small(noise=1.0, **options).fit(X).score(X)
    assert noisy < plain


def test_images_are_drawn_flat():
    rng = np.random.RandomState(0)
    X = rng.rand(60, 1, 8, 8)
    flow = FlowSampler(
        n_couplings=1, hidden_layer_sizes=(8,), max_iter=1, random_state=0
    ).fit(X)
    assert flow.sample(3).shape == (3, 64)
    assert flow.image_shape_ == (1, 8, 8)
    assert np.isfinite(flow.score_samples(X)).all()


def test_grid_search_takes_the_mean_density(moons):
    search = GridSearchCV(
        small(max_iter=3, hidden_layer_sizes=(8,)), {"n_couplings": [1, 2]}, cv=2
    ).fit(moons[0])
    assert np.isfinite(search.best_score_)


@pytest.mark.parametrize("unit", [1e-8, 1e8])
def test_units_of_columns_that_are_not_scaled_do_not_widen_them(unit):
    X = np.random.RandomState(0).randn(200, 2) * [unit, 1]
    flow = small(scale=None, max_iter=1).fit(X)
    np.testing.assert_allclose(flow.sample(1000).std(0), X.std(0), rtol=0.15)


# the Gaussian that it starts from


def test_gaussian_of_many_rows_is_hardly_shrunk():

    rng = np.random.RandomState(0)
    root = np.array([[1.0, 0.0], [0.9, 0.4]])
    X = torch.from_numpy(rng.randn(5000, 2) @ root.T)
    mean, covariance = fitted_gaussian(iter(X.split(700)))
    np.testing.assert_allclose(mean, X.mean(0), atol=1e-6)
    np.testing.assert_allclose(covariance, np.cov(X.T, bias=True), rtol=0.02)


def test_gaussian_of_few_rows_is_shrunk_and_can_be_inverted():

    X = torch.from_numpy(np.random.RandomState(0).randn(12, 20))
    _, covariance = fitted_gaussian(iter([X]))
    assert np.linalg.cond(covariance) < 1e3


# shared values


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_splines_have_more_bins_where_many_rows_share_a_value(kind):
    def n_bins(X, **parameters):
        model = FlowSampler(max_iter=1, random_state=0, **parameters).fit(kind(X))
        return model.flow_.arguments["n_bins"]

    X = np.random.RandomState(0).rand(100, 3)
    assert n_bins(X) == 8
    constant = np.insert(X, 1, 5.0, axis=1)
    assert n_bins(constant) == 8
    X[::11, 1] = 0.3  # ten of them
    assert n_bins(X) == 16
    assert n_bins(X[1:]) == 8
    assert n_bins(X, n_bins=8) == 8
    assert n_bins(X.repeat(50, axis=0)) == 16
    assert n_bins(X[:2]) == 8


def test_images_have_few_bins():
    images = np.random.RandomState(0).randint(2, size=(30, 1, 4, 4))
    model = FlowSampler(max_iter=1, random_state=0).fit(images)
    assert model.flow_.arguments["n_bins"] == 8


@pytest.mark.slow
def test_categories_are_drawn_as_often_as_they_are():
    rng = np.random.RandomState(0)
    shares = np.array([0.5, 0.3, 0.1, 0.05, 0.03, 0.02])
    X = pd.DataFrame({"kind": rng.choice(list("abcdef"), 2000, p=shares)})
    X["size"] = rng.randn(2000)
    model = make_sampler_pipeline(TabularEncoder(), FlowSampler(random_state=0)).fit(X)
    drawn = model.sample(4000, random_state=0)["kind"].value_counts(normalize=True)
    real = X["kind"].value_counts(normalize=True)
    assert (drawn - real).abs().max() < 0.06  # .18 with eight bins
