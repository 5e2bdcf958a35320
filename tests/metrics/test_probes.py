import pickle
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.random_projection import GaussianRandomProjection

from skdeep.metrics import knn_probe, linear_probe

every_probe = pytest.mark.parametrize("probe", [linear_probe, knn_probe])

IDENTITY = FunctionTransformer()


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return SimpleNamespace(X=X[:600], y=y[:600])


@pytest.fixture(scope="module")
def iris():
    return SimpleNamespace(**dict(zip("Xy", load_iris(return_X_y=True), strict=True)))


class Oracle(TransformerMixin, BaseEstimator):
    """Knows the class, which is the first column; before its first epoch it is noise.

    Keeps a list, shared by all clones, of what each fit has seen.
    """

    fits: list

    def __init__(self, max_iter=3):
        self.max_iter = max_iter

    def fit(self, X, y=None):
        self.fits.append((np.asarray(X), y, self.max_iter))
        self.fitted_ = True
        return self

    def transform(self, X):
        X = np.asarray(X, dtype=float)
        if self.max_iter == 0:
            return np.random.RandomState(len(X)).normal(size=(len(X), 3))
        return np.eye(3)[X[:, 0].astype(int)]


class Trained(Oracle):
    """Refuses to be left untrained."""

    def fit(self, X, y=None):
        if self.max_iter == 0:
            raise ValueError("The 'max_iter' parameter must be positive.")
        return super().fit(X, y)


@pytest.fixture
def classes():
    """Rows of which the first column is the class, all others noise."""
    Oracle.fits = []
    y = np.arange(150) % 3
    noise = np.random.RandomState(0).normal(size=(150, 5))
    return SimpleNamespace(X=np.column_stack([y, noise]), y=y)


# accuracies


@every_probe
def test_probe_of_the_classes_themselves_is_perfect(probe, classes):
    scores = probe(Oracle(), classes.X, classes.y, n_repeats=2, random_state=0)
    assert scores["encoder"] == {5: 1.0, 10: 1.0, "all": 1.0}


@every_probe
def test_probe_of_noise_is_chance(probe):
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(2000, 4)), np.arange(2000) % 4
    scores = probe(None, X, y, random_state=0)
    for accuracy in scores["raw"].values():
        assert abs(accuracy - 0.25) < 0.06


@every_probe
def test_raw_rows_are_the_better_one_of_two_simple_encoders(probe, digits):
    options = dict(n_repeats=3, random_state=0)
    scores = probe(IDENTITY, digits.X, digits.y, **options)
    standard = probe(StandardScaler(), digits.X, digits.y, **options)
    both = scores["encoder"], standard["encoder"]
    assert both[0] != both[1]
    assert scores["raw"] == max(both, key=lambda row: sum(row.values()))
    assert scores["raw"] == standard["raw"]
    assert probe(None, digits.X, digits.y, **options) == {"raw": scores["raw"]}


def test_linear_probe_is_logistic_regression_after_one_factor(digits):
    scores = linear_probe(None, digits.X, digits.y, n_labels=("all",), random_state=0)
    X, X_test, y, y_test = train_test_split(
        digits.X,
        digits.y,
        test_size=0.25,
        stratify=digits.y,
        random_state=np.random.RandomState(0),
    )
    scale = np.sqrt(X.var(axis=0).mean())
    classifier = LogisticRegression(max_iter=2000).fit(X / scale, y)
    expected = classifier.score(X_test / scale, y_test)
    assert scores["raw"]["all"] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_knn_probe_is_the_vote_of_the_nearest_labelled_rows(metric, digits):
    scores = knn_probe(
        FunctionTransformer(lambda X: X + 1),
        digits.X,
        digits.y,
        n_neighbors=3,
        metric=metric,
        n_labels=("all",),
        baselines=(),
        random_state=0,
    )
    X, X_test, y, y_test = train_test_split(
        digits.X + 1,
        digits.y,
        test_size=0.25,
        stratify=digits.y,
        random_state=np.random.RandomState(0),
    )
    classifier = KNeighborsClassifier(3, metric=metric).fit(X, y)
    assert scores == {"encoder": {"all": classifier.score(X_test, y_test)}}


@every_probe
def test_more_labels_help(probe, digits):
    row = probe(None, digits.X, digits.y, n_labels=(1, 5, "all"), random_state=0)["raw"]
    assert row[1] < row[5] < row["all"]


def test_regularisation_matters(digits):
    weak, strong = (
        linear_probe(None, digits.X, digits.y, n_labels=(5,), C=C, random_state=0)
        for C in (1.0, 1e-6)
    )
    assert weak["raw"][5] != strong["raw"][5]


@every_probe
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_magnitude_of_a_representation_does_not_matter(probe, factor, digits):
    n_labels, baselines = (5, "all"), ()
    plain, scaled = (
        probe(
            FunctionTransformer(lambda X, f=f: f * X),
            digits.X,
            digits.y,
            n_labels=n_labels,
            baselines=baselines,
            n_repeats=3,
            random_state=0,
        )["encoder"]
        for f in (1.0, factor)
    )
    assert plain == pytest.approx(scaled, abs=0.01)


@every_probe
def test_a_constant_representation_gives_the_share_of_a_class(probe, iris):
    encoder = FunctionTransformer(lambda X: np.full((len(X), 2), 0.1))
    scores = probe(encoder, iris.X, iris.y, baselines=(), random_state=0)
    for accuracy in scores["encoder"].values():
        assert accuracy == pytest.approx(1 / 3, abs=0.02)


# rivals


@every_probe
def test_components_are_as_many_as_the_outputs_of_the_encoder(probe, digits):
    scores = probe(PCA(3), digits.X, digits.y, n_repeats=3, random_state=0)
    assert list(scores) == ["encoder", "raw", "pca"]
    # The better of the two scalings is at least the one of the encoder.
    for n in (5, 10, "all"):
        assert scores["pca"][n] == pytest.approx(scores["encoder"][n], abs=0.1)
        assert scores["pca"][n] < scores["raw"][n]


@every_probe
def test_components_are_those_of_the_training_rows(probe):
    y = np.arange(200) % 2
    _, held_out = train_test_split(
        np.arange(200),
        test_size=0.25,
        stratify=y,
        random_state=np.random.RandomState(0),
    )
    # A column that varies only where nothing may be learned.
    X = np.column_stack([y + 0.01 * np.arange(200) / 200, np.zeros(200)])
    X[held_out, 1] = np.random.RandomState(0).normal(scale=100, size=50)
    encoder = FunctionTransformer(lambda X: X[:, :1])
    scores = probe(encoder, X, y, n_labels=("all",), random_state=0)
    assert scores["pca"]["all"] == 1.0


@every_probe
def test_rivals_do_not_lose_by_a_matter_of_units(probe, iris):
    units = iris.X * [1, 1, 1e-4, 1e-4]
    for name in ("raw", "pca"):
        scores = probe(IDENTITY, units, iris.y, n_labels=(10,), random_state=0)
        assert scores[name][10] > 0.85
    assert scores["encoder"][10] < 0.75


@every_probe
def test_untrained_encoder_is_a_rival(probe, classes):
    scores = probe(Oracle(), classes.X, classes.y, n_repeats=2, random_state=0)
    assert list(scores) == ["encoder", "raw", "pca", "random"]
    assert scores["random"]["all"] < 0.7
    assert [max_iter for *_, max_iter in Oracle.fits] == [3, 0]


def test_untrained_last_step_of_a_pipeline_is_a_rival(classes):
    encoder = make_pipeline(IDENTITY, Oracle())
    assert "random" in linear_probe(
        encoder, classes.X, classes.y, n_repeats=2, random_state=0
    )


def test_untrained_clone_of_a_frozen_encoder_is_a_rival(classes):
    encoder = FrozenEstimator(Oracle().fit(classes.X))
    scores = linear_probe(encoder, classes.X, classes.y, n_repeats=2, random_state=0)
    assert scores["random"]["all"] < scores["encoder"]["all"]


@pytest.mark.parametrize("encoder", [Trained(), PCA(2)])
def test_an_encoder_that_must_be_trained_has_no_untrained_rival(encoder, classes):
    scores = linear_probe(encoder, classes.X, classes.y, n_repeats=2, random_state=0)
    assert list(scores) == ["encoder", "raw", "pca"]


def test_only_the_rivals_asked_for_are_probed(classes):
    scores = linear_probe(
        Oracle(), classes.X, classes.y, baselines=("pca",), random_state=0
    )
    assert list(scores) == ["encoder", "pca"]
    assert len(Oracle.fits) == 1


def test_rivals_of_a_pipeline_see_the_rows_of_its_last_step(classes):
    frame = pd.DataFrame({"letter": np.array(list("abc"))[classes.y]})
    frame["noise"] = classes.X[:, 1]
    encode = make_column_transformer(
        (OneHotEncoder(), ["letter"]), (StandardScaler(), ["noise"])
    )
    scores = linear_probe(
        make_pipeline(encode, PCA(1)), frame, classes.y, n_repeats=2, random_state=0
    )
    assert scores["raw"]["all"] == 1.0
    assert scores["encoder"]["all"] < 1.0


# what is fitted, on what


def test_encoder_is_fitted_once_on_the_training_rows_without_labels(classes):
    encoder = Oracle()
    linear_probe(encoder, classes.X, classes.y, baselines=(), random_state=0)
    assert not hasattr(encoder, "fitted_")
    ((rows, labels, _),) = Oracle.fits
    assert labels is None
    assert len(rows) == 112
    assert np.ptp(np.bincount(rows[:, 0].astype(int))) <= 1


def test_a_fitted_encoder_is_fitted_anew_and_a_frozen_one_is_not(classes):
    encoder = Oracle().fit(classes.X)
    linear_probe(encoder, classes.X, classes.y, baselines=(), random_state=0)
    assert len(Oracle.fits) == 2
    frozen = FrozenEstimator(encoder)
    scores = linear_probe(frozen, classes.X, classes.y, baselines=(), random_state=0)
    assert len(Oracle.fits) == 2
    assert scores["encoder"]["all"] == 1.0


@every_probe
def test_the_same_seed_gives_the_same_scores(probe, digits):
    encoder = GaussianRandomProjection(4, random_state=0)
    before = np.random.get_state()[1].copy()
    first, second, other = (
        probe(encoder, digits.X, digits.y, n_repeats=2, random_state=seed)
        for seed in (0, np.random.RandomState(0), 1)
    )
    assert first == second != other
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@every_probe
def test_the_same_seed_gives_every_encoder_the_same_rows_and_labels(probe, digits):
    first, second = (
        probe(encoder, digits.X, digits.y, n_repeats=2, random_state=0)
        for encoder in (PCA(2), GaussianRandomProjection(5, random_state=3))
    )
    assert first["raw"] == second["raw"]


def test_encoders_are_left_as_they_are(digits):
    encoder = PCA(2).fit(digits.X)
    before = pickle.dumps(encoder)
    linear_probe(encoder, digits.X, digits.y, n_labels=(5,), n_repeats=1)
    assert pickle.dumps(encoder) == before


# labels


def test_small_classes_give_all_the_labels_they_have():
    y = np.array([0] * 90 + [1] * 4)
    X = y[:, np.newaxis] + np.linspace(0, 0.1, len(y))[:, np.newaxis]
    scores = knn_probe(None, X, y, n_neighbors=1, n_labels=(10,), random_state=0)
    assert scores["raw"][10] == 1.0


@every_probe
def test_labels_may_be_strings(probe, iris):
    names = np.array(["setosa", "versicolor", "virginica"])[iris.y]
    options = dict(n_repeats=2, random_state=0)
    assert probe(None, iris.X, names, **options) == probe(
        None, iris.X, iris.y, **options
    )


def test_neighbors_are_at_most_the_labelled_rows_of_a_class(iris):
    options = dict(n_labels=(1, 2), random_state=0)
    scores = knn_probe(None, iris.X, iris.y, n_neighbors=50, **options)["raw"]
    assert min(scores.values()) > 0.8
    # Two neighbours of two classes are a tie, which the nearest one decides.
    nearest = knn_probe(None, iris.X, iris.y, n_neighbors=1, **options)["raw"]
    assert scores == pytest.approx(nearest, abs=0.01)


# input


@every_probe
def test_images_are_rows(probe, digits):
    def halved(X):
        return X[:, :, ::2, ::2]

    images = digits.X.reshape(-1, 1, 8, 8)
    options = dict(n_labels=(5,), n_repeats=2, random_state=0)
    scores = probe(FunctionTransformer(halved), images, digits.y, **options)
    assert scores["raw"] == probe(None, digits.X, digits.y, **options)["raw"]
    assert 0.3 < scores["encoder"][5] < 1.0


@every_probe
def test_data_frames_and_lists_are_arrays(probe, iris):
    frame = pd.DataFrame(iris.X, columns=list("abcd"))
    encoder = PCA(2).set_output(transform="pandas")
    options = dict(n_labels=(5,), n_repeats=2, random_state=0)
    expected = probe(PCA(2), iris.X, iris.y, **options)
    assert probe(encoder, frame, pd.Series(iris.y), **options) == expected
    assert probe(PCA(2), iris.X.tolist(), iris.y.tolist(), **options) == expected


@every_probe
def test_sparse_rows_score_as_dense_ones(probe, digits):
    options = dict(n_labels=(5, "all"), n_repeats=2, random_state=0)
    encoder = GaussianRandomProjection(5, random_state=0)
    dense = probe(encoder, digits.X, digits.y, **options)
    found = probe(encoder, sparse.csr_array(digits.X), digits.y, **options)
    for name, row in dense.items():
        assert found[name] == pytest.approx(row, abs=0.05), name


@every_probe
@pytest.mark.parametrize("output", ["pandas", "polars"])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_scores_do_not_depend_on_what_transformers_return(probe, output, kind, iris):
    options = dict(n_labels=(5,), n_repeats=2, random_state=0)

    def scores():
        return probe(None, kind(iris.X), iris.y, **options)

    expected = scores()
    with config_context(transform_output=output):
        assert scores() == expected
        assert probe(PCA(2), iris.X, iris.y, **options)


@every_probe
def test_encoders_may_be_wider_than_the_input(probe, iris):
    encoder = GaussianRandomProjection(10, random_state=0)
    with pytest.warns(UserWarning, match="number of components is higher"):
        scores = probe(encoder, iris.X, iris.y, n_repeats=2, random_state=0)
    assert scores["pca"]["all"] > 0.8
    wide = FunctionTransformer(lambda X: sparse.hstack([X, X], format="csr"))
    scores = probe(wide, sparse.csr_array(iris.X), iris.y, n_repeats=2, random_state=0)
    assert scores["pca"]["all"] > 0.8


# the table


@pytest.fixture(scope="module")
def scores(iris):
    return linear_probe(PCA(1), iris.X, iris.y, n_repeats=4, random_state=0)


def test_scores_are_the_means_of_the_draws(scores):
    assert list(scores.draws) == list(scores)
    for name, row in scores.items():
        assert list(row) == [5, 10, "all"]
        for n, accuracy in row.items():
            draws = scores.draws[name][n]
            assert type(accuracy) is float
            assert draws.shape == ((1,) if n == "all" else (4,))
            assert accuracy == draws.mean()
    assert scores.draws["raw"][5].std() > 0


def test_scores_print_as_a_table(scores):
    lines = repr(scores).splitlines()
    assert lines[0].split() == ["labels", "a", "class", "5", "10", "all"]
    assert [line.split()[0] for line in lines[1:]] == ["encoder", "raw", "pca"]
    accuracy = scores.draws["raw"][5]
    assert f"{accuracy.mean():.3f} ± {accuracy.std():.3f}" in lines[2]
    assert lines[2].endswith(f" {scores['raw']['all']:.3f}")
    assert len({len(line) for line in lines}) == 1


def test_scores_become_a_data_frame(scores):
    frame = pd.DataFrame(scores).T
    assert list(frame.index) == ["encoder", "raw", "pca"]
    assert list(frame.columns) == [5, 10, "all"]
    assert frame.loc["raw", 5] == scores["raw"][5]


def test_scores_survive_pickling(scores):
    found = pickle.loads(pickle.dumps(scores))
    assert found == scores
    assert repr(found) == repr(scores)


# errors


@every_probe
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_labels", (0,)),
        ("n_labels", (2.5,)),
        ("n_labels", (None,)),
        ("n_labels", "all"),
        ("n_labels", 5),
        ("n_labels", ()),
        ("baselines", ("umap",)),
        ("baselines", "raw"),
        ("n_repeats", 0),
        ("n_repeats", 1.5),
        ("test_size", 2.0),
        ("test_size", 40),
    ],
)
def test_an_argument_out_of_range_raises(probe, name, value, iris):
    with pytest.raises(ValueError, match=f"'{name}' parameter of .* Got"):
        probe(None, iris.X, iris.y, **{name: value})


@pytest.mark.parametrize("C", [0, -1.0, np.inf, np.nan, "1"])
def test_an_impossible_regularisation_raises(C, iris):
    with pytest.raises(ValueError, match=r"'C' parameter of linear_probe .* Got"):
        linear_probe(None, iris.X, iris.y, C=C)


@pytest.mark.parametrize(
    ("name", "value"), [("n_neighbors", 0), ("n_neighbors", 2.5), ("metric", "l7")]
)
def test_impossible_neighbors_raise(name, value, iris):
    with pytest.raises(ValueError, match=f"'{name}' parameter of knn_probe .* Got"):
        knn_probe(None, iris.X, iris.y, **{name: value})


@every_probe
@pytest.mark.parametrize("encoder", ["pca", LogisticRegression(), 3])
def test_anything_but_a_transformer_raises(probe, encoder, iris):
    with pytest.raises(TypeError, match=r"'encoder' .* 'fit' and 'transform'"):
        probe(encoder, iris.X, iris.y)


@every_probe
def test_what_an_encoder_refuses_is_said_of_the_encoder(probe, iris):
    with pytest.raises(ValueError, match="'n_components' parameter of PCA"):
        probe(PCA(-1), iris.X, iris.y)


@every_probe
def test_labels_that_are_no_classes_raise(probe, iris):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        probe(None, iris.X, iris.y[1:])
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        probe(None, iris.X, iris.X[:, 0])
    with pytest.raises(ValueError, match=r"two classes at least\. Got one: 0"):
        probe(None, iris.X, 0 * iris.y)
    with pytest.raises(ValueError, match="only 1 member"):
        probe(None, iris.X, np.r_[7, iris.y[1:]])
    with pytest.raises(ValueError, match="y should be a 1d array"):
        probe(None, iris.X, iris.X)


@every_probe
def test_rows_that_are_no_numbers_raise(probe, iris):
    X = iris.X.copy()
    X[3, 1] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        probe(None, X, iris.y)
    encoder = FunctionTransformer(lambda X: X / 0.0 if len(X) else X)
    with (
        np.errstate(all="ignore"),
        pytest.raises(ValueError, match=r"Input encoder.transform\(X\) contains"),
    ):
        probe(encoder, iris.X, iris.y)


def test_errors_of_an_untrained_encoder_that_are_its_own_are_raised(classes):
    class Broken(Oracle):
        def fit(self, X, y=None):
            if self.max_iter == 0:
                raise ValueError("no weights")
            return super().fit(X, y)

    with pytest.raises(ValueError, match="no weights"):
        linear_probe(Broken(), classes.X, classes.y)


@every_probe
def test_clusterers_with_an_embedding_are_encoders(probe, iris):
    encoder = clone(KMeans(4, n_init=1, random_state=0))
    scores = probe(encoder, iris.X, iris.y, n_repeats=2, random_state=0)
    assert scores["encoder"]["all"] > 0.8
    assert "random" not in scores


@every_probe
def test_classes_may_be_of_several_types_and_none_may_be_missing(probe, iris):
    named = np.array(["zero", 1, 2], dtype=object)[iris.y]
    scores = probe(None, iris.X, named, n_labels=(5,), n_repeats=1, random_state=0)
    expected = probe(None, iris.X, iris.y, n_labels=(5,), n_repeats=1, random_state=0)
    assert scores["raw"][5] == pytest.approx(expected["raw"][5], abs=0.1)
    with pytest.raises(ValueError, match=f"{probe.__name__} needs the .* missing"):
        probe(None, iris.X, np.where(iris.y == 0, None, iris.y))
