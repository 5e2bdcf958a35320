"""What every estimator owes: scikit-learn's checks, and ours."""

import os

os.environ["SCIPY_ARRAY_API"] = "1"  # before scipy: else one check would be skipped

import copy
import inspect
import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.datasets import make_blobs
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

import skdeep
import skdeep.io
from skdeep.cluster import SCANClusterer
from tests.estimators import (
    BRIEF_FITS_WARN,
    CLASSIFIERS,
    CLUSTERERS,
    ENCODERS,
    ESTIMATORS,
    PIPELINES,
    SAMPLERS,
    SEARCHES,
    SMALL,
    TRANSFORMERS,
    inner_parameter,
    name_of,
)

pytestmark = BRIEF_FITS_WARN

X, y = make_blobs(60, n_features=4, centers=4, random_state=0)  # clusterers ignore y

OF_CODES = [e for e in ESTIMATORS if hasattr(e, "transform")]

every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS, ids=name_of)
every_clusterer = pytest.mark.parametrize("estimator", CLUSTERERS, ids=name_of)


def outputs(estimator, X=X):
    """All that a fitted estimator says of X, by method, and what it draws."""
    methods = ["transform", "predict", "predict_proba", "score_samples"]
    found = {m: getattr(estimator, m)(X) for m in methods if hasattr(estimator, m)}
    if hasattr(estimator, "sample"):
        found["sample"] = estimator.sample(np.shape(X)[0], random_state=0)
    return found


def values(model, X=X):
    """Return the codes of rows, their probabilities if not, or as many samples."""
    for method in ["transform", "predict_proba"]:
        if hasattr(model, method):
            return getattr(model, method)(X)
    return model.sample(np.shape(X)[0], random_state=0)


@cache
def fitted(estimator):
    """Fit once for all tests that leave the model as it is."""
    return clone(estimator).set_params(random_state=3).fit(X, y)


def assert_equal_outputs(a, b, X=X):
    first, second = outputs(a, X), outputs(b, X)
    assert first
    for method in first:
        np.testing.assert_array_equal(first[method], second[method], err_msg=method)


# scikit-learn's own


SLOW = pytest.mark.slow


def scikit_learn_checks():
    """All of them; that of sparse matrices repeats what that of arrays does."""
    for estimator in [*ESTIMATORS, *ENCODERS]:
        for _, check in estimator_checks_generator(estimator):
            name = check.func.__name__
            marks = [SLOW] if name == "check_estimator_sparse_matrix" else []
            id_ = f"{name_of(estimator)}-{name}"
            yield pytest.param(estimator, check, marks=marks, id=id_)


@pytest.mark.parametrize(("estimator", "check"), list(scikit_learn_checks()))
def test_scikit_learn_check(estimator, check):
    check(clone(estimator))


@pytest.mark.slow
@pytest.mark.timeout(2400)  # some fifty fits, of a GAN 20 s each
@pytest.mark.filterwarnings("ignore")  # the checks feed bad data on purpose
@pytest.mark.parametrize("name", [type(estimator).__name__ for estimator in ESTIMATORS])
def test_scikit_learn_checks_pass_with_defaults(name):
    estimator = getattr(skdeep, name)()
    # The check of sparse input wants of clusterers a probability of each of 4 classes.
    for parameter in ("n_clusters", "min_clusters", "max_clusters"):
        if hasattr(estimator, parameter):
            estimator.set_params(**{parameter: 4})
    results = check_estimator(estimator, on_fail=None, on_skip=None)
    assert len(results) >= 40
    assert [r["check_name"] for r in results if r["status"] != "passed"] == []


@pytest.mark.parametrize(
    "estimator", [*CLASSIFIERS, SCANClusterer(4, max_iter=3)], ids=name_of
)
def test_heads_judge_a_row_alike_wherever_it_is(estimator):
    # Ten columns: of two, as in `SMALL`, float32 would give the same bits anywhere.
    encoder = clone(SMALL).set_params(n_components=10)
    model = clone(estimator).set_params(encoder=encoder, random_state=0).fit(X, y)
    order = np.random.RandomState(0).permutation(len(X))
    np.testing.assert_array_equal(
        model.predict_proba(X[order]), model.predict_proba(X)[order]
    )


EXTRA_CHECKS = [
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_inplace_ensure_writeable,
    estimator_checks.check_param_validation,
]

EXTRA_TRANSFORMER_CHECKS = [
    estimator_checks.check_transformer_get_feature_names_out,
    estimator_checks.check_transformer_get_feature_names_out_pandas,
    estimator_checks.check_get_feature_names_out_error,
    estimator_checks.check_set_output_transform,
    estimator_checks.check_set_output_transform_pandas,
    # The same frames, asked for in other ways and of another package.
    pytest.param(estimator_checks.check_global_set_output_transform_polars, marks=SLOW),
    pytest.param(estimator_checks.check_set_output_transform_polars, marks=SLOW),
    pytest.param(estimator_checks.check_global_output_transform_pandas, marks=SLOW),
]


@pytest.mark.filterwarnings("ignore:X .* feature names")
@pytest.mark.parametrize("estimator", [*ESTIMATORS, *ENCODERS], ids=name_of)
@pytest.mark.parametrize("check", EXTRA_CHECKS, ids=lambda check: check.__name__)
def test_scikit_learn_check_that_check_estimator_leaves_out(estimator, check):
    check(name_of(estimator), clone(estimator))


@pytest.mark.filterwarnings("ignore:X .* feature names")
@pytest.mark.parametrize("estimator", [*OF_CODES, *ENCODERS], ids=name_of)
@pytest.mark.parametrize("check", EXTRA_TRANSFORMER_CHECKS, ids=lambda c: c.__name__)
def test_scikit_learn_check_of_transformers_left_out_by_check_estimator(
    estimator, check
):
    check(name_of(estimator), clone(estimator))


def test_every_public_estimator_is_in_the_list():
    from sklearn.base import BaseEstimator

    public = {
        name
        for name in skdeep.__all__
        if isinstance(getattr(skdeep, name), type)
        and issubclass(getattr(skdeep, name), BaseEstimator)
    }
    assert public == {name_of(e) for e in [*ESTIMATORS, *ENCODERS, *PIPELINES]}


# state and randomness


@every_estimator
@pytest.mark.parametrize("kind", [np.int8, np.uint8])
def test_integers_of_numpy_are_as_good(estimator, kind):
    model = clone(estimator).set_params(random_state=3)
    counts = {
        name: kind(value)
        for name, value in model.get_params().items()
        if type(value) is int and "verbose" not in name and 0 <= value < 128
    }
    assert counts
    assert_equal_outputs(fitted(estimator), model.set_params(**counts).fit(X, y))


@every_estimator
def test_same_seed_gives_same_bits(estimator):
    again = clone(estimator).set_params(random_state=3).fit(X, y)
    assert_equal_outputs(fitted(estimator), again)


@every_estimator
def test_same_seed_gives_same_bits_in_two_threads_at_once(estimator):
    model = clone(estimator).set_params(random_state=3)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: clone(model).fit(X, y), range(2)))
    for found in both:
        assert_equal_outputs(fitted(estimator), found)


@every_estimator
def test_other_seeds_give_other_models(estimator):
    other = clone(estimator).set_params(random_state=4).fit(X, y)
    assert not np.array_equal(values(fitted(estimator)), values(other))


@every_estimator
def test_callbacks_do_not_change_the_result(estimator):
    watched = clone(estimator).set_params(random_state=3)
    watched.set_callbacks(ProgressBar()).fit(X, y)
    assert_equal_outputs(fitted(estimator), watched)


@every_estimator
def test_callers_generators_stay_untouched(estimator):
    numpy_before, torch_before = (
        joblib.hash(np.random.get_state()),
        torch.get_rng_state(),
    )
    model = clone(estimator).set_params(random_state=0).fit(X, y)
    values(pickle.loads(pickle.dumps(model)))
    assert joblib.hash(np.random.get_state()) == numpy_before
    assert torch.equal(torch_before, torch.get_rng_state())


@every_estimator
def test_no_seed_means_numpys_global_one_as_in_scikit_learn(estimator):
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()
    np.random.seed(5)
    first = clone(estimator).fit(X, y)
    np.random.seed(5)
    second = clone(estimator).fit(X, y)
    np.random.set_state(numpy_before)
    assert_equal_outputs(first, second)
    assert torch.equal(torch_before, torch.get_rng_state())


@every_estimator
def test_refit_forgets(estimator):
    other, other_y = make_blobs(40, n_features=3, centers=2, random_state=1)
    model = clone(estimator).set_params(random_state=3)
    refitted = clone(model).fit(X, y).fit(other, other_y)
    assert_equal_outputs(refitted, clone(model).fit(other, other_y), other)


@every_estimator
def test_fit_keeps_parameters_and_clone_drops_the_fit(estimator):
    model = clone(estimator).set_params(random_state=3)
    before = joblib.hash(model.get_params())
    model.fit(X, y)
    assert joblib.hash(model.get_params()) == before
    with pytest.raises(NotFittedError):
        values(clone(model))


def joblib_copy(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


def skops_copy(model):
    data = skops.io.dumps(model)
    untrusted = skops.io.get_untrusted_types(data=data)
    assert all(name.startswith("skdeep.") for name in untrusted), untrusted
    return skops.io.loads(data, trusted=untrusted)


COPIES = [
    copy.copy,
    copy.deepcopy,
    lambda model: pickle.loads(pickle.dumps(model)),
    joblib_copy,
    skops_copy,
]


@every_estimator
@pytest.mark.parametrize(
    "copied", COPIES, ids=["copy", "deepcopy", "pickle", "joblib", "skops"]
)
def test_copies_predict_the_same(estimator, copied):
    model = fitted(estimator)
    assert_equal_outputs(model, copied(model))


@every_estimator
def test_state_holds_no_torch_object(estimator):
    assert b"torch" not in pickle.dumps(fitted(estimator))


@every_estimator
def test_other_version_warns(estimator):
    state = fitted(estimator).__getstate__()
    model = clone(estimator)
    with pytest.warns(InconsistentVersionWarning, match="skdeep 0.0.1"):
        model.__setstate__({**state, "_skdeep_version": "0.0.1"})


# history


@every_estimator
def test_history_has_one_finite_value_an_epoch(estimator):
    model = fitted(estimator)
    n_epochs = getattr(model, "autoencoder_", model).n_iter_
    if hasattr(model, "max_iter"):
        n_epochs = model.n_iter_
    assert model.history_["loss"]
    for values in model.history_.values():
        assert len(values) == n_epochs
        assert np.all(np.isfinite(values))


# input


@every_estimator
def test_kinds_of_input_agree(estimator, tmp_path):
    # Numbers that bfloat16 holds too, so that all kinds hold the same ones.
    data = torch.tensor(X).bfloat16().float().numpy()
    mapped = np.memmap(tmp_path / "X", np.float32, "w+", shape=data.shape)
    mapped[:] = data
    mapped.flush()
    inputs = {
        "list": data.tolist(),
        "frame": pd.DataFrame(data, columns=list("abcd")),
        "fortran": np.asfortranarray(data),
        "csr": sparse.csr_matrix(data),
        "csr array": sparse.csr_array(data),
        "csc": sparse.csc_matrix(data),
        "memmap": np.memmap(tmp_path / "X", np.float32, "r", shape=data.shape),
        "tensor": torch.tensor(data, requires_grad=True),
        "bfloat16 tensor": torch.tensor(data).bfloat16(),
    }
    model = clone(estimator).set_params(random_state=3)
    expected = values(clone(model).fit(data, y), data)
    for kind, given in inputs.items():
        # Lists are read in float64, sparse rows are added up in another order.
        tolerance = 1e-2 if kind in ("list", "csr", "csr array", "csc") else 0
        found = values(clone(model).fit(given, y), given)
        np.testing.assert_allclose(
            found, expected, rtol=0, atol=tolerance, err_msg=kind
        )


@every_estimator
def test_images_are_rows_to_a_model_of_images(estimator):
    images = X.reshape(-1, 1, 2, 2)
    model = clone(estimator).set_params(random_state=3).fit(images, y)
    assert values(model, images).shape == values(fitted(estimator)).shape
    from_images, from_rows = outputs(model, images), outputs(model, X)
    for method in from_rows:
        np.testing.assert_array_equal(from_images[method], from_rows[method])


@every_estimator
@pytest.mark.parametrize(
    ("bad", "error", "text"),
    [
        (np.full((20, 3), np.nan), ValueError, "Input X contains NaN"),
        (np.full((20, 3), np.inf), ValueError, "Input X contains infinity"),
        (np.full((20, 3), 1e300), ValueError, "too large for dtype"),
        (np.full((20, 3), "red"), ValueError, "TabularEncoder"),
        (pd.DataFrame({"a": ["x", "y"] * 9}), ValueError, "TabularEncoder"),
        (
            pd.DataFrame({"a": range(9), "b": pd.Timestamp("2020")}),
            ValueError,
            "TabularEncoder",
        ),
        (
            pd.DataFrame({"a": range(9), "b": pd.Timestamp("2020", tz="UTC")}),
            ValueError,
            "TabularEncoder",
        ),
        (np.zeros(20), ValueError, "Expected 2D array, got 1D array"),
        (np.zeros((0, 3)), ValueError, "0 sample"),
        (np.zeros((20, 0)), ValueError, "0 feature"),
        (np.zeros((20, 3)) + 1j, ValueError, "Complex data not supported"),
        (np.zeros((20, 3, 3)), ValueError, r"dim 3.* \(n, channels, height, width\)"),
    ],
    ids=lambda _: None,
)
def test_bad_input_is_refused(estimator, bad, error, text):
    with pytest.raises(error, match=text):
        clone(estimator).fit(bad, np.arange(len(bad)) % 2)


@every_estimator
@pytest.mark.parametrize("method", ["transform", "predict", "predict_proba", "score"])
def test_other_number_of_features_is_refused(estimator, method):
    model = fitted(estimator)
    if hasattr(model, method):
        with pytest.raises(ValueError, match=r"X has 3 features, but .* expecting 4"):
            getattr(model, method)(X[:, :3], *[y] * (method == "score"))


@every_estimator
def test_images_of_another_layout_are_refused(estimator):
    images = np.resize(X, (20, 1, 8, 6))
    model = clone(estimator).set_params(random_state=0).fit(images, np.arange(20) % 2)
    for method in ["transform", "predict", "score_samples"]:
        if hasattr(model, method):
            getattr(model, method)(images.reshape(20, 48))
            for other in (np.moveaxis(images, 1, -1), np.swapaxes(images, 2, 3)):
                with pytest.raises(ValueError, match=r"was fitted on \(1, 8, 6\)\."):
                    getattr(model, method)(other)


@every_estimator
def test_images_of_another_layout_than_the_parameter_are_refused(estimator):
    model = clone(estimator).set_params(random_state=0)
    name = next(n for n in model.get_params() if n.endswith("image_shape"))
    model.set_params(**{name: (1, 8, 6)})
    with pytest.raises(ValueError, match=r"'image_shape' parameter of .* is \(1, 8, 6"):
        model.fit(np.resize(X, (20, 1, 6, 8)), np.arange(20) % 2)


@every_estimator
def test_rows_are_called_X_so_that_none_are_routed_as_metadata(estimator):
    for method in ["fit", "transform", "inverse_transform", "score_samples", "predict"]:
        if hasattr(estimator, method):
            first, *_ = inspect.signature(getattr(estimator, method)).parameters
            assert first == "X"


@every_estimator
def test_unfitted_methods_say_so(estimator):
    methods = ["transform", "predict", "predict_proba", "score", "score_samples"]
    for method in [*methods, "inverse_transform"]:
        if hasattr(estimator, method):
            with pytest.raises(NotFittedError):
                getattr(clone(estimator), method)(X, *[y] * (method == "score"))


@every_estimator
def test_names_are_listed_before_and_after_fit(estimator):
    # As completion does, and the picture of a fitted model, which asks for all of them.
    assert {"fit", "get_params"} <= set(dir(clone(estimator)))
    assert "n_features_in_" in dir(fitted(estimator))
    assert "n_features_in_" in fitted(estimator)._repr_html_()


@every_estimator
def test_equal_rows_fit(estimator):
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    same = np.ones((30, 3))
    model = clone(estimator)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(same, np.arange(30) % 2)
    assert np.isfinite(values(model, same)).all()
    if estimator in CLUSTERERS:
        assert any(issubclass(w.category, ConvergenceWarning) for w in caught)
        assert "distinct clusters" in str(caught[0].message)
        assert len(set(model.labels_)) == 1


@every_estimator
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_column_that_did_not_vary_in_fit_tells_nothing(estimator, kind):
    model = clone(estimator).set_params(random_state=3)
    model.fit(kind(np.insert(X, 1, 5.0, axis=1)), y)
    before, after = (
        outputs(model, kind(np.insert(X, 1, value, axis=1))) for value in (5.0, 1e3)
    )
    if estimator is SMALL:  # of which it is what rebuilds the row that is judged
        assert (after.pop("score_samples") < before.pop("score_samples") - 1).all()
    for method in before:
        np.testing.assert_array_equal(after[method], before[method], err_msg=method)


@pytest.mark.parametrize(
    "estimator",
    [e for e in ESTIMATORS if "augment" in e.get_params()],
    ids=name_of,
)
def test_column_that_augmentations_let_vary_is_read(estimator):
    def moved(x, rng):
        noise = torch.randn(x.shape, generator=rng, device=x.device)
        return x + noise

    model = clone(estimator).set_params(augment=moved, random_state=3)
    model.fit(np.insert(X, 1, 5.0, axis=1), y)
    before, after = (values(model, np.insert(X, 1, v, axis=1)) for v in (5.0, 1e3))
    assert not np.array_equal(before, after)


@every_estimator
def test_divergence_leaves_an_unfitted_estimator(estimator):
    # A learning rate beyond all reason: the weights overflow in the second epoch.
    broken = {"learning_rate": 1e30, "precision": "float32"}
    if estimator in [*CLUSTERERS, *SEARCHES]:
        inner = inner_parameter(estimator)
        broken = {f"{inner}__{name}": value for name, value in broken.items()}
    model = clone(estimator).set_params(**broken)
    with pytest.raises(FloatingPointError, match=r"became (nan|inf) in epoch \d+"):
        model.fit(X, y)
    assert [name for name in vars(model) if name.endswith("_")] == []
    with pytest.raises(NotFittedError):
        values(model)


@every_estimator
def test_failed_refit_leaves_an_unfitted_estimator(estimator):
    class Stop(RuntimeError):
        pass

    class Stopper:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            if context.task_name == "epoch":
                raise Stop

        def on_fit_task_end(self, estimator, context):
            pass

    model = clone(estimator).fit(X, y)
    with pytest.raises(Stop):
        model.set_callbacks(Stopper()).fit(X, y)
    with pytest.raises(NotFittedError):
        values(model)


# devices


def on_device(model, device):
    """Set the device of a model, or of the clusterer that it fits."""
    name = (
        "clusterer__device" if isinstance(model, skdeep.NClustersSearch) else "device"
    )
    return model.set_params(**{name: str(device)})


@every_estimator
def test_model_of_any_device_is_kept_and_works_on_the_cpu(estimator, device, tmp_path):
    model = on_device(clone(estimator).set_params(random_state=3), device).fit(X, y)
    skdeep.io.save(model, tmp_path / "model")
    loaded = skdeep.io.load(tmp_path / "model")
    assert_equal_outputs(model, loaded)
    there, here = outputs(model), outputs(on_device(loaded, "cpu"))
    for method, found in there.items():
        assert here[method].shape == found.shape
        assert here[method].dtype == found.dtype
        assert np.isfinite(here[method]).all()
    # What is drawn, densities by chance too, depends on the device.
    for method in {"transform", "predict_proba"} & there.keys():
        np.testing.assert_allclose(here[method], there[method], rtol=1e-3, atol=1e-3)
    if hasattr(model, "score"):
        assert np.isfinite([model.score(X, y), loaded.score(X, y)]).all()


@contextmanager
def unusual_modes():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with (
            torch.inference_mode(),
            torch.autocast("cpu", torch.bfloat16),
            torch.device("meta"),
        ):
            yield
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("estimator", SAMPLERS, ids=name_of)
def test_modes_of_the_caller_do_not_matter_to_classes(estimator):
    model = clone(estimator).set_params(conditional=True, random_state=3)
    expected = clone(model).fit(X, y).sample(5, y=y[0], random_state=0)[0]
    with unusual_modes():
        found = clone(model).fit(X, y).sample(5, y=y[0], random_state=0)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@every_estimator
def test_modes_of_the_caller_do_not_matter(estimator):
    expected = outputs(fitted(estimator))
    with unusual_modes():
        found = outputs(clone(estimator).set_params(random_state=3).fit(X, y))
    for method, values in expected.items():
        np.testing.assert_allclose(
            found[method], values, rtol=1e-5, atol=1e-5, err_msg=method
        )


@every_estimator
def test_unusable_device_is_refused(estimator):
    model = on_device(clone(estimator), "quantum")
    with pytest.raises(ValueError, match=r"The 'device' parameter of .* 'quantum'"):
        model.fit(X, y)


def test_entries_that_are_stored_in_parts_are_added_up():
    table = np.round(np.abs(X))
    whole = sparse.csr_matrix(table)
    data = np.repeat(whole.data / 2, 2)
    twice = sparse.csr_matrix(
        (data, np.repeat(whole.indices, 2), 2 * whole.indptr), shape=whole.shape
    )
    stored = twice.nnz
    model = clone(TRANSFORMERS[0]).set_params(random_state=0)
    found = clone(model).fit(twice)
    expected = clone(model).fit(whole)
    np.testing.assert_array_equal(found.scale_, expected.scale_)
    np.testing.assert_allclose(
        found.transform(twice), expected.transform(whole), atol=1e-5
    )
    assert twice.nnz == stored  # the caller's matrix is as it was


# clusterers


@every_clusterer
def test_planted_clusters_are_found(estimator):
    planted, y = make_blobs(200, n_features=8, centers=4, random_state=0)
    model = clone(estimator).set_params(n_clusters=4, random_state=0).fit(planted)
    assert skdeep.clustering_accuracy_score(y, model.labels_) == 1


@every_clusterer
def test_labels_are_what_predict_says_of_the_training_rows(estimator):
    model = fitted(estimator)
    np.testing.assert_array_equal(model.labels_, model.predict(X))
    np.testing.assert_array_equal(
        clone(estimator).set_params(random_state=1).fit_predict(X),
        clone(estimator).set_params(random_state=1).fit(X).labels_,
    )


@every_clusterer
def test_probabilities_sum_to_one_and_lead_to_the_label(estimator):
    model = fitted(estimator)
    q = model.predict_proba(X)
    assert q.dtype == np.float32
    assert q.shape == (len(X), 4)
    np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(q.argmax(axis=1), model.predict(X))


@every_clusterer
def test_fewer_rows_than_clusters_is_refused(estimator):
    with pytest.raises(ValueError, match="minimum of 9 is required"):
        clone(estimator).set_params(n_clusters=9).fit(X[:8])


@every_clusterer
def test_score_is_a_mean_over_rows(estimator):
    model = fitted(estimator)
    rows = [model.score(X[i : i + 1]) for i in range(10)]
    assert model.score(X[:10]) == pytest.approx(np.mean(rows), rel=1e-4, abs=1e-5)


@every_clusterer
def test_search_inside_no_autoencoder_says_what_to_do(estimator):
    inner = inner_parameter(estimator)
    model = clone(estimator).set_params(**{inner: None})
    with pytest.raises(ValueError, match="Give the estimator itself first"):
        model.set_params(**{f"{inner}__n_components": 3})


SCORERS = [e for e in TRANSFORMERS if hasattr(e, "score_samples")]


@pytest.mark.parametrize("estimator", SCORERS, ids=name_of)
def test_score_is_the_mean_of_score_samples(estimator):
    model = fitted(estimator)
    assert model.score(X) == pytest.approx(model.score_samples(X).mean())
