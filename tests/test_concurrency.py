"""Fits in threads, in worker processes and in forked children."""

import multiprocessing
import os
import threading
import warnings

import joblib
import numpy as np
import pytest
import torch
from distributed import Client, LocalCluster
from sklearn.base import clone

from skdeep.representation import AutoencoderTransformer
from tests.estimators import BRIEF_FITS_WARN, ESTIMATORS, SMALL, name_of
from tests.test_common import assert_equal_outputs

pytestmark = BRIEF_FITS_WARN

X = np.random.RandomState(0).randn(60, 4)
y = np.arange(60) % 4

every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS, ids=name_of)

# Threads and locks are alike in all: one of each kind here, the rest with all tests.
SOME = [
    pytest.param(each, marks=[pytest.mark.slow] * (i % 4 > 0), id=name_of(each))
    for i, each in enumerate(ESTIMATORS)
]

FORK = multiprocessing.get_context("fork")


def fitted(estimator):
    return clone(estimator).set_params(random_state=3).fit(X, y)


# threads


class Meeting:
    """Callback that waits, as a fit begins, for another to be refused."""

    def __init__(self):
        self.begun, self.go_on = threading.Event(), threading.Event()

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.begun.set()
        assert self.go_on.wait(60)

    def on_fit_task_end(self, estimator, context):
        pass


@pytest.mark.parametrize("estimator", SOME)
def test_second_fit_of_one_object_at_once_is_refused(estimator):
    expected = fitted(estimator)
    meeting = Meeting()
    model = clone(estimator).set_params(random_state=3).set_callbacks(meeting)
    thread = threading.Thread(target=model.fit, args=(X, y))
    thread.start()
    try:
        assert meeting.begun.wait(60)
        with pytest.raises(
            RuntimeError, match=rf"{name_of(model)} is being fitted alr"
        ):
            model.fit(X[:, :2], y)
    finally:
        meeting.go_on.set()
        thread.join()
    assert_equal_outputs(model, expected, X)
    model.set_callbacks().fit(X, y)  # and may be fitted again


def test_fit_that_failed_may_be_fitted_again():
    model = clone(SMALL)
    for bad in (np.zeros(3), np.full((3, 3), np.nan)):
        with pytest.raises(ValueError, match=r"Expected 2D|NaN"):
            model.fit(bad)
    model.fit(X)


# processes


def in_child(function, *arguments, seconds=60):
    """Call a function in a child that is forked now."""
    ours, theirs = FORK.Pipe()

    def run():
        warnings.simplefilter("ignore")
        theirs.send(function(*arguments))

    with warnings.catch_warnings():  # of forks beside threads: what is tested here
        warnings.simplefilter("ignore")
        process = FORK.Process(target=run)
        process.start()
    try:
        assert ours.poll(seconds), "the child hangs"
        return ours.recv()
    finally:
        process.kill()
        process.join()


@pytest.fixture
def two_threads():
    """Let torch work in two threads, as it does outside of tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    wide = torch.randn(600, 600)
    wide @ wide  # starts them
    torch.nn.functional.relu(torch.randn(200, 2000)).sum()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("estimator", SOME)
def test_forked_child_fits_and_predicts_alike(estimator):
    model = fitted(estimator)
    both = in_child(lambda: (fitted(estimator), model))
    for child in both:
        assert_equal_outputs(child, model, X)


@pytest.mark.usefixtures("two_threads")
def test_forked_child_of_a_large_network_does_not_hang():
    rows = np.random.RandomState(0).randn(500, 300).astype(np.float32)
    large = AutoencoderTransformer(
        10, hidden_layer_sizes=(1500, 800), max_iter=1, random_state=0
    )
    model = clone(large).fit(rows)
    n_threads, codes, again = in_child(
        lambda: (
            torch.get_num_threads(),
            model.transform(rows),
            clone(large).fit(rows).transform(rows),
        )
    )
    assert n_threads == 1
    np.testing.assert_allclose(codes, model.transform(rows), rtol=1e-3, atol=1e-4)
    assert np.isfinite(again).all()
    assert torch.get_num_threads() == 2  # the parent's stay


def test_child_forked_during_a_fit_may_fit():
    meeting = Meeting()
    model = clone(SMALL).set_params(random_state=3).set_callbacks(meeting)
    thread = threading.Thread(target=model.fit, args=(X,))
    thread.start()
    try:
        assert meeting.begun.wait(60)
        child = in_child(lambda: model.set_callbacks().fit(X).transform(X))
    finally:
        meeting.go_on.set()
        thread.join()
    np.testing.assert_array_equal(child, model.transform(X))


def outcome(estimator):
    warnings.simplefilter("ignore")
    return fitted(estimator).__getstate__(), os.getpid()


@pytest.mark.slow
def test_workers_of_loky_give_the_same_models():
    jobs = (joblib.delayed(outcome)(estimator) for estimator in ESTIMATORS)
    found = joblib.Parallel(n_jobs=2)(jobs)
    assert os.getpid() not in {pid for _, pid in found}
    for estimator, (state, _) in zip(ESTIMATORS, found, strict=True):
        child = clone(estimator)
        child.__setstate__(state)
        assert_equal_outputs(child, fitted(estimator), X)


@pytest.mark.slow
def test_workers_of_dask_give_the_same_models():
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as pool,
        Client(pool) as client,
    ):
        found = client.gather(client.map(outcome, ESTIMATORS, pure=False))
    assert os.getpid() not in {pid for _, pid in found}
    for estimator, (state, _) in zip(ESTIMATORS, found, strict=True):
        child = clone(estimator)
        child.__setstate__(state)
        assert_equal_outputs(child, fitted(estimator), X)
