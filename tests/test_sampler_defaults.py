"""What samplers with their defaults learn of planted tables."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import skdeep
from tests.estimators import SAMPLERS, name_of

pytestmark = pytest.mark.slow

OF_DENSITIES = [s for s in SAMPLERS if hasattr(s, "score_samples")]

every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=name_of)
every_density = pytest.mark.parametrize("sampler", OF_DENSITIES, ids=name_of)

N_PLANTED = 500
MEAN = np.array([5.0, -20.0, 300.0])
FACTOR = np.array([[1, 0, 0], [2, 1.5, 0], [0, 30, 40]])


def planted(seed):
    return np.random.RandomState(seed).randn(N_PLANTED, 3) @ FACTOR.T + MEAN


def defaults(sampler, **parameters):
    return getattr(skdeep, name_of(sampler))(random_state=0, **parameters)


@every_sampler
def test_planted_gaussian_is_learned_by_the_defaults(sampler):
    rows = planted(0)
    drawn = defaults(sampler).fit(rows).sample(2000, random_state=0)
    spread = rows.std(axis=0)
    np.testing.assert_allclose((drawn.mean(0) - MEAN) / spread, 0, atol=0.3)
    np.testing.assert_allclose(drawn.std(axis=0) / spread, 1, atol=0.35)
    np.testing.assert_allclose(np.corrcoef(drawn.T), np.corrcoef(rows.T), atol=0.3)


@every_density
def test_planted_density_is_near_the_true_one(sampler):
    rows, fresh = planted(0), planted(1)
    found = defaults(sampler).fit(rows).score(fresh)
    expected = multivariate_normal(MEAN, FACTOR @ FACTOR.T).logpdf(fresh).mean()
    assert expected - 1.5 < found < expected + 0.1


# Whether the classes are right is asked here, not whether there is a code beside them.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@every_sampler
def test_planted_classes_are_drawn_where_they_lie_and_as_often(sampler):
    rng = np.random.RandomState(0)
    classes = np.repeat(["many", "few"], [400, 100])
    centers = np.where(classes == "many", 10.0, -10.0)[:, None]
    rows = centers + rng.randn(500, 1) + 0.3 * rng.randn(500, 2)
    model = defaults(sampler, conditional=True).fit(rows, classes)
    for label, center in [("many", 10), ("few", -10)]:
        drawn = model.sample(500, y=label, random_state=0)
        np.testing.assert_allclose(drawn.mean(0), center, atol=1.5)
        assert (np.sign(drawn) == np.sign(center)).all(axis=1).mean() > 0.98
    anywhere = model.sample(1000, random_state=0)
    assert (anywhere[:, 0] > 0).mean() == pytest.approx(0.8, abs=0.06)
