"""Pipelines that draw rows in the columns and units of what they were fitted on."""

import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import skops.io
import torch
from scipy import stats
from scipy.special import expit, logit
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.compose import make_column_transformer
from sklearn.covariance import EmpiricalCovariance
from sklearn.decomposition import PCA, KernelPCA
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.utils.estimator_checks import check_estimator

from skdeep import DiffusionSampler, FlowSampler, VAESampler
from skdeep.compose import SamplerPipeline, TabularEncoder, make_sampler_pipeline
from skdeep.compose._jacobians import log_stretches
from tests.estimators import PIPELINES

rng = np.random.RandomState(0)
X = rng.randn(80, 2) @ [[2, 0.5], [0, 30]] + [1, 100]
y = np.arange(80) % 3
GAMMA = np.random.RandomState(1).gamma(2, 1, size=(200, 1))
FRAME = pd.DataFrame({"a": X[:, 0], "b": X[:, 1].round().astype(int)})


class ClassGaussians(BaseEstimator):
    """A conditional sampler in closed form: rows are N(class, 1)."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.n_features_in_ = X.shape[1]
        return self

    def sample(self, n_samples=1, *, y=None, random_state=None):
        noise = np.random.RandomState(random_state).randn(n_samples, 2)
        return (noise + np.reshape(y, (-1, 1))).astype(np.float32)

    def transform(self, X, y=None):
        return X - np.reshape(y, (-1, 1))

    def inverse_transform(self, X, y=None):
        return X + np.reshape(y, (-1, 1))

    def score_samples(self, X, y=None):
        center = 0 if y is None else np.reshape(y, (-1, 1))
        return stats.norm.logpdf(X - center).sum(1)


class Shift(BaseEstimator):
    """A sampler with codes."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def sample(self, n_samples=1):
        return np.ones((n_samples, 2))

    def transform(self, X):
        return X - 1

    def inverse_transform(self, X):
        return X + 1


class Scored(BaseEstimator):
    """A sampler that has a score but no density."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def sample(self, n_samples=1):
        return np.zeros((n_samples, 2))

    def score(self, X, y=None):
        return -float(np.abs(X).mean())


# scikit-learn's contract


@pytest.mark.filterwarnings("ignore")  # the checks feed bad data on purpose
@pytest.mark.parametrize("pipeline", PIPELINES, ids=lambda p: p.steps[-1][0])
def test_scikit_learn_checks_pass_that_a_plain_pipeline_passes(pipeline):
    results = check_estimator(pipeline, on_fail=None, on_skip=None)
    assert len(results) >= 35
    failed = {r["check_name"] for r in results if r["status"] == "failed"}
    plain = check_estimator(Pipeline(pipeline.steps), on_fail=None, on_skip=None)
    assert failed == {r["check_name"] for r in plain if r["status"] == "failed"}
    # A fitted pipeline keeps its steps, fitted, in a parameter.
    changed = {"check_dont_overwrite_parameters", "check_estimators_overwrite_params"}
    assert changed <= failed


@pytest.mark.parametrize("steps", [[], 1, "abc", ["abc"], [("a", "b", "c")], None])
def test_malformed_steps_are_refused_as_by_a_plain_pipeline(steps):
    pipeline = SamplerPipeline(steps)
    assert not hasattr(pipeline, "sample")
    assert not hasattr(pipeline, "score_samples")
    with pytest.raises(Exception) as expected:  # noqa: PT011
        Pipeline(steps).fit(X)
    with pytest.raises(type(expected.value)) as found:
        pipeline.fit(X)
    text = str(expected.value).replace(" of Pipeline", " of SamplerPipeline")
    assert str(found.value) == text


def test_parameters_of_steps_are_reached_by_name():
    pipeline = make_sampler_pipeline(StandardScaler(), KernelDensity(bandwidth=2.0))
    assert pipeline.get_params()["kerneldensity__bandwidth"] == 2
    pipeline.set_params(kerneldensity__bandwidth=0.5, standardscaler="passthrough")
    assert pipeline[-1].bandwidth == 0.5
    copied = clone(pipeline)
    assert type(copied) is SamplerPipeline
    assert copied.get_params()["kerneldensity__bandwidth"] == 0.5


def test_function_passes_its_arguments_on(tmp_path):
    pipeline = make_sampler_pipeline(
        PCA(), PCA(), KernelDensity(), memory=str(tmp_path), verbose=True
    )
    assert list(pipeline.named_steps) == ["pca-1", "pca-2", "kerneldensity"]
    assert pipeline.memory == str(tmp_path)
    assert pipeline.verbose is True
    assert make_sampler_pipeline(PCA(), transform_input=["y"]).transform_input == ["y"]


def test_slices_with_the_sampler_sample_and_others_are_plain_pipelines():
    pipeline = make_sampler_pipeline(StandardScaler(), PCA(), KernelDensity()).fit(X)
    scaled = pipeline[1:].sample(500, random_state=0)
    assert np.abs(scaled.mean(0)).max() < 0.3
    assert type(pipeline[:-1]) is Pipeline
    assert pipeline[:-1].fit(X).transform(X).shape == X.shape
    assert not hasattr(pipeline[:-1], "sample")
    assert pipeline["pca"] is pipeline[1]
    assert len(pipeline) == 3


def test_search_over_the_sampler_ranks_densities_of_the_input():
    pipeline = SamplerPipeline([("scaler", None), ("sampler", KernelDensity())])
    grid = {
        "scaler": [StandardScaler(), MinMaxScaler(), "passthrough"],
        "sampler__bandwidth": [0.03, 0.3, 3.0],
    }
    search = GridSearchCV(pipeline, grid, cv=3).fit(FRAME)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    # Without the Jacobians the scale of MinMaxScaler would always win.
    assert isinstance(search.best_params_["scaler"], StandardScaler)
    assert search.best_score_ == search.cv_results_["mean_test_score"].max()
    drawn = search.best_estimator_.sample(3, random_state=0)
    pd.testing.assert_series_equal(drawn.dtypes, FRAME.dtypes)
    assert search.score(FRAME) == search.best_estimator_.score(FRAME)


def test_memory_keeps_the_transformers(tmp_path):
    def fitted(memory):
        pipeline = make_sampler_pipeline(
            PCA(), GaussianMixture(2, random_state=0), memory=memory
        )
        return pipeline.fit(FRAME)

    memory = joblib.Memory(tmp_path, verbose=0)
    first, second, plain = fitted(memory), fitted(memory), fitted(None)
    assert first["pca"] is not second["pca"]
    expected = plain.sample(5, random_state=0)
    pd.testing.assert_frame_equal(first.sample(5, random_state=0), expected)
    pd.testing.assert_frame_equal(second.sample(5, random_state=0), expected)


def test_callbacks_see_the_steps_and_change_nothing():
    names = []

    class Names:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            names.append("teardown")

        def on_fit_task_begin(self, estimator, context):
            names.append(context.task_name)

        def on_fit_task_end(self, estimator, context):
            pass

    plain = make_sampler_pipeline(StandardScaler(), KernelDensity()).fit(X)
    watched = clone(plain).set_callbacks(Names()).fit(X)
    tasks = ["fit", "fit-transform-standardscaler", "fit-final-estimator", "teardown"]
    assert names == tasks
    np.testing.assert_array_equal(
        plain.sample(random_state=0), watched.sample(random_state=0)
    )


def test_output_of_steps_may_be_frames():
    pipeline = make_sampler_pipeline(StandardScaler(), PCA(), KernelDensity())
    expected = clone(pipeline).fit(FRAME)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline.set_output(transform="pandas").fit(FRAME)
        drawn = pipeline.sample(4, random_state=0)
        scores = pipeline.score_samples(FRAME)
    pd.testing.assert_frame_equal(drawn, expected.sample(4, random_state=0))
    np.testing.assert_allclose(scores, expected.score_samples(FRAME))


def test_metadata_is_routed_to_steps():
    weights = np.arange(80.0)
    pipeline = make_sampler_pipeline(StandardScaler(), KernelDensity())
    pipeline.fit(X, kerneldensity__sample_weight=weights + 1)
    with config_context(enable_metadata_routing=True):
        routed = make_sampler_pipeline(
            StandardScaler().set_fit_request(sample_weight=False),
            KernelDensity().set_fit_request(sample_weight=True),
        ).fit(X, sample_weight=weights + 1)
        assert routed.score(X) == pytest.approx(pipeline.score(X))
    assert routed.score(X) != pytest.approx(
        make_sampler_pipeline(StandardScaler(), KernelDensity()).fit(X).score(X)
    )


@pytest.mark.parametrize("kind", ["pickle", "skops"])
def test_copies_sample_and_score_the_same(kind):
    model = make_sampler_pipeline(
        PCA(whiten=True), GaussianMixture(2, random_state=0)
    ).fit(FRAME)
    if kind == "pickle":
        copied = pickle.loads(pickle.dumps(model))
    else:
        data = skops.io.dumps(model)
        untrusted = skops.io.get_untrusted_types(data=data)
        assert all(name.startswith("skdeep.compose.") for name in untrusted)
        copied = skops.io.loads(data, trusted=untrusted)
    pd.testing.assert_frame_equal(
        copied.sample(6, random_state=1), model.sample(6, random_state=1)
    )
    np.testing.assert_array_equal(
        copied.score_samples(FRAME), model.score_samples(FRAME)
    )


@pytest.mark.parametrize(
    ("method", "arguments"), [("sample", ()), ("score_samples", (X,)), ("score", (X,))]
)
def test_unfitted_methods_say_so(method, arguments):
    pipeline = make_sampler_pipeline(StandardScaler(), KernelDensity())
    with pytest.raises(NotFittedError):
        getattr(pipeline, method)(*arguments)


def test_refit_forgets_the_columns():
    pipeline = make_sampler_pipeline(StandardScaler(), KernelDensity())
    assert isinstance(pipeline.fit(FRAME).sample(), pd.DataFrame)
    assert isinstance(pipeline.fit(X).sample(), np.ndarray)
    assert pipeline.fit(X.tolist()).format_ is None
    assert pipeline.sample(3).dtype == np.float64


@pytest.mark.parametrize("method", ["fit", "fit_transform", "fit_predict"])
def test_refit_that_fails_leaves_no_pipeline_of_two_fits(method):
    sampler = Shift() if method == "fit_transform" else GaussianMixture()
    model = make_sampler_pipeline(MinMaxScaler(), sampler).fit(X)
    with pytest.raises(TypeError, match="strange"):
        getattr(model, method)(X * 9, **{f"{model.steps[-1][0]}__strange": 1})
    with pytest.raises(NotFittedError):
        pickle.loads(pickle.dumps(model)).sample()
    with pytest.raises(NotFittedError):
        model.score_samples(X) if hasattr(model, "score_samples") else model.transform(
            X
        )
    assert len(model.fit(X).sample(3)) == 3


def test_pipeline_of_fitted_steps_samples_arrays():
    fitted = make_pipeline(StandardScaler(), KernelDensity()).fit(FRAME)
    pipeline = SamplerPipeline(fitted.steps)
    assert pipeline.sample(3, random_state=0).shape == (3, 2)


# sampling


SAMPLERS = [
    KernelDensity(bandwidth=0.3),
    GaussianMixture(2, random_state=3),
    BayesianGaussianMixture(n_components=2, max_iter=1000, random_state=3),
    FrozenEstimator(
        GaussianMixture(2, random_state=3).fit(
            StandardScaler().fit_transform(FRAME.values)
        )
    ),
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_samples_have_the_columns_types_and_spread_of_the_input(sampler):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = make_sampler_pipeline(StandardScaler(), sampler).fit(FRAME)
        drawn = model.sample(4000, random_state=0)
    pd.testing.assert_series_equal(drawn.dtypes, FRAME.dtypes)
    np.testing.assert_allclose((drawn - FRAME.mean()).mean() / FRAME.std(), 0, atol=0.1)
    np.testing.assert_allclose(drawn.std(), FRAME.std(), rtol=0.15)
    np.testing.assert_allclose(drawn.corr(), FRAME.corr(), atol=0.1)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_seeds_repeat_and_generators_advance(sampler):
    model = make_sampler_pipeline(StandardScaler(), sampler).fit(FRAME.values)
    first = model.sample(9, random_state=5)
    np.testing.assert_array_equal(first, model.sample(9, random_state=5))
    assert not np.array_equal(first, model.sample(9, random_state=6))
    generator = np.random.RandomState(5)
    np.testing.assert_array_equal(first, model.sample(9, random_state=generator))
    assert not np.array_equal(first, model.sample(9, random_state=generator))
    before = joblib.hash(np.random.get_state())
    assert not np.array_equal(model.sample(9), model.sample(9))
    assert joblib.hash(np.random.get_state()) != before


def test_rows_of_a_mixture_are_not_in_the_order_of_its_components():
    apart = np.concatenate([X[:40], X[40:] + 1000])
    mixture = GaussianMixture(2, random_state=0)
    model = make_sampler_pipeline(StandardScaler(), mixture).fit(apart)
    drawn = model.sample(200, random_state=0)
    far = drawn[:, 0] > 500
    assert 30 < far[:100].sum() < 70
    rows, _ = mixture.set_params(random_state=0).sample(200)
    expected = model[0].inverse_transform(rows)
    np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(expected, axis=0))


def test_drawing_leaves_the_sampler_as_it_is():
    generator = np.random.RandomState(0)
    sampler = GaussianMixture(2, random_state=generator)
    model = make_sampler_pipeline(StandardScaler(), sampler).fit(X)
    before = joblib.hash(vars(model[-1]))
    model.sample(5, random_state=1)
    model.score_samples(X)
    assert joblib.hash(vars(model[-1])) == before
    assert model[-1].random_state is generator


def test_polars_frames_come_back_as_polars():
    frame = pl.DataFrame({"a": X[:, 0], "b": FRAME["b"].to_numpy()})
    drawn = make_sampler_pipeline(RobustScaler(), KernelDensity()).fit(frame).sample(5)
    assert drawn.schema == frame.schema
    assert drawn.shape == (5, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint8])
def test_arrays_come_back_in_their_type(dtype):
    given = np.abs(X).astype(dtype)
    drawn = (
        make_sampler_pipeline(StandardScaler(), KernelDensity()).fit(given).sample(50)
    )
    assert drawn.dtype == dtype
    assert drawn.shape == (50, 2)


@pytest.mark.parametrize("dispatch", [False, True])
@pytest.mark.parametrize("encoder", [StandardScaler(), TabularEncoder()])
def test_tensors_are_read_as_arrays(encoder, dispatch, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    given = torch.tensor(X, dtype=torch.bfloat16, requires_grad=True)
    rows = given.detach().float().numpy()
    sampler = FlowSampler(
        n_couplings=2, max_iter=1, conditional=True, random_state=0, device="cpu"
    )
    plain = make_sampler_pipeline(encoder, sampler)
    model = clone(plain)
    plain.fit(rows, y)
    with config_context(array_api_dispatch=dispatch):
        model.fit(given, torch.tensor(y))
        drawn = model.sample(9, random_state=0)
        codes = model.transform(given, torch.tensor(y))
        again = model.inverse_transform(torch.tensor(codes), torch.tensor(y))
        assert len(model.fit_transform(given, torch.tensor(y))) == len(X)
        if isinstance(encoder, StandardScaler):
            assert model.score(given) == plain.score(rows)
    np.testing.assert_allclose(drawn, plain.sample(9, random_state=0), rtol=1e-6)
    np.testing.assert_array_equal(codes, plain.transform(rows, y))
    np.testing.assert_allclose(again, rows, rtol=1e-2)


def test_large_means_keep_their_small_differences():
    # Seconds since 1970: float32 would tell apart no minutes.
    moments = pd.DataFrame({"t": 1_700_000_000 + np.arange(50)})

    class Single(KernelDensity):
        def sample(self, n_samples=1, random_state=None):
            return super().sample(n_samples, random_state).astype(np.float32)

    drawn = make_sampler_pipeline(StandardScaler(), Single(bandwidth=0.1)).fit(moments)
    assert drawn.sample(500, random_state=0)["t"].nunique() > 40


def test_large_integers_that_are_constant_are_repeated():
    rows = np.column_stack([np.full(60, 123456789), np.arange(60)])
    model = make_sampler_pipeline(FlowSampler(max_iter=1, random_state=0)).fit(rows)
    assert set(model.sample(20, random_state=0)[:, 0]) == {123456789}


def test_steps_that_drop_columns_may_sample():
    wide = np.column_stack([X, X.sum(1), rng.randn(80)])
    pca = make_sampler_pipeline(StandardScaler(), PCA(2), KernelDensity()).fit(wide)
    np.testing.assert_allclose(
        np.corrcoef(pca.sample(500, random_state=0).T)[1, 2], 1, atol=0.05
    )
    best = make_sampler_pipeline(SelectKBest(f_classif, k=2), KernelDensity())
    drawn = best.fit(wide, y).sample(7)
    assert drawn.shape == (7, 4)
    assert (drawn == 0).all(axis=0).sum() == 2


@pytest.mark.parametrize("nested", [False, True])
def test_ordinal_codes_become_the_nearest_category(nested):
    letters = np.repeat(list("abc"), [44, 35, 21])
    encoder = OrdinalEncoder()
    steps = [make_pipeline(encoder, StandardScaler()) if nested else encoder]
    model = make_sampler_pipeline(*steps, KernelDensity(bandwidth=0.01))
    drawn = model.fit(pd.DataFrame({"c": letters})).sample(1000, random_state=0)
    shares = drawn["c"].value_counts(normalize=True)
    np.testing.assert_allclose(shares[list("abc")], [0.44, 0.35, 0.21], atol=0.05)


class Extremes(Shift):
    """A sampler of codes beyond the categories on both sides."""

    def sample(self, n_samples=1):
        return np.array([[-1.7], [-0.6], [0.4], [0.6], [1.4], [9.0]])


@pytest.mark.parametrize(
    ("step", "column", "expected"),
    [
        (OrdinalEncoder(), list("aabbcc"), list("aaabbc")),
        (
            OrdinalEncoder(min_frequency=2),
            list("aabbcd"),
            ["a", "a", "a", "b", "b", "infrequent_sklearn"],
        ),
        (
            OrdinalEncoder(encoded_missing_value=-1),
            ["a", "b", np.nan, "a"],
            [np.nan, np.nan, "a", "b", "b", "b"],
        ),
        (
            KBinsDiscretizer(3, encode="ordinal", strategy="uniform"),
            [0.0, 3.0, 6.0],
            [1.0, 1.0, 1.0, 3.0, 3.0, 5.0],
        ),
    ],
)
def test_codes_beyond_the_categories_become_the_outermost(step, column, expected):
    given = np.array(column, dtype=object)[:, None]
    drawn = make_sampler_pipeline(step, Extremes()).fit(given).sample(6)
    assert [*map(str, drawn[:, 0])] == [*map(str, expected)]


@pytest.mark.parametrize("y", [None, [0, 1, 2]])
def test_codes_of_a_sampler_are_rounded_too(y):
    letters = np.array([["a", "x"], ["b", "y"], ["c", "x"]])
    sampler = Shift() if y is None else ClassGaussians()
    model = make_sampler_pipeline(OrdinalEncoder(), sampler).fit(letters, y)
    nearly = model.transform(letters, y) - 0.1
    np.testing.assert_array_equal(model.inverse_transform(nearly, y), letters)


def test_steps_that_write_into_their_input_leave_it_alone_when_scoring():
    given = X.copy()
    model = make_sampler_pipeline(
        PowerTransformer(copy=False), StandardScaler(copy=False), KernelDensity()
    ).fit(X.copy())
    expected = make_sampler_pipeline(
        PowerTransformer(), StandardScaler(), KernelDensity()
    ).fit(X)
    np.testing.assert_allclose(model.score_samples(given), expected.score_samples(X))
    np.testing.assert_array_equal(given, X)


@pytest.mark.parametrize("n_samples", [0, -1, 2.5, "3", None])
def test_bad_number_of_samples_is_refused(n_samples):
    model = make_sampler_pipeline(StandardScaler(), GaussianMixture()).fit(X)
    with pytest.raises((ValueError, TypeError), match="n_samples"):
        model.sample(n_samples)


def test_classes_are_refused_by_samplers_without():
    model = make_sampler_pipeline(StandardScaler(), KernelDensity()).fit(X)
    with pytest.raises(
        TypeError, match=r"sample of KernelDensity takes no classes: leave y out"
    ):
        model.sample(3, y=1)


def test_seed_is_refused_by_samplers_without():
    model = make_sampler_pipeline(StandardScaler(), Scored()).fit(X)
    assert model.sample(3).shape == (3, 2)
    with pytest.raises(TypeError, match="random_state=0 was given, but Scored takes"):
        model.sample(3, random_state=0)


# classes


def test_classes_reach_the_sampler():
    scaler = StandardScaler().fit(X)
    model = make_sampler_pipeline(StandardScaler(), ClassGaussians()).fit(X, y)
    np.testing.assert_array_equal(model.classes_, [0, 1, 2])
    ones = model.sample(4000, y=np.full(4000, 5), random_state=0)
    np.testing.assert_allclose(scaler.transform(ones).mean(0), 5, atol=0.1)
    log_det = -np.log(scaler.scale_).sum()
    Z = scaler.transform(X)
    expected = stats.norm.logpdf(Z - y[:, None]).sum(1) + log_det
    np.testing.assert_allclose(model.score_samples(X, y), expected)
    assert model.score(X, y) == pytest.approx(expected.mean())
    np.testing.assert_allclose(
        model.score_samples(X), stats.norm.logpdf(Z).sum(1) + log_det
    )
    codes = model.transform(X, y)
    np.testing.assert_allclose(codes, Z - y[:, None])
    np.testing.assert_allclose(model.inverse_transform(codes, y), X)


# densities


def grid(low, high, n=4001):
    points = np.linspace(low, high, n)
    return points[:, None], points[1] - points[0]


@pytest.mark.parametrize(
    ("steps", "low", "high"),
    [
        ([], -20, 20),
        ([StandardScaler()], -20, 20),
        ([MinMaxScaler()], -20, 20),
        ([MaxAbsScaler()], -20, 20),
        ([RobustScaler()], -20, 20),
        ([PCA(whiten=True)], -20, 20),
        ([PowerTransformer()], -20, 20),
        ([PowerTransformer("box-cox")], 1e-6, 40),
        ([FunctionTransformer(np.log, np.exp)], 1e-6, 60),
        ([FunctionTransformer(np.log1p, np.expm1), StandardScaler()], -0.999, 40),
        ([FunctionTransformer(np.arcsinh, np.sinh)], -20, 40),
        (["passthrough", make_pipeline(StandardScaler(), PCA()), None], -20, 20),
        (
            [
                FrozenEstimator(MinMaxScaler((0.01, 0.99)).fit([[-5.0], [15.0]])),
                FunctionTransformer(logit, expit),
                StandardScaler(),
            ],
            -5,
            15,
        ),
    ],
)
def test_density_integrates_to_one(steps, low, high):
    sampler = KernelDensity(bandwidth=0.1)
    model = make_sampler_pipeline(*steps, sampler).fit(GAMMA)
    points, width = grid(low, high)
    density = np.exp(model.score_samples(points))
    inside = (density.sum() - (density[0] + density[-1]) / 2) * width
    assert inside == pytest.approx(1, abs=5e-3)


def test_density_is_that_of_which_samples_are_drawn():
    model = make_sampler_pipeline(PowerTransformer(), KernelDensity(bandwidth=0.2))
    drawn = model.fit(GAMMA).sample(20_000, random_state=0)
    edges = np.quantile(GAMMA, np.linspace(0.1, 0.9, 9))
    shares = np.histogram(drawn, edges)[0] / len(drawn)
    for low, high, share in zip(edges[:-1], edges[1:], shares, strict=True):
        points, width = grid(low, high, 201)
        density = np.exp(model.score_samples(points))
        expected = (density.sum() - (density[0] + density[-1]) / 2) * width
        assert share == pytest.approx(expected, abs=0.01)


def test_probabilities_do_not_depend_on_units():
    bits = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]] * 10)
    sampler = VAESampler(1, likelihood="bernoulli", max_iter=2, random_state=0)
    alone = sampler.fit(bits).score_samples(bits, random_state=0)
    for unit in (1, 255):
        pipeline = make_sampler_pipeline(MinMaxScaler(), clone(sampler)).fit(
            unit * bits
        )
        found = pipeline.score_samples(unit * bits, random_state=0)
        np.testing.assert_allclose(found, alone, rtol=1e-5)


def test_affine_pipelines_of_a_gaussian_all_have_its_density():
    expected = EmpiricalCovariance().fit(X)
    log_density = stats.multivariate_normal(
        expected.location_, expected.covariance_
    ).logpdf(X)
    for steps in [
        [StandardScaler()],
        [MinMaxScaler(), PCA(whiten=True)],
        [RobustScaler(), make_pipeline(MaxAbsScaler(), PCA())],
    ]:
        model = make_sampler_pipeline(*steps, GaussianMixture(reg_covar=0)).fit(X)
        np.testing.assert_allclose(model.score_samples(X), log_density)


@pytest.mark.parametrize(
    ("step", "rows", "beyond"),
    [
        (
            FunctionTransformer(np.log, np.exp, check_inverse=False),
            np.exp(X / 9),
            [-1, 0],
        ),
        (
            FunctionTransformer(np.log1p, np.expm1, check_inverse=False),
            np.exp(X / 9),
            [-1, -2],
        ),
        (
            FunctionTransformer(logit, expit, check_inverse=False),
            expit(X / 9),
            [-0.5, 0, 1, 2],
        ),
        (PowerTransformer("box-cox"), np.exp(X / 9), [-1, 0]),
        (QuantileTransformer(n_quantiles=20), X, [-1e3, 1e3]),
    ],
)
@pytest.mark.parametrize("container", [np.array, list, pd.DataFrame, pl.DataFrame])
def test_density_is_zero_where_a_step_is_not_defined(step, rows, beyond, container):
    frame = pd.DataFrame(rows, columns=["a", "b"])
    given = frame.iloc[:6].copy()
    given.iloc[1:4:2, 1] = beyond[0], beyond[-1]
    given.iloc[5, 0] = beyond[1]
    steps = [clone(step), StandardScaler(), GaussianMixture(random_state=0)]

    def of(table):
        if container in (np.array, list):
            return container(table.to_numpy().tolist())
        return container({name: table[name].to_numpy() for name in table})

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = make_sampler_pipeline(*steps).fit(of(frame))
        found = model.score_samples(of(given))
        nowhere = model.score_samples(of(given[1::2]))
        assert model.score(of(given)) == -np.inf
    np.testing.assert_array_equal(np.isfinite(found), [True, False] * 3)
    assert (found[1::2] == -np.inf).all()
    assert (nowhere == -np.inf).all()
    np.testing.assert_allclose(found[::2], model.score_samples(of(frame))[:6:2])


def test_classes_of_rows_without_density_are_left_out():
    logs = FunctionTransformer(np.log, np.exp)
    model = make_sampler_pipeline(logs, ClassGaussians()).fit(np.exp(X / 9), y)
    given = np.exp(X[:4] / 9) * [[1], [-1], [1], [1]]
    found = model.score_samples(given, y[:4])
    assert found[1] == -np.inf
    kept = [0, 2, 3]
    np.testing.assert_allclose(found[kept], model.score_samples(given[kept], y[kept]))
    ones = model.score_samples(given, np.ones(4))
    np.testing.assert_array_equal(model.score_samples(given, 1), ones)
    with pytest.raises(ValueError, match="y has 1 classes, but there are 4 rows"):
        model.score_samples(given, [1])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_refused_by_densities(bad):
    logs = FunctionTransformer(np.log, np.exp)
    model = make_sampler_pipeline(logs, GaussianMixture()).fit(np.exp(X / 9))
    with pytest.raises(ValueError, match=r"contains (NaN|infinity)"):
        model.score_samples([[1, 1], [-1, 1], [1, bad]])


@pytest.mark.parametrize(
    "step", [PowerTransformer(), FunctionTransformer(np.log1p, np.expm1)]
)
def test_rows_of_another_shape_are_refused_as_by_the_steps(step):
    model = make_sampler_pipeline(step, GaussianMixture()).fit(np.exp(X / 9))
    with pytest.raises(ValueError, match="X has 3 features, but"):
        model.score_samples(np.ones((4, 3)))
    with pytest.raises(ValueError, match="Expected 2D array"):
        model.score_samples(np.ones(4))
    with pytest.raises(ValueError, match="minimum of 1 is required"):
        model.score_samples(np.ones((0, 2)))


@pytest.mark.parametrize(
    "sampler",
    [
        FlowSampler(n_couplings=2, max_iter=2, random_state=0),
        DiffusionSampler(max_iter=2, n_steps=10, random_state=0),
        VAESampler(max_iter=2, random_state=0),
        FrozenEstimator(FlowSampler(max_iter=1, random_state=0)),
    ],
    ids=lambda sampler: type(sampler).__name__,
)
def test_constant_columns_add_nothing_to_densities(sampler):
    rows = np.exp(np.random.RandomState(0).randn(60, 2))
    constant = np.column_stack([rows[:, :1], np.full(60, 5.0), rows[:, 1:]])

    def added(*steps):
        """Return what the steps add to the density behind them."""
        last = sampler
        if isinstance(sampler, FrozenEstimator):
            codes = make_pipeline(*steps).fit_transform(constant)
            last = FrozenEstimator(clone(sampler.estimator).fit(codes))
        model = make_sampler_pipeline(*steps, last).fit(constant)
        codes = model[:-1].transform(constant)
        return model.score_samples(constant) - model[-1].score_samples(codes)

    for step in [
        MaxAbsScaler(),
        MinMaxScaler((-1, 4)),
        RobustScaler(unit_variance=True),
        FunctionTransformer(np.log, np.exp),
        PowerTransformer(),
    ]:
        alone = clone(step).fit(rows)
        expected = np.broadcast_to(log_stretches(alone, rows).sum(axis=-1), 60)
        np.testing.assert_allclose(added(clone(step)), expected, atol=1e-4)
        # Other steps before or behind find the column in the same place.
        behind = added(clone(step), StandardScaler())
        scaled = StandardScaler().fit(alone.transform(rows))
        np.testing.assert_allclose(
            behind, expected - np.log(scaled.scale_).sum(), atol=1e-4
        )


def test_columns_that_are_constant_leave_no_density_behind_pca():
    constant = np.column_stack([X, np.full(80, 5.0)])
    model = make_sampler_pipeline(PCA(), KernelDensity()).fit(constant)
    with pytest.raises(NotImplementedError, match="are constant or depend"):
        model.score_samples(constant)


def test_score_is_a_mean_even_of_kernel_densities():
    model = make_sampler_pipeline(StandardScaler(), KernelDensity()).fit(X)
    assert model.score(X) == pytest.approx(model.score_samples(X).mean())
    assert isinstance(model.score(X), float)


def test_score_of_a_sampler_without_density_is_its_own():
    model = make_sampler_pipeline(StandardScaler(), Scored()).fit(X)
    assert not hasattr(model, "score_samples")
    assert not hasattr(model, "transform")
    assert model.score(X) == -np.abs(StandardScaler().fit_transform(X)).mean()


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (PCA(1), r"the step 'pca' \(PCA\) keeps 1 of 2 dimensions"),
        (make_pipeline(PCA(1)), r"the step 'pipeline__pca' \(PCA\) keeps 1 of 2"),
        (FrozenEstimator(PCA(1).fit(X)), r"the step 'frozenestimator' \(PCA\) keeps"),
        (SelectKBest(f_classif, k=1), r"'selectkbest' \(SelectKBest\) has no known"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_score_without_a_known_density_says_what_to_do(step, reason):
    model = make_sampler_pipeline(step, KernelDensity()).fit(X, y)
    with pytest.raises(NotImplementedError, match=reason) as error:
        model.score_samples(X)
    assert "score pipeline[:-1].transform(X) by pipeline[-1]" in str(error.value)
    model[-1].score_samples(model[:-1].transform(X))
    with pytest.raises(NotImplementedError, match=reason):
        model.score(X)


# steps that cannot sample


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([PCA()], r"must have the method `sample`.*'pca' \(PCA\) has none"),
        (
            [Normalizer(), KernelDensity()],
            "'normalizer': Normalizer has no inverse_tra",
        ),
        (
            [make_column_transformer((StandardScaler(), [0])), KernelDensity()],
            "'columntransformer': scikit-learn's ColumnTransformer has no inverse_tra",
        ),
        (
            [make_pipeline(PCA(), Normalizer()), KernelDensity()],
            "'pipeline__normalizer': Normalizer has no inverse_transform",
        ),
        ([make_union(PCA()), KernelDensity()], "'featureunion': FeatureUnion has no"),
        (
            [FunctionTransformer(np.log1p), KernelDensity()],
            "this FunctionTransformer has a func but no inverse_func",
        ),
        ([KernelPCA(), KernelDensity()], "only with fit_inverse_transform=True"),
        ([OneHotEncoder(drop="first"), KernelDensity()], "zeros only. Use drop=None"),
        ([SimpleImputer(), KernelDensity()], "finds the cells that it filled"),
        (
            [SimpleImputer(add_indicator=True), KernelDensity()],
            "finds the cells that it filled by exact zeros of its indicator",
        ),
        (
            [VAESampler(conditional=True), KernelDensity()],
            "'vaesampler': this VAESampler needs the class of each row",
        ),
        (
            [FrozenEstimator(FlowSampler(conditional=True)), KernelDensity()],
            "'frozenestimator': this FlowSampler needs the class of each row",
        ),
        ([PCA(), "passthrough"], r"'passthrough' \(str\) has none"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)
@pytest.mark.parametrize("method", ["fit", "fit_transform", "fit_predict"])
def test_pipeline_that_could_never_sample_is_refused_at_once(steps, reason, method):
    pipeline = make_sampler_pipeline(*steps)
    if hasattr(pipeline, method):
        with pytest.raises(TypeError, match=reason):
            getattr(pipeline, method)(X)
    assert not hasattr(pipeline.steps[0][1], "n_features_in_")


def test_step_that_was_exchanged_after_fit_is_refused():
    model = make_sampler_pipeline(StandardScaler(), KernelDensity()).fit(X)
    model.set_params(standardscaler=Normalizer())
    with pytest.raises(TypeError, match="Normalizer has no inverse_transform"):
        model.sample()


# codes


def test_fit_transform_and_fit_predict_remember_the_columns_too():
    pipeline = make_sampler_pipeline(
        StandardScaler(), GaussianMixture(2, random_state=0)
    )
    assert set(pipeline.fit_predict(FRAME)) == {0, 1}
    assert isinstance(pipeline.sample(), pd.DataFrame)
    assert not hasattr(pipeline, "fit_transform")
    coded = make_sampler_pipeline(StandardScaler(), Shift())
    np.testing.assert_allclose(
        coded.fit_transform(FRAME), StandardScaler().fit_transform(FRAME) - 1
    )
    assert isinstance(coded.sample(), pd.DataFrame)
    np.testing.assert_allclose(coded.inverse_transform(coded.transform(FRAME)), FRAME)


@pytest.mark.parametrize("routing", [False, True])
def test_arguments_beside_classes_reach_a_step_or_are_refused(routing):
    y = np.arange(len(FRAME))
    model = make_sampler_pipeline(StandardScaler(), ClassGaussians()).fit(FRAME, y)
    Z = model.transform(FRAME, y)
    with config_context(enable_metadata_routing=routing):
        for method, rows in (("transform", FRAME), ("inverse_transform", Z)):
            with pytest.raises((TypeError, ValueError), match="copied"):
                getattr(model, method)(rows, y, copied=True)
    with config_context(enable_metadata_routing=True):
        model.named_steps["standardscaler"].set_transform_request(copy=True)
        model.named_steps["standardscaler"].set_inverse_transform_request(copy=True)
        np.testing.assert_array_equal(model.transform(FRAME, y, copy=True), Z)
        rows = model.inverse_transform(Z, y, copy=True)
    np.testing.assert_allclose(rows, FRAME)


def test_rows_beyond_the_inverse_are_missing_and_warned_of():
    rows = np.exp(np.random.RandomState(0).randn(50, 1)) ** 4
    frame = pd.DataFrame({"a": rows[:, 0].astype(int)})
    model = make_sampler_pipeline(PowerTransformer(), KernelDensity(bandwidth=3.0))
    with pytest.warns(UserWarning, match="inverse-transformed data are NaN"):
        drawn = model.fit(frame).sample(200, random_state=0)
    assert drawn["a"].isna().any()
    assert drawn["a"].dtype == np.float64


def test_arguments_of_scores_reach_the_sampler():
    vae = VAESampler(1, hidden_layer_sizes=(8,), max_iter=5, random_state=0)
    scaler = StandardScaler().fit(X)
    model = make_sampler_pipeline(scaler, vae).fit(X)
    given = {"method": "iwae", "n_importance": 5, "random_state": 3}
    found = model.score_samples(X, **given)
    inside = model[-1].score_samples(scaler.transform(X), **given)
    np.testing.assert_allclose(found, inside - np.log(scaler.scale_).sum(), rtol=1e-5)
    assert found.mean() > model.score(X)
    assert model.score(X, **given) == pytest.approx(found.mean())
    with pytest.raises(TypeError, match="n_chains"):
        model.score_samples(X, n_chains=3)


@pytest.mark.parametrize("signs", [[1, -1, 1], [-1, -1, -1]])
def test_errors_of_rows_without_density_are_unknown(signs):
    logs = FunctionTransformer(np.log, np.exp)
    vae = VAESampler(1, hidden_layer_sizes=(8,), max_iter=5, random_state=0)
    model = make_sampler_pipeline(logs, vae).fit(np.exp(X / 9))
    given = {"method": "ais", "n_importance": 2, "n_temperatures": 2}
    rows = np.exp(X[:3] / 9) * np.transpose([signs])
    found, std = model.score_samples(rows, **given, return_std=True)
    np.testing.assert_array_equal(np.isnan(std), np.isneginf(found))
    np.testing.assert_array_equal(np.isnan(std), np.array(signs) < 0)
    assert model.score(rows, **given, return_std=True) == found.mean()
