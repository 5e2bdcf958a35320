import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.preprocessing import FunctionTransformer

from skdeep.metrics import perceptual_path_length


@pytest.fixture
def codes():
    return np.random.RandomState(0).normal(size=(300, 4))


def identity(z):
    return z


def on_sphere(codes, radius):
    return radius * codes / np.linalg.norm(codes, axis=1, keepdims=True)


# closed forms


def test_worked_example():
    def decoder(z):
        return np.column_stack([3 * z[:, 0], np.zeros(len(z))])

    start, end = [[0.0, 0.0]], [[2.0, 5.0]]
    length = perceptual_path_length(decoder, start, end, interpolation="linear")
    assert length == pytest.approx((3 * 2) ** 2)


@pytest.mark.parametrize("epsilon", [1e-4, 1e-2, 1.0])
def test_a_linear_decoder_stretches_straight_paths_evenly(codes, epsilon):
    W = np.random.RandomState(1).normal(size=(4, 7))
    ends = codes[::-1]
    length = perceptual_path_length(
        lambda z: z @ W + 5, codes, ends, interpolation="linear", epsilon=epsilon
    )
    expected = (((ends - codes) @ W) ** 2).sum(axis=1).mean()
    assert length == pytest.approx(expected, rel=1e-6)


def test_great_circles_are_as_long_as_their_angle(codes):
    start, end = on_sphere(codes, 3), on_sphere(codes[::-1], 3)
    angle = np.arccos((start * end).sum(axis=1) / 9)
    expected = (9 * angle**2).mean()
    assert perceptual_path_length(identity, start, end) == pytest.approx(
        expected, rel=1e-6
    )


def test_independent_gaussian_codes_have_the_expected_length():
    codes = np.random.RandomState(0).normal(size=(20_000, 3))
    length = perceptual_path_length(
        identity, codes, interpolation="linear", random_state=0
    )
    assert length == pytest.approx(2 * 3, rel=0.03)


def test_a_curve_is_measured_where_the_path_is():
    def square(z):
        return z**2

    n = 20_000
    length = perceptual_path_length(
        square, np.zeros((n, 1)), np.ones((n, 1)), interpolation="linear"
    )
    assert length == pytest.approx(4 / 3, rel=0.03)  # the mean of (2 t)^2


def test_length_equals_that_of_a_loop(codes):
    def decoder(z):
        return np.sin(z @ np.array([[1.0, 2.0], [0.5, -1.0], [0.0, 1.0], [2.0, 0.0]]))

    rng = np.random.RandomState(5)
    t, end = rng.uniform(size=300), codes[::-1].copy()
    total = 0.0
    for a, b, place in zip(codes, end, t, strict=True):
        omega = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        rows = [
            (np.sin((1 - s) * omega) * a + np.sin(s * omega) * b) / np.sin(omega)
            for s in (place, place + 1e-3)
        ]
        one, other = decoder(np.array(rows))
        total += ((one - other) ** 2).sum() / 1e-6
    length = perceptual_path_length(decoder, codes, end, epsilon=1e-3, random_state=5)
    assert length == pytest.approx(total / 300)


# paths


def test_ends_that_are_not_given_are_other_codes(codes):
    seen = []

    def decoder(z):
        seen.append(z)
        return z

    perceptual_path_length(
        decoder, codes, interpolation="linear", epsilon=1.0, random_state=0
    )
    # With a step of 1, what comes second minus what comes first is end minus start.
    step = seen[1] - seen[0]
    assert np.linalg.norm(step, axis=1).min() > 0
    np.testing.assert_allclose(step.sum(axis=0), 0, atol=1e-10)


# behaviour


def test_smooth_decoders_are_shorter_than_those_that_jump(codes):
    lengths = [
        perceptual_path_length(lambda z, s=s: np.tanh(s * z), codes, random_state=0)
        for s in (1, 10, 100)
    ]
    assert lengths == sorted(lengths)
    assert lengths[2] > 10 * lengths[0]


def test_a_constant_decoder_has_length_zero(codes):
    assert perceptual_path_length(lambda z: np.ones((len(z), 5)), codes) == 0.0


def test_length_counts_features_and_units_squared(codes):
    length = perceptual_path_length(identity, codes, random_state=0)
    doubled = perceptual_path_length(lambda z: 2 * z, codes, random_state=0)
    assert doubled == pytest.approx(4 * length)
    for features in (lambda X: 2 * X, FunctionTransformer(lambda X: 2 * X)):
        assert perceptual_path_length(
            identity, codes, features=features, random_state=0
        ) == pytest.approx(doubled)


def test_an_own_distance_is_divided_by_the_squared_step(codes):
    def cosine(F, G):
        lengths = np.linalg.norm(F, axis=1) * np.linalg.norm(G, axis=1)
        return 1 - (F * G).sum(axis=1) / lengths

    codes = on_sphere(codes, 1)
    length = perceptual_path_length(
        identity, codes, distance=cosine, epsilon=1e-2, random_state=0
    )
    squared = perceptual_path_length(identity, codes, epsilon=1e-2, random_state=0)
    assert length == pytest.approx(squared / 2)  # |f - g|^2 = 2 (1 - cos)


def test_an_estimator_decodes_by_its_inverse_transform():
    X, _ = load_digits(return_X_y=True)
    pca = PCA(5).fit(X)
    codes = pca.transform(X)[:200]
    length = perceptual_path_length(pca, codes, random_state=0)
    # Principal directions are orthonormal: decoding keeps distances.
    expected = perceptual_path_length(identity, codes, random_state=0)
    assert length == pytest.approx(expected, rel=1e-5)


def test_float32_decoders_keep_three_digits(codes):
    def decoder(z):
        return np.sin(z.astype(np.float32))

    exact = perceptual_path_length(np.sin, codes, random_state=0)
    rounded = perceptual_path_length(decoder, codes, random_state=0)
    assert rounded == pytest.approx(exact, rel=2e-3)
    drowned = perceptual_path_length(decoder, codes, epsilon=1e-8, random_state=0)
    assert drowned > 2 * exact


def test_many_codes_are_decoded_in_parts():
    sizes = []

    def decoder(z):
        sizes.append(len(z))
        return z.reshape(-1, 1, 2, 1)  # images

    codes = np.random.RandomState(0).normal(size=(3000, 2))
    length = perceptual_path_length(decoder, codes, random_state=0)
    assert max(sizes) == 1024
    assert sum(sizes) == 2 * 3000
    assert length == pytest.approx(
        perceptual_path_length(identity, codes, random_state=0)
    )


def test_the_seed_decides_and_the_global_generator_does_not(codes):
    state = np.random.get_state()[1].copy()
    length = perceptual_path_length(np.sin, codes, random_state=3)
    assert length == perceptual_path_length(np.sin, codes, random_state=3)
    assert length != perceptual_path_length(np.sin, codes, random_state=4)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    assert type(length) is float


def test_lists_and_frames_of_codes_are_taken(codes):
    length = perceptual_path_length(identity, codes, random_state=0)
    for same in (codes.tolist(), pd.DataFrame(codes)):
        assert perceptual_path_length(identity, same, random_state=0) == length


def test_one_code_needs_an_end():
    assert perceptual_path_length(
        identity, [[1.0, 0.0]], [[0.0, 1.0]]
    ) == pytest.approx((np.pi / 2) ** 2, rel=1e-6)
    with pytest.raises(ValueError, match="two codes at least, or end_codes"):
        perceptual_path_length(identity, [[1.0, 0.0]])


# errors


@pytest.mark.parametrize("decoder", [None, 3, "decoder", np.eye(2)])
def test_what_cannot_decode_raises(codes, decoder):
    with pytest.raises(TypeError, match=r"'decoder' parameter.*inverse_transform"):
        perceptual_path_length(decoder, codes)


@pytest.mark.parametrize("epsilon", [0, -1e-4, 1.5, np.nan, "small", None])
def test_steps_out_of_range_raise(codes, epsilon):
    with pytest.raises(ValueError, match="'epsilon' parameter"):
        perceptual_path_length(identity, codes, epsilon=epsilon)


@pytest.mark.parametrize("interpolation", ["slerp", None, ["linear"]])
def test_unknown_paths_raise(codes, interpolation):
    with pytest.raises(ValueError, match="'interpolation' parameter"):
        perceptual_path_length(identity, codes, interpolation=interpolation)


def test_what_is_no_distance_raises(codes):
    with pytest.raises(TypeError, match="'distance' parameter"):
        perceptual_path_length(identity, codes, distance="cosine")
    with pytest.raises(ValueError, match=r"one number for each row.*\(300,\)"):
        perceptual_path_length(identity, codes, distance=lambda F, G: (F - G) ** 2)


def test_what_is_no_feature_map_raises(codes):
    with pytest.raises(TypeError, match="'features' parameter of perceptual_path"):
        perceptual_path_length(identity, codes, features="pca")


def test_ends_of_another_shape_raise(codes):
    with pytest.raises(ValueError, match="same shape"):
        perceptual_path_length(identity, codes, codes[:-1])


def test_a_decoder_that_loses_rows_raises(codes):
    with pytest.raises(ValueError, match="made 299 rows of 300 codes"):
        perceptual_path_length(lambda z: z[1:], codes)


def test_decoded_rows_that_are_not_finite_raise(codes):
    with pytest.raises(ValueError, match="decoded rows contains NaN"):
        perceptual_path_length(lambda z: np.full_like(z, np.nan), codes)


def test_long_steps_stand_clear_of_roundings_far_from_zero():
    codes = np.random.RandomState(0).normal(size=(200, 3))

    def far(z):
        return (z + 1e4).astype(np.float32)

    true = perceptual_path_length(lambda z: z, codes, random_state=0, epsilon=1e-2)
    long = perceptual_path_length(far, codes, random_state=0, epsilon=1e-2)
    short = perceptual_path_length(far, codes, random_state=0)
    assert long == pytest.approx(true, rel=0.05)
    assert short > 2 * true
