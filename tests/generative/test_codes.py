import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.manifold import Isomap
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdeep.compose import TabularEncoder
from skdeep.generative import (
    GANSampler,
    VAESampler,
    attribute_direction,
    interpolate,
    interpolated_codes,
)
from skdeep.representation import AutoencoderTransformer

METHODS = ["linear", "spherical"]
every_method = pytest.mark.parametrize("method", METHODS)


def normal(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape)


def naive_arc(a, b, t):
    cosine = sum(u * v for u, v in zip(a, b, strict=True))
    cosine /= np.hypot.reduce(a) * np.hypot.reduce(b)
    angle = np.arccos(cosine)
    return [
        (np.sin((1 - t) * angle) * u + np.sin(t * angle) * v) / np.sin(angle)
        for u, v in zip(a, b, strict=True)
    ]


# codes


def test_worked_examples():
    line = interpolated_codes([0, 1], [2, 0], 3, method="linear")
    np.testing.assert_allclose(line, [[0, 1], [1, 0.5], [2, 0]])
    arc = interpolated_codes([0, 1], [1, 0], 4)  # 90 degrees in three steps
    expected = [[0, 1], [0.5, 3**0.5 / 2], [3**0.5 / 2, 0.5], [1, 0]]
    np.testing.assert_allclose(arc, expected, atol=1e-12)


def test_arcs_equal_the_naive_loop():
    a, b = normal(5, 3), normal(5, 3, seed=1)
    found = interpolated_codes(a, b, 6)
    assert found.shape == (6, 5, 3)
    for step, t in enumerate(np.linspace(0, 1, 6)):
        for i in range(5):
            np.testing.assert_allclose(found[step, i], naive_arc(a[i], b[i], t))


@every_method
def test_ways_start_and_end_where_they_should_and_can_be_walked_back(method):
    a, b = normal(5, 3), normal(5, 3, seed=1)
    found = interpolated_codes(a, b, 7, method=method)
    np.testing.assert_allclose(found[[0, -1]], [a, b], atol=1e-12)
    back = interpolated_codes(b, a, 7, method=method)
    np.testing.assert_allclose(back[::-1], found, atol=1e-12)


@every_method
def test_one_code_is_one_of_many(method):
    a, b = normal(5, 3), normal(5, 3, seed=1)
    many = interpolated_codes(a, b, 4, method=method)
    for i in range(5):
        one = interpolated_codes(a[i], b[i], 4, method=method)
        assert one.shape == (4, 3)
        np.testing.assert_allclose(one, many[:, i])


def test_arcs_keep_the_length_that_lines_lose():
    a, b = normal(20, 100), normal(20, 100, seed=1)
    a, b = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (a, b))
    arc, line = (
        np.linalg.norm(interpolated_codes(a, b, 9, method=method), axis=-1)
        for method in ("spherical", "linear")
    )
    np.testing.assert_allclose(arc, 1)
    assert line[4].max() < 0.8


@every_method
def test_steps_are_equal(method):
    found = interpolated_codes([0.0, 2.0], [2.0, 0.0], 9, method=method)
    steps = np.linalg.norm(np.diff(found, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([1.0, 0.0], [3.0, 0.0]),  # one direction
        ([1.0, 0.0], [-1.0, 0.0]),  # opposite: the way is not unique
        ([0.0, 0.0], [1.0, 1.0]),
        ([0.0, 0.0], [0.0, 0.0]),
        ([1.0, 1e-9], [1.0, 0.0]),
        ([1e100, 0.0], [1e100, 1.0]),
    ],
)
def test_codes_without_an_arc_are_joined_by_a_line(a, b):
    found = interpolated_codes(a, b, 5)
    expected = interpolated_codes(a, b, 5, method="linear")
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_short_arcs_are_arcs():
    for angle in np.logspace(-12, 0, 13):
        found = interpolated_codes([1, 0], [np.cos(angle), np.sin(angle)], 5)
        at = np.linspace(0, angle, 5)
        expected = np.transpose([np.cos(at), np.sin(at)])
        np.testing.assert_allclose(found, expected, rtol=1e-9)


# rows


class Doubled(BaseEstimator):
    """Codes are halves of rows, and of their class."""

    def transform(self, X, y=None):
        return np.asarray(X) / 2 + (0 if y is None else np.asarray(y).reshape(-1, 1))

    def inverse_transform(self, Z, y=None):
        return 2 * np.asarray(Z) - (0 if y is None else 2 * np.reshape(y, (-1, 1)))


def test_rows_go_through_their_codes():
    a, b = normal(5, 3), normal(5, 3, seed=1)
    found = interpolate(Doubled(), a, b, 4)
    np.testing.assert_allclose(found, 2 * interpolated_codes(a / 2, b / 2, 4))
    one = interpolate(Doubled(), a[0], b[0], 4, method="linear")
    expected = 2 * interpolated_codes(a[0] / 2, b[0] / 2, 4, method="linear")
    np.testing.assert_allclose(one, expected)


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_rows_may_be_frames_with_names(kind):
    X = np.random.RandomState(0).normal(size=(40, 3))
    frame = kind({name: X[:, i] for i, name in enumerate("abc")})
    vae = VAESampler(2, max_iter=1, random_state=0).fit(frame)
    found = interpolate(vae, frame[:2], frame[2:4], 3)
    assert found.shape == (3, 2, 3)
    # Products of six rows and of two may be rounded differently.
    rebuilt = vae.inverse_transform(vae.transform(frame[:2]))
    np.testing.assert_allclose(found[0], rebuilt, rtol=1e-4, atol=1e-6)


def test_a_row_of_a_frame_may_be_a_series():
    frame = pd.DataFrame(normal(40, 3), columns=list("abc"))
    for kinds in ({}, {"c": int}):  # a row of which holds objects
        rows = frame.astype(kinds)
        model = make_pipeline(StandardScaler(), PCA(2)).fit(rows)
        found = interpolate(model, rows.iloc[0], rows.iloc[1], 3)
        expected = interpolate(model, rows[:1], rows[1:2], 3)
        np.testing.assert_allclose(found, expected[:, 0])
    plain = PCA(2).fit(frame.to_numpy())
    found = interpolate(plain, frame.iloc[0], frame.iloc[1], 3)
    expected = interpolate(plain, *frame.to_numpy()[:2], 3)
    np.testing.assert_array_equal(found, expected)


def test_a_row_of_a_mixed_frame_may_be_a_series():
    numbers = normal(40).round(2)
    frame = pd.DataFrame(
        {
            "wage": numbers,
            "town": np.where(numbers > 0, "north", "south"),
            "hired": pd.date_range("2020", periods=40),
        }
    )
    model = make_pipeline(TabularEncoder(), PCA(3)).fit(frame)
    rows = interpolate(model, frame.iloc[0], frame.iloc[1], 3)
    assert rows[0].tolist() == frame.iloc[0].tolist()


def test_classes_go_with_their_rows():
    a, b, y = normal(5, 3), normal(5, 3, seed=1), np.arange(5.0)
    found = interpolate(Doubled(), a, b, 4, y=y, method="linear")
    expected = interpolated_codes(a, b, 4, method="linear")
    np.testing.assert_allclose(found, expected)
    one = interpolate(Doubled(), a[2], b[2], 4, y=2.0, method="linear")
    np.testing.assert_allclose(one, expected[:, 2])


@pytest.fixture(scope="module")
def data():
    return make_blobs(200, n_features=4, centers=3, random_state=0)


BRIEF = {"max_iter": 5, "batch_size": 32, "random_state": 0}


@pytest.mark.parametrize(
    "model",
    [PCA(2), AutoencoderTransformer(2, **BRIEF), VAESampler(2, beta=0.1, **BRIEF)],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.parametrize("output", ["default", "pandas"])
def test_every_model_with_codes_can_be_walked_through(model, output, data):
    X, _ = data
    model.set_output(transform=output).fit(X)
    found = interpolate(model, X[:5], X[5:10], 6)
    assert found.shape == (6, 5, 4)
    rebuilt = model.inverse_transform(np.asarray(model.transform(X[:5])))
    np.testing.assert_allclose(found[0], rebuilt, rtol=1e-4, atol=1e-4)
    assert interpolate(model, X[0], X[1], 6).shape == (6, 4)


def test_conditional_samplers_and_images_can_be_walked_through(data):
    X, y = data
    images = X.reshape(-1, 1, 2, 2)
    model = VAESampler(2, conditional=True, beta=0.1, **BRIEF).fit(images, y)
    found = interpolate(model, images[:5], images[5:10], 6, y=y[:5])
    assert found.shape == (6, 5, 4)
    one = interpolate(model, images[0], images[5], 6, y=y[0])
    np.testing.assert_allclose(one, found[:, 0], rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="pass the class"):
        interpolate(model, images[0], images[5])


# directions


def groups(n=400, seed=0):
    """Codes of which one tells the attribute, and another goes along with that one."""
    rng = np.random.RandomState(seed)
    has = rng.randint(2, size=n)
    telling = 3.0 * has + rng.randn(n)
    return np.c_[telling, telling / 3 + 0.5 * rng.randn(n), rng.randn(n)], has


def test_direction_leads_from_the_rows_without_to_those_with_the_attribute():
    Z, has = groups()
    for method in ("means", "linear"):
        v = attribute_direction(Z, has, method=method)
        assert v.shape == (3,)
        moved = Z[has == 0] + v
        gap = Z[has == 1].mean(0) - moved.mean(0)
        assert v @ gap == pytest.approx(0, abs=1e-6)


def test_direction_of_the_means_equals_the_naive_loop():
    Z, has = groups(20)
    sums, counts = np.zeros((2, 3)), np.zeros(2)
    for z, group in zip(Z, has, strict=True):
        sums[group] += z
        counts[group] += 1
    expected = sums[1] / counts[1] - sums[0] / counts[0]
    np.testing.assert_allclose(attribute_direction(Z, has), expected)


def test_linear_direction_leaves_out_what_only_goes_along():
    Z, has = groups(4000)
    means, linear = (attribute_direction(Z, has, method=m) for m in ("means", "linear"))
    assert means[1] > 0.8
    assert abs(linear[1]) < 0.2
    assert linear[0] == pytest.approx(3, abs=0.5)


def test_classes_may_be_words_and_the_last_has_the_attribute():
    Z, has = groups()
    words = np.array(["plain", "smiling"])[has]
    np.testing.assert_array_equal(
        attribute_direction(Z, words), attribute_direction(Z, has)
    )
    np.testing.assert_allclose(
        attribute_direction(Z, 1 - has), -attribute_direction(Z, has)
    )


@pytest.mark.parametrize("method", ["means", "linear"])
def test_codes_that_are_all_alike_have_no_direction(method):
    v = attribute_direction(np.ones((10, 2)), [0, 1] * 5, method=method)
    assert v.tolist() == [0, 0]


def test_attribute_changes_in_decoded_rows(data):
    X, y = data
    X, y = X[y < 2], y[y < 2]
    model = PCA(3).fit(X)
    Z = model.transform(X)
    moved = model.inverse_transform(Z[y == 0] + attribute_direction(Z, y))
    np.testing.assert_allclose(moved.mean(0), X[y == 1].mean(0), atol=0.3)


def test_sparse_rows_are_walked_between_as_dense_ones_are():
    X = normal(20, 3).clip(0)
    model = PCA(2).fit(sparse.csr_matrix(X))
    dense = interpolate(model, X[:2], X[5:7], 3)
    found = interpolate(model, sparse.csr_matrix(X[:2]), sparse.csr_matrix(X[5:7]), 3)
    np.testing.assert_allclose(found, dense)
    assert interpolate(model, *map(sparse.coo_array, X[:2]), 3).shape == (3, 3)


# errors


def test_absurd_arguments_are_refused_by_name():
    Z, has = groups(20)
    with pytest.raises(
        ValueError, match="The 'method' parameter of interpolated_codes"
    ):
        interpolated_codes(Z, Z, method="straight")
    with pytest.raises(ValueError, match="The 'method' parameter of interpolate "):
        interpolate(Doubled(), Z, Z, method="straight")
    with pytest.raises(ValueError, match="The 'method' parameter of attribute_dir"):
        attribute_direction(Z, has, method="median")
    with pytest.raises(ValueError, match="n_steps == 1, must be >= 2"):
        interpolated_codes(Z, Z, 1)
    with pytest.raises(ValueError, match=r"Got the shapes \(20, 3\) and \(3,\)"):
        interpolated_codes(Z, Z[0])
    with pytest.raises(ValueError, match=r"two classes.*Got 20: \[0, 1, 2, 3, 4\]"):
        attribute_direction(Z, np.arange(20))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        attribute_direction(Z, has[:5])


def test_models_without_codes_or_decoder_are_refused():
    with pytest.raises(TypeError, match=r"transform, and GANS.* by interpolated_codes"):
        interpolate(GANSampler(), np.eye(3), np.eye(3))
    with pytest.raises(TypeError, match=r"inverse_transform, and Isomap has none: it"):
        interpolate(Isomap(), np.eye(3), np.eye(3))


@pytest.mark.parametrize(
    ("y", "text"),
    [
        ([0.0, 1.0, np.nan], "Input y contains NaN"),
        (["plain", "smiling", None], "Input y contains missing cells"),
        (pd.Series(["plain", "smiling", pd.NA], dtype="string"), "missing cells"),
        (pd.Series([0, 1, pd.NA], dtype="Int64"), "Input y contains NaN"),
        (pl.Series(["plain", None, "smiling"]), "missing cells"),
    ],
    ids=["nan", "none", "string", "Int64", "polars"],
)
def test_rows_without_a_class_have_no_direction(y, text):
    with pytest.raises(ValueError, match=text):
        attribute_direction(np.eye(3), y)
