import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

from skdeep.sampling import classes_for, drawn_rows, linear_path, spherical_path


@pytest.fixture
def codes():
    return np.random.RandomState(0).normal(size=(300, 4))


def on_sphere(codes, radius):
    return radius * codes / np.linalg.norm(codes, axis=1, keepdims=True)


# rows


def test_a_seed_of_its_own_is_kept_or_not(codes):
    mixture = GaussianMixture(2, random_state=0).fit(codes)
    kept, again = (drawn_rows(mixture, 5, None) for _ in range(2))
    np.testing.assert_array_equal(kept, again)
    anew = drawn_rows(mixture, 5, None, keeps_seed=False)
    assert not np.array_equal(kept, anew)
    np.testing.assert_array_equal(drawn_rows(mixture, 5, 0, keeps_seed=False), kept)
    assert mixture.random_state == 0


def test_a_sampler_without_a_seed_draws_without_unless_it_needs_one():
    class Constant(BaseEstimator):
        def sample(self, n_samples):
            return np.ones((n_samples, 2))

    assert drawn_rows(Constant(), 3, 0).shape == (3, 2)
    with pytest.raises(TypeError, match="random_state=0 was given, but Constant takes"):
        drawn_rows(Constant(), 3, 0, needs_seed=True)


def test_classes_are_handed_on_to_what_takes_them():
    assert classes_for(KernelDensity(), "sample", None) == {}
    assert classes_for(KernelDensity(), "fit", 1) == {"y": 1}
    with pytest.raises(TypeError, match="sample of KernelDensity takes no classes"):
        classes_for(KernelDensity(), "sample", 1)


# paths


@pytest.mark.parametrize("path", [linear_path, spherical_path])
def test_paths_lead_from_one_end_to_the_other(codes, path):
    ends = 2 * codes[::-1]
    np.testing.assert_allclose(path(codes, ends, np.zeros((300, 1))), codes)
    np.testing.assert_allclose(path(codes, ends, np.ones((300, 1))), ends)


def test_great_circles_keep_the_length_of_the_codes(codes):
    start, end = on_sphere(codes, 2), on_sphere(codes[::-1], 2)
    middle = spherical_path(start, end, np.full((300, 1), 0.3))
    np.testing.assert_allclose(np.linalg.norm(middle, axis=1), 2)
    straight = linear_path(start, end, np.full((300, 1), 0.3))
    assert np.linalg.norm(straight, axis=1).mean() < 1.9


@pytest.mark.parametrize(
    ("a", "b"),
    [([1.0, 0.0], [2.0, 0.0]), ([1.0, 0.0], [-1.0, 0.0]), ([0.0, 0.0], [1.0, 2.0])],
)
def test_codes_that_span_no_circle_are_joined_by_a_line(a, b):
    a, b, t = np.array([a]), np.array([b]), np.array([[0.25]])
    np.testing.assert_allclose(spherical_path(a, b, t), linear_path(a, b, t))


def test_nearly_parallel_codes_make_no_jump():
    a = np.array([[1.0, 0.0]])
    for angle in np.logspace(-12, -1, 12):
        b = np.array([[np.cos(angle), np.sin(angle)]])
        middle = spherical_path(a, b, np.array([[0.5]]))
        expected = [[np.cos(angle / 2), np.sin(angle / 2)]]
        np.testing.assert_allclose(middle, expected, atol=1e-10)
