from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from skdeep.fitting import Fitting
from skdeep.generative import GANSampler
from skdeep.generative._coverage import COLLAPSED, Coverage, warn_of_collapse
from skdeep.generative._gan_training import Game

early = pytest.mark.filterwarnings(
    "ignore:GANSampler generates:sklearn.exceptions.ConvergenceWarning"
)
"""A generator that has hardly trained has not spread yet."""

LOSSES = ["non_saturating", "minimax", "wasserstein", "wasserstein_gp"]


def ring(n=2000, n_modes=8, spread=0.05, seed=0):
    """Gaussians on a circle of radius 2, and the number of each row's."""
    rng = np.random.RandomState(seed)
    y = rng.randint(n_modes, size=n)
    angles = 2 * np.pi * y / n_modes
    centers = 2 * np.column_stack([np.cos(angles), np.sin(angles)])
    return centers + spread * rng.randn(n, 2), y


def modes_of(drawn, n_modes=8, spread=0.05):
    """Modes that hold a hundredth of the rows each, and the share of rows in modes."""
    angles = 2 * np.pi * np.arange(n_modes) / n_modes
    centers = 2 * np.column_stack([np.cos(angles), np.sin(angles)])
    distances = np.linalg.norm(drawn[:, None] - centers, axis=2)
    inside = distances.min(1) < 4 * spread
    counts = np.bincount(distances.argmin(1)[inside], minlength=n_modes)
    return int((counts >= 0.01 * len(drawn)).sum()), inside.mean()


def small(**parameters):
    settings = {"hidden_layer_sizes": (32,), "max_iter": 5, "batch_size": 64}
    return GANSampler(4, random_state=0, **{**settings, **parameters})


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_default_finds_the_modes_of_a_ring(seed):
    X, _ = ring()
    gan = GANSampler(random_state=seed).fit(X)
    n_modes, inside = modes_of(gan.sample(2000, random_state=0))
    assert n_modes >= 7
    assert inside > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_clipped_critic_finds_most_modes_of_a_ring(seed):
    X, _ = ring()
    gan = GANSampler(loss="wasserstein", random_state=seed).fit(X)
    n_modes, inside = modes_of(gan.sample(2000, random_state=0))
    assert n_modes >= 6
    assert inside > 0.4


@early
def test_steps_of_the_clipped_critic_are_small_beside_the_clip():
    X, _ = ring(200)
    default, given, large = (
        small(loss="wasserstein", discriminator_learning_rate=rate).fit(X)
        for rate in (None, 0.03 * 0.01, 3e-3)
    )
    weights = [gan.generator_.layers[0].weight for gan in (default, given, large)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    patient = small(loss="wasserstein", learning_rate=1e-5)
    same = clone(patient).set_params(discriminator_learning_rate=1e-5)
    first, second = (gan.fit(X).generator_.layers[0].weight for gan in (patient, same))
    assert torch.equal(first, second)


@early
def test_penalty_of_zero_is_none():
    X = np.random.RandomState(0).randn(200, 2)
    free, light, heavy = (
        small(gradient_penalty=weight).fit(X).sample(9, random_state=0)
        for weight in (0, 1e-12, 100.0)
    )
    np.testing.assert_allclose(free, light, atol=1e-4)
    assert np.abs(free - heavy).max() > 1e-2


def test_gan_moves_towards_a_blob():
    X = np.random.RandomState(0).randn(600, 2) * [1, 0.3] + [4, -2]
    gan = GANSampler(4, max_iter=60, batch_size=64, random_state=0).fit(X)
    drawn = gan.sample(2000, random_state=0)
    np.testing.assert_allclose(drawn.mean(0), X.mean(0), atol=0.5)
    np.testing.assert_allclose(drawn.std(0) / X.std(0), 1, atol=0.5)
    assert gan.history_["coverage"][-1] > 0.3


@pytest.mark.parametrize("loss", LOSSES)
@early
def test_every_loss_trains_and_is_recorded(loss):
    X, _ = ring(200)
    gan = small(loss=loss).fit(X)
    assert set(gan.history_) == {"loss", "discriminator_loss", "coverage"}
    assert {len(values) for values in gan.history_.values()} == {5}
    assert np.isfinite(gan.sample(50)).all()


@early
def test_the_generator_learns_from_the_first_step_on():
    X, _ = ring(50)
    gan = small(n_discriminator_steps=5, batch_size=64).fit(X)  # one step an epoch
    assert min(gan.history_["loss"]) > 0


@early
def test_weights_of_the_clipped_critic_stay_in_their_bounds():
    X, _ = ring(200)
    gan = small(loss="wasserstein", clip=0.02).fit(X)
    largest = max(w.abs().max().item() for w in gan.discriminator_.parameters())
    assert largest <= 0.02 + 1e-7


@early
def test_samples_stay_in_the_range_of_the_data():
    X = np.float32(np.random.RandomState(0).exponential(size=(200, 3)))
    X[:100] = 0
    X = X * [1, 37, 1000] + [0, 0, 5]
    gan = small(noise="uniform", max_iter=1).fit(X)
    drawn = gan.inverse_transform(50 * np.random.RandomState(0).randn(500, 4))
    assert (drawn >= np.float32(X.min(0))).all()
    assert (drawn <= np.float32(X.max(0))).all()
    assert drawn[:, :2].min(0).tolist() == [0, 0]


@pytest.mark.slow
def test_rows_of_a_class_lie_with_that_class():
    X, y = ring(1500, n_modes=3)
    gan = GANSampler(conditional=True, random_state=0).fit(X, y)
    for label in range(3):
        drawn = gan.sample(300, y=label, random_state=0)
        center = X[y == label].mean(0)
        assert np.linalg.norm(drawn - center, axis=1).mean() < 0.5


def test_both_adversaries_see_rows_beside_their_own_class():
    x, fake = torch.zeros(3, 2), torch.ones(3, 2)
    context = torch.eye(3)
    seen = []

    def discriminator(rows):
        seen.append(rows)
        return rows.sum(1)

    def penalty(score, real, _):
        score(real)
        return 0.0

    still = SimpleNamespace(step=lambda _: None, frozen=nullcontext)
    game = Game(
        discriminator,
        still,
        still,
        lambda r, f: (r - f).sum(),
        torch.sum,
        penalty,
        None,
    )
    game.tell_apart(x, fake, context)
    game.pass_off(fake, context)
    both, penalised, passed_off = seen
    expected = torch.cat([torch.cat([x, fake]), context.repeat(2, 1)], 1)
    assert torch.equal(both, expected)
    assert torch.equal(penalised, expected[:3])
    assert torch.equal(passed_off, expected[3:])


@early
def test_images_are_drawn_from_codes():
    X = load_digits().data[:200].reshape(-1, 1, 8, 8)
    gan = GANSampler(8, hidden_layer_sizes=(4, 8), max_iter=1, random_state=0).fit(X)
    assert gan.image_shape_ == (1, 8, 8)
    Z = np.random.RandomState(0).randn(5, 8)
    assert gan.inverse_transform(Z).shape == (5, 64)
    alone = np.concatenate([gan.inverse_transform(z[None]) for z in Z])
    np.testing.assert_allclose(alone, gan.inverse_transform(Z), atol=1e-4)


def test_there_is_no_density():
    assert not hasattr(GANSampler(), "score_samples")


# the monitor of collapse


def coverage_of(generate, X):
    estimator = GANSampler(random_state=0)
    return Coverage(Fitting(estimator, X, None, [0, 1, 2], 10), generate).share()


def test_coverage_is_that_of_the_share_of_modes():
    X, y = ring(4000)
    scaled = torch.from_numpy((X - X.mean()) / X.std()).float()
    rng = np.random.RandomState(1)

    def draw_from(rows):
        return lambda index: scaled[rng.choice(rows, len(index))]

    full = coverage_of(draw_from(np.arange(4000)), X)
    half = coverage_of(draw_from(np.flatnonzero(y < 4)), X)
    point = coverage_of(draw_from(np.array([0])), X)
    assert full == pytest.approx(0.8, abs=0.1)
    assert half == pytest.approx(0.4, abs=0.1)
    assert point < 0.05


def test_collapse_is_warned_of():
    with pytest.warns(ConvergenceWarning, match="collapsed"):
        warn_of_collapse(COLLAPSED / 2, "GANSampler")


def test_a_generator_that_stands_still_is_reported():
    X, _ = ring(400)
    with pytest.warns(ConvergenceWarning, match="near"):
        small(max_iter=1, learning_rate=1e-9).fit(X)
