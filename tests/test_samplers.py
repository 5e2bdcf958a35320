"""What every sampler owes, beside what every estimator does."""

import copy
import datetime
import functools
import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.datasets import load_digits, make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from skdeep import GANSampler
from skdeep.compose import make_sampler_pipeline
from skdeep.training.inference import DRAWN_ROWS
from tests.estimators import SAMPLERS, name_of
from tests.test_common import joblib_copy, skops_copy

# Budgets of a second are not meant to converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, numbers = make_blobs(60, n_features=4, centers=3, random_state=0)
TEXTS = np.array(["low", "mid", "top"])[numbers]
IMAGES = load_digits().data[:40].reshape(-1, 1, 8, 8)

OF_IMAGES = [s for s in SAMPLERS if "image_shape" in s.get_params()]
OF_DENSITIES = [s for s in SAMPLERS if hasattr(s, "score_samples")]
OF_CODES = [s for s in SAMPLERS if hasattr(s, "transform")]
OF_DECODERS = [s for s in SAMPLERS if hasattr(s, "inverse_transform")]

every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=name_of)
every_sampler_of_images = pytest.mark.parametrize("sampler", OF_IMAGES, ids=name_of)
every_density = pytest.mark.parametrize("sampler", OF_DENSITIES, ids=name_of)
every_code = pytest.mark.parametrize("sampler", OF_CODES, ids=name_of)
every_decoder = pytest.mark.parametrize("sampler", OF_DECODERS, ids=name_of)
every_class_label = pytest.mark.parametrize(
    "y", [numbers, TEXTS, numbers == 1], ids=["numbers", "texts", "truths"]
)


def fitted(sampler, rows=X, y=None):
    return clone(sampler).set_params(random_state=0).fit(rows, y)


@functools.cache
def plain(sampler):
    """Fit a sampler on X, which no test may change."""
    return fitted(sampler)


@functools.cache
def conditional(sampler):
    """Fit a sampler on X and its classes, which no test may change."""
    return fitted(clone(sampler).set_params(conditional=True), X, TEXTS)


def both(sampler):
    return [plain(sampler), conditional(sampler)]


def assert_equal_samples(a, b, **arguments):
    first, second = (m.sample(9, random_state=1, **arguments) for m in (a, b))
    np.testing.assert_array_equal(first, second)


def assert_finite_rows(drawn, shape):
    assert type(drawn) is np.ndarray
    assert drawn.dtype == np.float32
    assert drawn.shape == shape
    assert np.isfinite(drawn).all()


# rows


@every_sampler
def test_samples_are_finite_rows_of_float32(sampler):
    for model in both(sampler):
        assert model.sample().shape == (1, 4)
        for n_samples in [1, np.int64(2), 50]:
            assert_finite_rows(model.sample(n_samples), (n_samples, 4))


@every_sampler
def test_samples_differ_from_each_other_across_chunks(sampler):
    drawn = plain(sampler).sample(DRAWN_ROWS + 3, random_state=0)
    assert drawn.shape == (DRAWN_ROWS + 3, 4)
    assert np.isfinite(drawn).all()
    assert len(np.unique(drawn, axis=0)) == DRAWN_ROWS + 3
    classes = np.resize(["low", "top"], DRAWN_ROWS + 3)
    model = conditional(sampler)
    assert model.sample(DRAWN_ROWS + 3, y=classes).shape == drawn.shape


@every_sampler
@pytest.mark.parametrize("n_samples", [0, -1, 2.5, "3", None, [2]])
def test_bad_number_of_samples_is_refused(sampler, n_samples):
    with pytest.raises((TypeError, ValueError), match="n_samples"):
        plain(sampler).sample(n_samples)


@every_sampler
def test_samples_are_in_the_units_of_the_input(sampler):
    units = np.array([1, 1e-6, 1e3, 1e6])
    rows = X / X.std(axis=0) * units
    sampler = clone(sampler).set_params(scale="standard")
    drawn = fitted(sampler, rows).sample(100, random_state=0)
    deviations = np.abs(drawn - rows.mean(axis=0)) / units
    assert deviations.max() < 50
    assert (drawn.std(axis=0) / units).min() > 0.01


@every_sampler
def test_units_change_nothing_but_the_units(sampler):
    # Powers of two are exact: the scaled rows are the same bits.
    sampler = clone(sampler).set_params(scale="standard")
    model, larger = fitted(sampler), fitted(sampler, X * 1024)
    np.testing.assert_allclose(
        larger.sample(20, random_state=0),
        model.sample(20, random_state=0) * 1024,
        rtol=1e-5,
        atol=1e-2,
    )
    if sampler.__class__ in map(type, OF_DENSITIES):
        np.testing.assert_allclose(
            larger.score_samples(X * 1024),
            model.score_samples(X) - 4 * np.log(1024),
            rtol=1e-5,
            atol=1e-3,
        )


# randomness


@every_sampler
def test_integers_repeat_and_generators_advance(sampler):
    for model in both(sampler):
        first = model.sample(9, random_state=5)
        np.testing.assert_array_equal(first, model.sample(9, random_state=5))
        assert not np.array_equal(first, model.sample(9, random_state=6))
        generator = np.random.RandomState(5)
        np.testing.assert_array_equal(first, model.sample(9, random_state=generator))
        assert not np.array_equal(first, model.sample(9, random_state=generator))


@every_sampler
def test_no_seed_means_numpys_global_generator_and_never_torchs(sampler):
    numpy_before, torch_before = np.random.get_state(), torch.get_rng_state()
    for model in both(sampler):
        np.random.seed(3)
        first = model.sample(9)
        assert not np.array_equal(first, model.sample(9))
        np.random.seed(3)
        np.testing.assert_array_equal(first, model.sample(9))
        before = joblib.hash(np.random.get_state())
        model.sample(9, random_state=0)
        assert joblib.hash(np.random.get_state()) == before
    np.random.set_state(numpy_before)
    assert torch.equal(torch_before, torch.get_rng_state())


@every_sampler
def test_seed_of_the_fit_is_not_that_of_the_samples(sampler):
    model = pickle.loads(pickle.dumps(plain(sampler)))
    first = model.sample(9, random_state=1)
    np.testing.assert_array_equal(
        first, model.set_params(random_state=7).sample(9, random_state=1)
    )


# state


@every_sampler
def test_drawing_and_scoring_change_nothing(sampler):
    for model in both(sampler):
        y = TEXTS if model.conditional else None
        before = joblib.hash(model.__getstate__())
        model.sample(9, random_state=0)
        model.sample(3, y=y[:3] if model.conditional else None)
        if hasattr(model, "score_samples"):
            model.score_samples(X, y)
            model.score(X)
        if hasattr(model, "transform"):
            model.inverse_transform(model.transform(X, y), y)
        assert joblib.hash(model.__getstate__()) == before


@every_sampler
def test_arrays_on_disk_that_cannot_be_written_to_are_enough(sampler, tmp_path):
    for model in both(sampler):
        joblib.dump(model, tmp_path / "model")
        assert_equal_samples(model, joblib.load(tmp_path / "model", mmap_mode="r"))


COPIES = [skops_copy, joblib_copy, lambda model: pickle.loads(pickle.dumps(model))]


@every_sampler
@pytest.mark.parametrize("copied", COPIES, ids=["skops", "joblib", "pickle"])
def test_copies_draw_and_score_the_same_bits(sampler, copied):
    for model in both(sampler):
        twin = copied(model)
        assert_equal_samples(model, twin)
        if model.conditional:
            assert_equal_samples(model, twin, y="mid")
        if hasattr(model, "score_samples"):
            np.testing.assert_array_equal(model.score_samples(X), twin.score_samples(X))


@every_sampler
def test_tags_say_what_a_sampler_needs_and_is(sampler):
    for conditional in (False, True):
        model = clone(sampler).set_params(conditional=conditional)
        for estimator in (model, make_sampler_pipeline(StandardScaler(), model)):
            tags = get_tags(estimator)
            assert tags.target_tags.required is conditional
            is_density = hasattr(model, "score_samples")
            assert (tags.estimator_type == "density_estimator") is is_density


@every_sampler
def test_refit_forgets_the_classes(sampler):
    model = clone(sampler).set_params(conditional=True, random_state=0).fit(X, TEXTS)
    model.set_params(conditional=False).fit(X)
    assert not hasattr(model, "classes_")
    assert not hasattr(model, "class_log_prior_")
    assert_equal_samples(model, plain(sampler))


@every_sampler
@pytest.mark.parametrize(
    ("rows", "labels"),
    [(X, None), (X[:10], TEXTS), (X[:, :2], [None] * len(X)), (X * np.nan, TEXTS)],
    ids=["no classes", "other rows", "missing classes", "missing cells"],
)
def test_a_refused_refit_keeps_the_former_fit(sampler, rows, labels):
    model = copy.copy(conditional(sampler))
    with pytest.raises(ValueError, match=r"."):
        model.fit(rows, labels)
    assert_equal_samples(model, conditional(sampler))


@every_sampler
def test_parameters_of_the_fit_are_not_read_later(sampler):
    changed = {
        "n_components": 7,
        "hidden_layer_sizes": (5,),
        "image_shape": (1, 2, 2),
        "n_timesteps": 3,
        "n_couplings": 1,
    }
    changed = {k: v for k, v in changed.items() if k in sampler.get_params()}
    for model in both(sampler):
        y = "low" if model.conditional else None
        twin = copy.copy(model).set_params(conditional=not model.conditional, **changed)
        for given in {y, None}:
            assert_equal_samples(model, twin, y=given)
        if hasattr(model, "score_samples"):
            np.testing.assert_array_equal(model.score(X), twin.score(X))
        if hasattr(model, "inverse_transform"):
            codes = codes_of(model, 3)
            np.testing.assert_array_equal(
                model.inverse_transform(codes, y), twin.inverse_transform(codes, y)
            )


METHODS = [
    ("sample", ()),
    ("score_samples", (X,)),
    ("score", (X,)),
    ("transform", (X,)),
    ("inverse_transform", (X[:, :2],)),
]


@every_sampler
@pytest.mark.parametrize(("method", "arguments"), METHODS)
def test_unfitted_methods_say_so(sampler, method, arguments):
    for given in [False, True]:
        model = clone(sampler).set_params(conditional=given)
        if hasattr(model, method):
            with pytest.raises(NotFittedError):
                getattr(model, method)(*arguments)


@every_sampler
@pytest.mark.parametrize(("method", "arguments"), METHODS)
def test_parameters_that_turned_bad_after_fit_are_refused(sampler, method, arguments):
    bad = {
        "DiffusionSampler": [
            ("sampler", "ddmp"),
            ("n_steps", 0),
            ("n_steps", 2.5),
            ("guidance_weight", -1),
        ],
        "GANSampler": [("noise", "gauss")],
        "VAESampler": [("sample_noise", "never")],
    }
    for name, value in bad.get(type(sampler).__name__, []):
        model = copy.copy(plain(sampler)).set_params(**{name: value})
        if hasattr(model, method):
            with pytest.raises(ValueError, match=f"The '{name}' parameter of"):
                getattr(model, method)(*arguments)


@every_sampler
def test_score_is_there_where_densities_are(sampler):
    assert hasattr(sampler, "score") == hasattr(sampler, "score_samples")


# classes


@every_sampler
def test_classes_may_be_dates_of_any_unit(sampler):
    y = np.resize(pd.date_range("2020", periods=3).astype("datetime64[ns]"), len(X))
    model = fitted(clone(sampler).set_params(conditional=True), X, y)
    expected = model.sample(3, y=y[0], random_state=0)
    with pytest.raises(ValueError, match=r"class '2031-01-01T.*knows \['2020-01-01T"):
        model.sample(1, y=np.datetime64("2031-01-01"))
    for label in (pd.Timestamp(y[0]), y[0].astype("datetime64[D]")):
        found = model.sample(3, y=label, random_state=0)
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match="y holds the class 'never'"):
        model.sample(3, y="never")


def test_classes_may_be_durations():
    y = np.resize(pd.to_timedelta([1, 2], "D"), len(X))
    model = GANSampler(2, max_iter=2, conditional=True, random_state=0).fit(X, y)
    expected = model.sample(3, y=y[0], random_state=0)
    for label in (pd.Timedelta(1, "D"), datetime.timedelta(1), np.timedelta64(24, "h")):
        found = model.sample(3, y=label, random_state=0)
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match=r"class '432000.*'86400.*seconds'"):
        model.sample(1, y=pd.Timedelta(5, "D"))


@every_sampler
@every_class_label
def test_classes_may_be_numbers_texts_or_truths(sampler, y):
    model = fitted(clone(sampler).set_params(conditional=True), X, y)
    classes, counts = np.unique(y, return_counts=True)
    np.testing.assert_array_equal(model.classes_, classes)
    np.testing.assert_allclose(model.class_log_prior_, np.log(counts / len(y)))
    for label in [classes[0], classes[-1].item(), np.asarray(classes[-1])]:
        assert np.isfinite(model.sample(5, y=label)).all()
    each = np.resize(classes, 7)
    for given in [each, each.tolist(), pd.Series(each)]:
        assert_finite_rows(model.sample(7, y=given, random_state=0), (7, 4))


@every_sampler
def test_one_class_for_all_is_that_class_for_each(sampler):
    model = conditional(sampler)
    one = model.sample(6, y="top", random_state=0)
    each = model.sample(6, y=["top"] * 6, random_state=0)
    np.testing.assert_array_equal(one, each)
    with pytest.raises(ValueError, match=r"y holds the class \{'top'\}"):
        model.sample(6, y={"top"})
    assert not np.array_equal(one, model.sample(6, y="low", random_state=0))


@every_sampler
def test_without_a_class_classes_are_drawn_by_their_frequency(sampler):
    model = conditional(sampler)
    shares = [(label == TEXTS).mean() for label in ["low", "mid", "top"]]
    np.testing.assert_allclose(np.exp(model.class_log_prior_), shares)
    certain = pickle.loads(pickle.dumps(model))
    for label, log_prior in zip(
        model.classes_, np.log(np.eye(3) + 1e-300), strict=True
    ):
        certain.class_log_prior_ = log_prior
        drawn = certain.sample(8, random_state=2)
        np.testing.assert_array_equal(drawn, model.sample(8, y=label, random_state=2))


@every_sampler
def test_unknown_classes_are_refused_by_name(sampler):
    model = conditional(sampler)
    for given in ["bottom", ["low", "bottom", "top"]]:
        with pytest.raises(ValueError, match=r"class .*'bottom'.*did not see in fit"):
            model.sample(3, y=given)
    with pytest.raises(ValueError, match="y has 2 classes, but there are 3 rows"):
        model.sample(3, y=["low", "top"])
    if hasattr(model, "score_samples"):
        with pytest.raises(ValueError, match="'bottom'"):
            model.score_samples(X, np.full(len(X), "bottom"))


@every_sampler
def test_missing_classes_are_refused(sampler):
    with pytest.raises(ValueError, match="y holds the class None"):
        conditional(sampler).sample(3, y=["low", None, "top"])


@every_sampler
def test_unknown_numbers_are_refused_by_name(sampler):
    model = fitted(clone(sampler).set_params(conditional=True), X, numbers)
    with pytest.raises(ValueError, match=r"class .*7.*did not see in fit"):
        model.sample(3, y=7)
    for text in ("low", "1"):
        with pytest.raises(ValueError, match="did not see in fit"):
            model.sample(1, y=text)


@every_sampler
def test_samples_of_columns_far_from_zero_spread_as_they_did(sampler):
    rows = 1.7e9 + 100 * X
    drawn = fitted(sampler, rows).sample(200, random_state=0)
    near = fitted(sampler, X).sample(200, random_state=0).astype(float)
    np.testing.assert_allclose(drawn, 1.7e9 + 100 * near, rtol=0, atol=1)


@every_sampler
def test_classes_are_refused_by_a_sampler_that_knows_none(sampler):
    model = plain(sampler)
    with pytest.raises(ValueError, match=r"knows no classes.*conditional=True"):
        model.sample(3, y="low")
    if hasattr(model, "score_samples"):  # as a search passes y to all scores
        assert model.score(X, TEXTS) == model.score(X)


@every_sampler
@pytest.mark.parametrize(
    ("y", "text"),
    [
        (None, "requires y to be passed, but the target y is None: with conditional"),
        (numbers[:-1], "inconsistent numbers of samples"),
        (np.where(numbers, np.nan, 1.0), "Input y contains NaN"),
        (X, "y should be a 1d array"),
        (X[:, 0], "Unknown label type: continuous"),
        (np.array(["a", 1] * 30, dtype=object), "uniformly strings or numbers"),
        (np.array(["a", None] * 30, dtype=object), "Input y contains missing cells"),
        (pd.Series(["a", pd.NA] * 30, dtype="string"), "Input y contains missing cel"),
    ],
    ids=["none", "short", "nan", "2d", "continuous", "mixed", "missing", "NA"],
)
def test_bad_classes_are_refused_by_fit(sampler, y, text):
    model = clone(sampler).set_params(conditional=True)
    with pytest.raises((ValueError, TypeError), match=text):
        model.fit(X, y)
    assert not hasattr(model, "classes_")
    with pytest.raises(NotFittedError):
        model.sample()


@every_sampler
def test_a_single_class_is_enough(sampler):
    model = fitted(clone(sampler).set_params(conditional=True), X, np.full(60, "all"))
    assert model.sample(3).shape == (3, 4)
    np.testing.assert_array_equal(
        model.sample(3, random_state=0), model.sample(3, y="all", random_state=0)
    )


# densities


@every_density
def test_score_samples_gives_one_float32_a_row_and_score_their_mean(sampler):
    for model in both(sampler):
        found = model.score_samples(X)
        assert found.shape == (60,)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found, model.score_samples(X))
        assert model.score(X) == pytest.approx(found.mean(), rel=1e-6)
        assert isinstance(model.score(X), float)


@every_density
def test_density_over_all_classes_is_the_mixture_of_their_densities(sampler):
    model = conditional(sampler)
    joint = [
        model.score_samples(X, np.full(60, label)) + log_prior
        for label, log_prior in zip(model.classes_, model.class_log_prior_, strict=True)
    ]
    np.testing.assert_allclose(
        model.score_samples(X), logsumexp(joint, axis=0), rtol=1e-5, atol=1e-4
    )
    given = model.score_samples(X, TEXTS)
    expected = np.choose(numbers, joint) - model.class_log_prior_[numbers]
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-4)
    assert model.score(X, TEXTS) == pytest.approx(given.mean(), rel=1e-5)


@every_density
def test_far_rows_are_finite_and_less_likely(sampler):
    model = plain(sampler)
    found = model.score_samples(np.vstack([X, X.mean(0) + 100 * X.std(0)]))
    assert np.isfinite(found).all()
    assert found[-1] < np.median(found[:-1])


@every_density
def test_search_finds_its_way_by_the_score(sampler):
    model = clone(sampler).set_params(random_state=0)
    search = GridSearchCV(model, {"learning_rate": [1e-3, 1e-2]}, cv=2).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.sample(2).shape == (2, 4)


@every_density
def test_other_number_of_features_is_refused(sampler):
    with pytest.raises(ValueError, match=r"X has 3 features, but .* expecting 4"):
        plain(sampler).score_samples(X[:, :3])


# codes


def codes_of(model, n_codes):
    """Draw codes as wide as those of a sampler, which may have no other way to them."""
    if hasattr(model, "transform"):
        width = len(model.get_feature_names_out())
    else:
        width = model.n_components
    return np.random.RandomState(0).randn(n_codes, width)


@every_code
def test_codes_are_finite_rows_of_float32(sampler):
    for model in both(sampler):
        y = TEXTS if model.conditional else None
        codes = model.transform(X, y)
        assert_finite_rows(codes, (60, len(model.get_feature_names_out())))
        np.testing.assert_array_equal(codes, model.transform(X, y))
        few = model.transform(X[:5], None if y is None else y[:5])
        np.testing.assert_allclose(few, codes[:5], rtol=1e-4, atol=1e-5)


@every_code
def test_fit_transform_gives_the_codes_of_the_classes(sampler):
    for model, y in zip(both(sampler), [None, TEXTS], strict=True):
        codes = clone(model).fit_transform(X, TEXTS)
        np.testing.assert_array_equal(codes, model.transform(X, y))


@every_code
def test_codes_of_classes_need_the_class(sampler):
    model = conditional(sampler)
    with pytest.raises(ValueError, match="pass the class of each row as y"):
        model.transform(X)
    assert not np.array_equal(model.transform(X, TEXTS), model.transform(X, "low"))


@every_decoder
def test_codes_come_back_as_finite_rows(sampler):
    for model in both(sampler):
        codes = codes_of(model, 7)
        y = TEXTS[:7] if model.conditional else None
        rows = model.inverse_transform(codes, y)
        assert_finite_rows(rows, (7, 4))
        np.testing.assert_array_equal(rows, model.inverse_transform(codes, y))
        with pytest.raises(ValueError, match=r"99 (columns|features)"):
            model.inverse_transform(np.zeros((2, 99)), None if y is None else y[:2])


@every_decoder
def test_rows_of_classes_need_the_class(sampler):
    model = conditional(sampler)
    codes = codes_of(model, 7)
    with pytest.raises(ValueError, match="pass the class of each row as y"):
        model.inverse_transform(codes)
    low, top = (model.inverse_transform(codes, label) for label in ["low", "top"])
    assert not np.array_equal(low, top)


@every_code
def test_codes_may_be_frames(sampler):
    model = fitted(clone(sampler).set_output(transform="pandas"))
    codes = model.transform(X)
    assert isinstance(codes, pd.DataFrame)
    assert list(codes.columns) == list(model.get_feature_names_out())


# images


@every_sampler_of_images
def test_images_come_back_as_rows(sampler):
    sampler = clone(sampler).set_params(hidden_layer_sizes="auto", max_iter=1)
    model = fitted(sampler, IMAGES)
    assert model.image_shape_ == (1, 8, 8)
    assert_finite_rows(model.sample(5, random_state=0), (5, 64))
    flat = clone(sampler).set_params(image_shape=(1, 8, 8))
    assert_equal_samples(model, fitted(flat, IMAGES.reshape(-1, 64)))
    if hasattr(model, "score_samples"):
        assert np.isfinite(model.score_samples(IMAGES)).all()
    with pytest.raises(ValueError, match="has 49 pixels, but X has 64 features"):
        clone(sampler).set_params(image_shape=(1, 7, 7)).fit(IMAGES.reshape(-1, 64))


@every_sampler_of_images
def test_images_may_have_classes(sampler):
    digits = load_digits().target[:40]
    sampler = clone(sampler).set_params(
        hidden_layer_sizes="auto", max_iter=1, conditional=True
    )
    model = fitted(sampler, IMAGES, digits)
    assert_finite_rows(model.sample(4, y=[0, 1, 2, 3]), (4, 64))


# tables of all shapes


@every_sampler
def test_constant_columns_come_back_constant(sampler):
    rows = np.column_stack([X, np.full(60, 7.0), np.full(60, -1e6)])
    model = fitted(sampler, rows)
    drawn = model.sample(30, random_state=0)
    np.testing.assert_array_equal(drawn[:, 4], 7)
    np.testing.assert_array_equal(drawn[:, 5], -1e6)
    if hasattr(model, "score_samples"):
        assert np.isfinite(model.score_samples(rows)).all()


@every_sampler
def test_constant_pixels_of_a_table_come_back_as_they_are(sampler):
    rows = load_digits().data[:400]  # of one offset and scale
    constant = np.ptp(rows, axis=0) == 0
    model = fitted(sampler, rows)
    found = [model.sample(30, random_state=0)]
    if hasattr(model, "inverse_transform"):
        found.append(model.inverse_transform(codes_of(model, 30)))
    for drawn in found:
        assert constant.any()
        assert (drawn[:, constant] == rows[0, constant]).all()


@every_sampler
@pytest.mark.parametrize(
    "shape", [(60, 1), (2, 4), (5, 40), (33, 2)], ids=lambda shape: f"{shape}"
)
def test_tables_of_any_shape_are_learned(sampler, shape):
    rows = np.random.RandomState(0).randn(*shape) * 3 + 50
    y = np.resize(["a", "b"], shape[0])
    for model in [sampler, clone(sampler).set_params(conditional=True)]:
        model = fitted(model, rows, y)
        drawn = model.sample(9, random_state=0)
        assert drawn.shape == (9, shape[1])
        assert np.isfinite(drawn).all()
        if hasattr(model, "score_samples"):
            assert np.isfinite(model.score_samples(rows, y)).all()


@every_sampler
def test_a_single_row_is_learned_or_refused_with_its_number(sampler):
    try:
        model = fitted(sampler, X[:1])
    except ValueError as error:
        assert "1 sample" in str(error)  # noqa: PT017
    else:
        assert np.isfinite(model.sample(3)).all()


@every_sampler
def test_equal_rows_are_drawn_again(sampler):
    drawn = fitted(sampler, np.tile(X[:1], (30, 1))).sample(5, random_state=0)
    np.testing.assert_allclose(drawn, np.tile(X[:1], (5, 1)), rtol=1e-3)


@every_sampler
@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array])
def test_sparse_rows_are_read_where_the_tag_says_so(sampler, container):
    rows = sparse.random(60, 6, density=0.3, random_state=0).toarray()
    if not get_tags(sampler).input_tags.sparse:
        with pytest.raises(TypeError, match=r"[Ss]parse"):
            fitted(sampler, container(rows))
        return
    model, dense = fitted(sampler, container(rows)), fitted(sampler, rows)
    assert_finite_rows(model.sample(5, random_state=0), (5, 6))
    np.testing.assert_allclose(model.offset_, dense.offset_, atol=1e-6)
    if hasattr(model, "score_samples"):
        np.testing.assert_allclose(
            model.score_samples(container(rows)), model.score_samples(rows), atol=1e-4
        )


@every_sampler
@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_frames_are_read(sampler, kind):
    frame = kind({name: X[:, i] for i, name in enumerate("abcd")})
    model = fitted(sampler, frame)
    assert model.feature_names_in_.tolist() == list("abcd")
    assert_finite_rows(model.sample(5), (5, 4))
    if kind is pd.DataFrame:
        assert_equal_samples(model, plain(sampler))
    if hasattr(model, "score_samples"):
        assert np.isfinite(model.score_samples(frame)).all()


@every_sampler
def test_pipeline_gives_back_frames(sampler):
    frame = pd.DataFrame(X, columns=list("abcd")).assign(d=X[:, 3].round().astype(int))
    pipeline = make_sampler_pipeline(StandardScaler(), clone(sampler))
    pipeline.set_params(**{f"{pipeline.steps[-1][0]}__random_state": 0}).fit(frame)
    drawn = pipeline.sample(20, random_state=0)
    pd.testing.assert_series_equal(drawn.dtypes, frame.dtypes)
    if hasattr(pipeline, "score_samples"):
        scaled = pipeline[-1].score_samples(pipeline[:-1].transform(frame))
        np.testing.assert_allclose(
            pipeline.score_samples(frame), scaled - np.log(frame.std(ddof=0)).sum()
        )
    pipeline.set_params(**{f"{pipeline.steps[-1][0]}__conditional": True})
    pipeline.fit(frame, TEXTS)
    assert pipeline.sample(3, y="mid").shape == (3, 4)
    assert pipeline.classes_.tolist() == ["low", "mid", "top"]


@every_sampler
def test_progress_of_a_sampler_in_a_pipeline_is_shown(sampler, capsys):
    model = clone(sampler).set_params(random_state=0)
    quiet = make_sampler_pipeline(StandardScaler(), clone(model)).fit(X)
    shown = make_sampler_pipeline(StandardScaler(), model)
    shown.set_callbacks(ProgressBar()).fit(X)
    assert f"{name_of(sampler)} - " in capsys.readouterr().out
    assert_equal_samples(quiet, shown)
