import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_moons
from sklearn.neighbors import NearestNeighbors
from torch import Generator
from torch.distributions import MultivariateNormal

from skdeep.generative import DiffusionSampler
from skdeep.generative._diffusion_model import EXACT_FEATURES, by_parts
from skdeep.generative._diffusion_paths import (
    MOST_SPREAD,
    Diffusion,
    ancestral_path,
    bound,
    flow_log_density,
    flow_path,
    implicit_path,
    spread_noise,
    times_of,
)
from skdeep.generative._diffusion_training import Denoising
from skdeep.nn import MLPDenoiser, UNetDenoiser
from skdeep.objectives.diffusion import (
    SCHEDULES,
    decoder_log_prob,
    prior_kl,
    rates,
    transition_kl,
)

MEAN = torch.tensor([0.5, -0.3, 0.0], dtype=torch.float64)
COVARIANCE = torch.tensor(
    [[1.0, 0.4, 0.0], [0.4, 0.3, 0.1], [0.0, 0.1, 0.5]], dtype=torch.float64
)
TRUE = MultivariateNormal(MEAN, COVARIANCE)


def gaussian_diffusion(schedule="cosine", n_timesteps=1000):
    """Diffusion of Gaussian rows, with the velocity that is best."""
    a, s = (r.tolist() for r in rates(SCHEDULES[schedule](n_timesteps)))

    def velocity(x, t):
        mixed = a[t] ** 2 * COVARIANCE + s[t] ** 2 * torch.eye(3, dtype=torch.float64)
        gain = a[t] * COVARIANCE @ torch.linalg.inv(mixed)
        x_0 = MEAN + (x - a[t] * MEAN) @ gain.T
        return (a[t] * x - x_0) / s[t]

    return Diffusion(a, s, velocity)


def normal(*shape, seed=0):
    rng = Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def rows_of_the_gaussian(n, seed=0):
    return MEAN + normal(n, 3, seed=seed) @ torch.linalg.cholesky(COVARIANCE).T


every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)


# times and noise


@pytest.mark.parametrize("n_timesteps", [2, 10, 1000])
@pytest.mark.parametrize("n_steps", [1, 2, 50, 1000])
def test_times_lead_from_row_to_noise(n_timesteps, n_steps):
    times = times_of(n_timesteps, n_steps)
    assert times[0] == 0
    assert times[-1] == n_timesteps
    assert len(times) == min(n_steps, n_timesteps) + 1
    assert (np.diff(times) > 0).all()


def test_times_are_denser_where_little_noise_is():
    widths = np.diff(times_of(1000, 50))
    assert widths[:5].max() < 5
    assert widths[-5:].min() > 30


@pytest.mark.parametrize("n_features", [3, MOST_SPREAD + 1])
def test_spread_noise_is_standard_normal(n_features):
    x = normal(20, n_features).float()
    noise, again, other = (
        torch.stack([*spread_noise(x, 256, seed)]) for seed in (0, 0, 1)
    )
    assert noise.shape == (256, 20, n_features)
    assert noise.dtype == torch.float32
    assert torch.isfinite(noise).all()
    assert noise.mean((0, 2)).abs().max() < 0.02
    torch.testing.assert_close(noise.std((0, 2)), torch.ones(20), atol=0.05, rtol=0)
    assert torch.equal(noise, again)
    assert not torch.equal(noise, other)
    alone = torch.stack([*spread_noise(x[2:3], 256, 0)])
    assert torch.equal(alone, noise[:, 2:3])
    pairs = noise.transpose(0, 1).flatten(1).corrcoef().fill_diagonal_(0)
    assert abs(float(pairs.mean())) < 0.05


# ways between rows and noise, where they are known


@every_schedule
def test_flow_finds_the_density_of_a_gaussian(schedule):
    diffusion, x = gaussian_diffusion(schedule), rows_of_the_gaussian(200)
    errors = [
        flow_log_density(diffusion, x, times_of(1000, n), None) - TRUE.log_prob(x)
        for n in (25, 50, 100)
    ]
    coarse, middle, fine = (float(error.square().mean().sqrt()) for error in errors)
    assert fine < 0.01
    assert fine < middle < coarse


def test_estimated_flow_density_is_right_on_average():
    diffusion, x = gaussian_diffusion(), rows_of_the_gaussian(20)
    times = times_of(1000, 20)
    exact = flow_log_density(diffusion, x, times, None)
    estimates = [
        flow_log_density(
            diffusion, x, times, torch.tensor(signs).double().expand(len(times), 3)
        )
        for signs in itertools.product([-1.0, 1.0], repeat=3)
    ]
    torch.testing.assert_close(torch.stack(estimates).mean(0), exact)


@every_schedule
def test_bound_is_below_the_density_of_a_gaussian_and_near_it(schedule):
    diffusion, x = gaussian_diffusion(schedule), rows_of_the_gaussian(200)
    times = times_of(1000, 200)
    gaps = torch.stack(
        [
            (TRUE.log_prob(x) - bound(diffusion, x, times, noise)).mean()
            for noise in (spread_noise(x, 200, seed) for seed in range(8))
        ]
    )
    assert gaps.mean() > -2 * gaps.std() / math.sqrt(8)
    assert gaps.mean() < 0.3


def test_bound_grows_with_its_steps():
    diffusion, x = gaussian_diffusion(), rows_of_the_gaussian(4000)
    means = [
        bound(diffusion, x, times_of(1000, n), normal(n, 4000, 3, seed=1)).mean()
        for n in (5, 20, 80)
    ]
    assert means[0] < means[1] < means[2]


def test_length_of_the_noise_moves_the_bound_but_little():
    diffusion, x = gaussian_diffusion(), rows_of_the_gaussian(1).expand(4000, -1)
    times, noise = times_of(1000, 20), normal(20, 4000, 3)
    plain = -prior_kl(x, *diffusion.at(1000))
    for i, (u, t) in enumerate(itertools.pairwise(times)):
        a, s = diffusion.at(t)
        x_t = a * x + s * noise[i]
        found = a * x_t - s * diffusion.velocity(x_t, t)
        squares = (x - found).square().sum(1)
        if u == 0:
            plain += decoder_log_prob(squares, 3, a, s)
        else:
            plain -= transition_kl(squares, 3, a, s, *diffusion.at(u))
    found = bound(diffusion, x, times, noise)
    difference = found - plain
    error = float(difference.std()) / math.sqrt(4000)
    assert float(difference.mean()) == pytest.approx(0, abs=3 * error)
    assert found.std() < plain.std() / 2


@every_schedule
@pytest.mark.parametrize("way", ["ddim", "ddpm", "ode"])
def test_samples_have_the_moments_of_a_gaussian(schedule, way):
    diffusion, noise = gaussian_diffusion(schedule, 200), normal(10_000, 3)
    times = times_of(200, 100)
    if way == "ddim":
        x = implicit_path(diffusion, noise, times)
    elif way == "ddpm":
        x = ancestral_path(diffusion, noise, range(201), Generator().manual_seed(1))
    else:
        x = flow_path(diffusion, noise, times[::-1])
    torch.testing.assert_close(x.mean(0), MEAN, atol=0.05, rtol=0)
    torch.testing.assert_close(torch.cov(x.T), COVARIANCE, atol=0.05, rtol=0)


def test_flow_leads_to_noise_and_back():
    diffusion, x = gaussian_diffusion(), rows_of_the_gaussian(20_000)
    times = times_of(1000, 50)
    z = flow_path(diffusion, x, times)
    torch.testing.assert_close(z.mean(0), torch.zeros(3).double(), atol=0.03, rtol=0)
    torch.testing.assert_close(torch.cov(z.T), torch.eye(3).double(), atol=0.04, rtol=0)
    back = flow_path(diffusion, z, times[::-1])
    torch.testing.assert_close(back, x, atol=1e-3, rtol=0)


def test_implicit_steps_tend_to_the_flow():
    diffusion, noise = gaussian_diffusion(), normal(100, 3)
    end = flow_path(diffusion, noise, times_of(1000, 200)[::-1])
    errors = [
        (implicit_path(diffusion, noise, times_of(1000, n)) - end).abs().max()
        for n in (25, 50, 100)
    ]
    assert errors[2] < 0.6 * errors[1] < 0.36 * errors[0]


def test_parts_of_the_rows_pass_alone():
    x, y = normal(10, 2**14), normal(10, 1)
    sizes = []

    def function(x, y):
        sizes.append(len(x))
        return x[:, :2] * y

    torch.testing.assert_close(by_parts(function, x, y), x[:, :2] * y)
    assert sizes == [4, 4, 2]


# two moons

UNITS = np.array([10.0, 0.1])


def moons(n, seed):
    return UNITS * make_moons(n, noise=0.05, random_state=seed)[0]


@pytest.fixture(scope="module")
def fitted():
    X = moons(2000, 0)
    sampler = DiffusionSampler(
        (64, 64, 64), max_iter=85, batch_size=64, learning_rate=5e-3, random_state=0
    )
    return sampler.fit(X)


def distances_to_moons(X):
    model = NearestNeighbors(n_neighbors=1).fit(moons(3000, 1) / UNITS)
    return model.kneighbors(X / UNITS)[0][:, 0]


@pytest.mark.parametrize(
    ("sampler", "n_steps"), [("ddim", 50), ("ode", 25), ("ddpm", 50)]
)
def test_samples_lie_on_both_moons(fitted, sampler, n_steps):
    fitted = clone_of(fitted, sampler=sampler, n_steps=n_steps)
    X = fitted.sample(500, random_state=0)
    assert X.dtype == np.float32
    distances = distances_to_moons(X)
    assert np.quantile(distances, 0.95) < 0.15
    upper = X[:, 1] / UNITS[1] > 0.25
    assert 0.4 < upper.mean() < 0.6


def test_rows_drawn_by_default_are_as_spread_as_the_density_says():
    X = 3 * np.random.RandomState(0).randn(2000, 1)
    model = DiffusionSampler((32, 32), max_iter=40, random_state=0).fit(X)
    axis = np.linspace(-15, 15, 601)
    density = np.exp(model.score_samples(axis[:, np.newaxis]))
    variance = (axis**2 * density).sum() / density.sum()
    for n_steps in (50, 10):
        drawn = clone_of(model, n_steps=n_steps).sample(20_000, random_state=0)
        assert drawn.var() == pytest.approx(variance, rel=0.04)


def test_rows_wider_than_the_network_are_correlated_as_they_should_be():
    rng = np.random.RandomState(0)
    X = rng.randn(1000, 2) @ rng.randn(2, 60) + 0.5 * rng.randn(1000, 60)
    model = DiffusionSampler((16, 64), n_steps=10, max_iter=50, random_state=0).fit(X)
    drawn = model.sample(1000, random_state=0)
    real, found = (np.corrcoef(rows.T)[np.triu_indices(60, 1)] for rows in (X, drawn))
    assert np.polyfit(real, found, 1)[0] > 0.9
    assert 0.85 < np.median(drawn.std(axis=0) / X.std(axis=0)) < 1.15


def clone_of(fitted, **params):
    return pickle.loads(pickle.dumps(fitted)).set_params(**params)


@pytest.mark.parametrize(("n_steps", "lost"), [(50, 0.063), (10, 0.279)])
def test_steps_of_first_order_lose_as_much_variance_as_is_said(n_steps, lost):
    a, s = (r.tolist() for r in rates(SCHEDULES["cosine"](1000)))
    standard_normal = Diffusion(a, s, lambda x, _: torch.zeros_like(x))
    x = implicit_path(standard_normal, torch.ones(1), times_of(1000, n_steps))
    assert 1 - float(x) ** 2 == pytest.approx(lost, abs=0.001)


def test_fresh_noise_is_drawn_for_ancestral_steps_alone(fitted):
    # Rows of the same first noise differ between the samplers, but not between calls.
    drawn = [
        clone_of(fitted, sampler=sampler).sample(5, random_state=0)
        for sampler in ("ddim", "ode", "ddpm")
    ]
    assert np.abs(drawn[0] - drawn[1]).max() < 0.2 * UNITS.max()
    assert np.abs(drawn[2] - drawn[1]).max() > 0.2 * UNITS.max()
    again = clone_of(fitted, sampler="ddpm").sample(5, random_state=0)
    np.testing.assert_array_equal(again, drawn[2])


def test_density_integrates_to_one_in_units_of_the_input(fitted):
    side = np.linspace(-2, 3, 61)
    grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    fitted = clone_of(fitted, n_steps=25)
    density = np.exp(fitted.score_samples(UNITS * grid).astype(np.float64))
    area = UNITS.prod() * (side[1] - side[0]) ** 2
    assert density.sum() * area == pytest.approx(1, abs=0.1)


def test_density_is_near_that_of_the_moons(fitted):
    # That of the noise about two half circles, but for their ends.
    X = moons(500, 2)
    expected = -math.log(2 * math.pi) - math.log(0.05) - 0.5 * (math.log(math.tau) + 1)
    in_units = expected - np.log(UNITS).sum()
    assert fitted.score(X) == pytest.approx(in_units, abs=0.35)
    assert fitted.score(X) == pytest.approx(fitted.score_samples(X).mean(), abs=1e-5)


def test_bound_is_below_the_density(fitted):
    X = moons(500, 2)
    by_flow, by_bound = (
        fitted.score_samples(X, method=method) for method in ("ode", "elbo")
    )
    assert by_bound.mean() < by_flow.mean() < by_bound.mean() + 1
    assert np.corrcoef(by_flow, by_bound)[0, 1] > 0.8


def test_rows_between_the_moons_are_unlikely(fitted):
    between = UNITS * np.array([[0.5, 0.25], [0.0, 0.0], [1.0, 0.5]])
    on = UNITS * np.array([[0.0, 1.0], [1.0, -0.5], [0.7, 0.7]])
    for method in ("ode", "elbo"):
        low, high = (fitted.score_samples(X, method=method) for X in (between, on))
        assert low.max() < high.min()
        assert low.mean() + 1 < high.mean()


def test_codes_are_standard_normal_and_lead_back(fitted):
    X = moons(1000, 2)
    Z = fitted.transform(X)
    assert Z.dtype == np.float32
    np.testing.assert_allclose(Z.mean(0), 0, atol=0.15)
    np.testing.assert_allclose(np.cov(Z.T), np.eye(2), atol=0.25)
    error = np.abs(fitted.inverse_transform(Z) - X) / UNITS
    assert np.quantile(error, 0.99) < 0.02


def test_flow_sampler_decodes_noise(fitted):
    fitted = clone_of(fitted, sampler="ode")
    X = fitted.sample(7, random_state=3)
    seed = np.random.RandomState(3).randint(2**31 - 1)
    Z = torch.randn(7, 2, generator=Generator().manual_seed(int(seed)))
    np.testing.assert_allclose(fitted.inverse_transform(Z.numpy()), X, rtol=1e-4)


def test_weights_are_averaged_and_the_best_ones(fitted):
    losses = fitted.history_["validation_loss"]
    assert len(losses) == len(fitted.history_["loss"]) == fitted.n_iter_
    assert min(losses) < 0.95 * losses[0]


def test_units_of_the_input_shift_the_density():
    X = moons(200, 0)
    sampler = DiffusionSampler((8,), max_iter=3, random_state=0)
    score = clone(sampler).fit(X).score(X)
    scaled = clone(sampler).fit(8 * X).score(8 * X)
    assert scaled == pytest.approx(score - 2 * math.log(8), abs=1e-3)


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
@every_schedule
def test_gaussian_rows_are_learned(prediction, schedule):
    X = rows_of_the_gaussian(2000).numpy()
    sampler = DiffusionSampler(
        (32, 32),
        prediction=prediction,
        schedule=schedule,
        n_timesteps=100,
        batch_size=200,
        max_iter=25,
        early_stopping=False,
        random_state=0,
    ).fit(X)
    assert "validation_loss" not in sampler.history_
    np.testing.assert_array_equal(sampler.betas_, SCHEDULES[schedule](100))
    S = sampler.sample(4000, random_state=0)
    np.testing.assert_allclose(S.mean(0), X.mean(0), atol=0.15)
    np.testing.assert_allclose(np.cov(S.T), np.cov(X.T), atol=0.2)
    truth = float(TRUE.log_prob(torch.from_numpy(X)).mean())
    assert sampler.score(X) == pytest.approx(truth, abs=0.25)


# scores of rows

WIDE = EXACT_FEATURES + 2


@pytest.fixture(scope="module")
def wide():
    X = normal(100, WIDE).numpy()
    return DiffusionSampler(
        (16,), max_iter=60, early_stopping=False, n_steps=10, random_state=0
    ).fit(X)


@pytest.mark.parametrize("method", ["ode", "elbo"])
def test_score_of_a_row_depends_on_no_other(wide, method):
    X = normal(5, WIDE, seed=1).numpy()
    together = wide.score_samples(X, method=method)
    alone = [wide.score_samples(row[None], method=method)[0] for row in X]
    np.testing.assert_allclose(together, alone, rtol=1e-4)


@pytest.mark.parametrize("method", ["ode", "elbo"])
def test_seed_of_a_score_moves_its_estimate_alone(wide, fitted, method):
    X = normal(5, WIDE, seed=1).numpy()
    first, again, other = (
        wide.score_samples(X, method=method, random_state=seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_allclose(first, other, atol=8)
    if method == "ode":  # which is exact for few columns
        X = moons(5, 1)
        exact = [fitted.score_samples(X, random_state=seed) for seed in (0, 1)]
        np.testing.assert_array_equal(*exact)


def test_unknown_method_is_refused(fitted):
    with pytest.raises(ValueError, match=r"must be 'ode' or 'elbo'\. Got 'exact'"):
        fitted.score_samples(moons(3, 0), method="exact")


def test_network_without_hidden_layers_is_refused():
    with pytest.raises(ValueError, match=r"hold one integer at least\. Got \(\)"):
        DiffusionSampler(()).fit(moons(30, 0))


# constant columns


def test_constant_columns_keep_their_value():
    X = np.c_[moons(200, 0)[:, 0], np.full(200, 7.0), moons(200, 1)[:, 1]]
    sampler = DiffusionSampler((16,), max_iter=3, scale=None, random_state=0).fit(X)
    np.testing.assert_array_equal(np.isnan(sampler.constants_), [True, False, True])
    S = sampler.sample(50, random_state=0)
    np.testing.assert_allclose(S[:, 1], 7, rtol=1e-6)
    assert S[:, 0].std() > 0.1
    Z = sampler.transform(X)
    assert Z.shape == X.shape
    assert (Z[:, 1] == 0).all()
    back = sampler.inverse_transform(Z)
    np.testing.assert_allclose(back[:, 1], 7, rtol=1e-6)
    for method in ("ode", "elbo"):
        score = sampler.score_samples(X, method=method)
        moved = sampler.score_samples(X + np.array([0, 5, 0]), method=method)
        assert np.isfinite(score).all()
        np.testing.assert_array_equal(score, moved)


def test_rows_that_are_all_alike_come_back():
    X = np.tile([[1.0, -2.0]], (20, 1))
    sampler = DiffusionSampler((8,), max_iter=2, random_state=0).fit(X)
    np.testing.assert_allclose(sampler.sample(3), X[:3], rtol=1e-6)
    assert (sampler.transform(X) == 0).all()
    assert (sampler.score_samples(X) == 0).all()


# classes

CENTERS = np.array([[-3.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
NAMES = np.array(["left", "right", "top"])


@pytest.fixture(scope="module")
def conditional():
    rng = np.random.RandomState(0)
    y = rng.choice(3, 1500, p=[0.5, 0.3, 0.2])
    X = CENTERS[y] + rng.randn(1500, 2)
    sampler = DiffusionSampler(
        (32, 32), conditional=True, max_iter=60, learning_rate=5e-3, random_state=0
    )
    return sampler.fit(X, NAMES[y])


def test_samples_are_of_the_class_that_was_asked_for(conditional):
    for name, center in zip(NAMES, CENTERS, strict=True):
        S = conditional.sample(400, y=name, random_state=0)
        np.testing.assert_allclose(S.mean(0), center, atol=0.35)
        np.testing.assert_allclose(S.std(0), 1, atol=0.3)


def test_guidance_makes_rows_more_typical_of_their_class(conditional):
    guided = clone_of(conditional, guidance_weight=3.0)
    for name, center in zip(NAMES, CENTERS, strict=True):
        plain = conditional.sample(300, y=name, random_state=0)
        pushed = guided.sample(300, y=name, random_state=0)
        middle = CENTERS.mean(0)
        outward = (center - middle) / np.linalg.norm(center - middle)
        assert ((pushed - plain) @ outward).mean() > 0.1
        assert pushed.std(0).prod() < plain.std(0).prod()


def test_guidance_without_anything_learned_of_no_class_is_refused(conditional):
    X, y = make_moons(20, random_state=0)
    sampler = DiffusionSampler((4,), max_iter=1, random_state=0)
    with pytest.raises(ValueError, match=r"'guidance_weight'.*conditional=True"):
        clone(sampler).set_params(guidance_weight=1).fit(X)
    with pytest.raises(ValueError, match=r"'guidance_weight'.*conditional=True"):
        sampler.fit(X).set_params(guidance_weight=1).sample()
    sampler = clone_of(conditional, guidance_weight=1, class_dropout=0)
    for use in (sampler.sample, lambda: sampler.fit(X, y)):
        with pytest.raises(ValueError, match=r"'guidance_weight'.* class_dropout "):
            use()


def test_density_of_a_class_and_of_the_mixture(conditional):
    X = np.array([[-3.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    given = np.stack([conditional.score_samples(X, name) for name in NAMES])
    normalised = -math.log(2 * math.pi)
    np.testing.assert_allclose(given.diagonal(), normalised, atol=0.4)
    assert (given[~np.eye(3, dtype=bool)] < normalised - 2).all()
    mixture = np.logaddexp.reduce(given + conditional.class_log_prior_[:, None])
    np.testing.assert_allclose(conditional.score_samples(X), mixture, rtol=1e-4)


def test_codes_depend_on_the_class(conditional):
    X = CENTERS[:1]
    assert np.linalg.norm(conditional.transform(X, ["left"])) < 0.7
    assert np.linalg.norm(conditional.transform(X, ["right"])) > 1.5
    moved = conditional.inverse_transform(conditional.transform(X, ["left"]), ["top"])
    np.testing.assert_allclose(moved[0], CENTERS[2], atol=0.8)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_share_of_the_rows_loses_its_class(dropout):
    seen = []

    def denoiser(x, t, context):
        seen.append(context)
        return x * t.mean()

    betas = torch.full((10,), 0.1)
    denoising = Denoising(denoiser, torch.ones(2), betas, "v")
    context = torch.nn.functional.one_hot(torch.arange(2000) % 3).float()
    rng = torch.Generator().manual_seed(0)
    denoising.drawn_loss(torch.zeros(2000, 2), context, rng, dropout)
    kept = seen[0].sum(1)
    assert set(kept.tolist()) <= {0.0, 1.0}
    assert float(1 - kept.mean()) == pytest.approx(dropout, abs=0.04)
    assert torch.equal(seen[0][kept == 1], context[kept == 1])


def test_times_of_a_batch_are_spread_over_all_steps():
    times, noise = [], torch.zeros(20, 1)

    def denoiser(x, t):
        times.append(t)
        return x * t.mean()

    denoising = Denoising(denoiser, torch.ones(1), torch.full((10,), 0.1), "v")
    for start in (0.0, 0.5, 1 - 1e-7):
        denoising.loss(noise, None, torch.tensor([start]), noise)
        steps = (10 * times[-1]).round().long().flatten()
        assert torch.bincount(steps, minlength=11)[1:].tolist() == pytest.approx(
            [2] * 10, abs=1
        )
        assert steps.min() == 1
        assert steps.max() == 10


def test_classes_that_never_drop_out_are_learned_too():
    X, y = make_moons(100, random_state=0)
    sampler = DiffusionSampler(
        (8,), conditional=True, class_dropout=0.0, max_iter=2, random_state=0
    ).fit(X, y)
    assert sampler.sample(4, y=[0, 1, 0, 1]).shape == (4, 2)


# images


@pytest.mark.parametrize("shape", [(1, 4, 4), (2, 5, 3)])
def test_images_train_a_unet(shape):
    rng = np.random.RandomState(0)
    X = rng.rand(60, 1, 1, 1) + 0.1 * rng.rand(60, *shape)
    sampler = DiffusionSampler(
        (8, 8), max_iter=3, batch_size=32, n_steps=4, random_state=0
    ).fit(X)
    assert isinstance(sampler.denoiser_, UNetDenoiser)
    assert sampler.image_shape_ == shape
    n_features = math.prod(shape)
    S = sampler.sample(5, random_state=0)
    assert S.shape == (5, n_features)
    again = DiffusionSampler(
        (8, 8),
        image_shape=shape,
        max_iter=3,
        batch_size=32,
        n_steps=4,
        random_state=0,
    ).fit(X.reshape(60, -1))
    np.testing.assert_array_equal(again.sample(5, random_state=0), S)
    Z = sampler.transform(X)
    assert np.isfinite(sampler.inverse_transform(Z)).all()
    for method in ("ode", "elbo"):
        assert np.isfinite(sampler.score_samples(X[:5], method=method)).all()


@pytest.mark.slow
def test_brightness_of_images_is_learned():
    # Images of one colour each: their pixels go together, with means all over [0, 1].
    rng = np.random.RandomState(0)
    X = np.repeat(rng.rand(500, 1), 16, axis=1) + 0.02 * rng.randn(500, 16)
    sampler = DiffusionSampler(
        (8, 8),
        image_shape=(1, 4, 4),
        max_iter=30,
        batch_size=100,
        learning_rate=5e-3,
        random_state=0,
    ).fit(X)
    S = sampler.sample(200, random_state=0)
    assert S.std(axis=1).mean() < 0.1
    assert S.mean(axis=1).std() == pytest.approx(X.mean(axis=1).std(), abs=0.08)


# training


def test_training_stops_when_the_loss_of_rows_held_out_does_not_fall():
    X = (normal(60, 2) @ normal(2, 5, seed=1)).numpy()
    sampler = DiffusionSampler(
        (64, 64), max_iter=400, n_iter_no_change=5, learning_rate=1e-2, random_state=0
    ).fit(X)
    losses = sampler.history_["validation_loss"]
    assert sampler.n_iter_ == len(losses) < 400
    assert np.argmin(losses) == len(losses) - 6


def test_tables_train_a_dense_network_and_few_timesteps_do(fitted):
    assert isinstance(fitted.denoiser_, MLPDenoiser)
    X = moons(100, 0)
    for sampler in ("ddim", "ddpm", "ode"):
        small = DiffusionSampler(
            (8,), n_timesteps=2, sampler=sampler, max_iter=2, random_state=0
        ).fit(X)
        assert np.isfinite(small.sample(10, random_state=0)).all()
        assert np.isfinite(small.score_samples(X, method="elbo")).all()
        assert np.isfinite(small.score_samples(X)).all()


def test_far_rows_have_finite_scores(fitted):
    X = UNITS * np.array([[1e3, 0.0], [0.0, -1e3]])
    for method in ("ode", "elbo"):
        score = fitted.score_samples(X, method=method)
        assert np.isfinite(score).all()
        assert (score < -1000).all()
