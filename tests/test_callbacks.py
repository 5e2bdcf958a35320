import copy
import inspect
import pickle
import signal
import threading
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

import skdeep.callbacks
from skdeep.callbacks import (
    Checkpoint,
    EarlyStopping,
    GradientClipping,
    MetricMonitor,
    StopOnInterrupt,
)
from skdeep.cluster import DECClusterer, NClustersSearch
from skdeep.metrics import embedding_silhouette_scorer, stability_scorer
from tests.estimators import BRIEF_FITS_WARN, ESTIMATORS, SMALL, name_of
from tests.test_docstrings import (
    ENFORCED_AT_THE_TOP,
    assert_documented_defaults_are_real,
)

pytestmark = BRIEF_FITS_WARN

X, y = make_blobs(60, n_features=4, centers=4, random_state=0)

every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS, ids=name_of)

DEC = DECClusterer(4, autoencoder=SMALL, max_iter=6, tol=0, random_state=0)


def fitted_with(estimator, *callbacks, X=X, y=None):
    return clone(estimator).set_callbacks(*callbacks).fit(X, y)


def path(context):
    """Phase and number of an epoch, else the name of a task."""
    if context.task_name != "epoch":
        return context.task_name
    return f"{context.parent.task_name}/{context.task_id + 1}"


@pytest.fixture(autouse=True)
def interruptible():
    # Processes that a shell started in the background ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Copier:
    """Copies the estimator at each step of a fit, in two ways."""

    def setup(self, estimator, context):
        self._copy(estimator)

    def teardown(self, estimator, context):
        self._copy(estimator)

    def on_fit_task_begin(self, estimator, context):
        self._copy(estimator)

    def on_fit_task_end(self, estimator, context):
        self._copy(estimator)

    def _copy(self, estimator):
        copied = pickle.loads(pickle.dumps(copy.deepcopy(estimator)))
        assert repr(copied) == repr(estimator)


class Interruptor:
    """Callback that presses Ctrl-C in given epochs."""

    def __init__(self, *where):
        self.where = where

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        if path(context) in self.where:
            signal.raise_signal(signal.SIGINT)

    def on_fit_task_end(self, estimator, context):
        pass

    def part(self, name):
        return self


# early stopping


@every_estimator
def test_early_stopping_ends_every_phase(estimator):
    stopping = EarlyStopping(n_iter_no_change=1, tol=1e9)  # nothing improves by that
    endless = [name for name in estimator.get_params() if name.split("__")[-1] == "tol"]
    estimator = clone(estimator).set_params(**dict.fromkeys(endless, 0))
    model = fitted_with(estimator, stopping, y=y)
    model = getattr(model, "clusterer_", model)
    inner = getattr(model, "autoencoder_", model)
    # The first epoch of all is better than none, the second is no better.
    assert inner.n_iter_ == 2
    for name in ("history_", "head_history_", "self_label_history_"):
        assert len(getattr(model, name, {"loss": [0, 0]})["loss"]) == 2


def test_early_stopping_counts_epochs_since_the_best():
    stopping = EarlyStopping(n_iter_no_change=4, tol=0.3)
    model = clone(SMALL).set_params(max_iter=60, random_state=0)
    history = fitted_with(model, stopping).history_["loss"]
    best, last = np.inf, 0
    for epoch, value in enumerate(history):
        if value < best - 0.3:
            best, last = value, epoch
    assert len(history) - 1 - last == 4
    assert len(history) < 60


@pytest.mark.parametrize(
    ("values", "tol", "since"),
    [
        ([], 0, 0),
        ([3, 2, 1], 0, 0),
        ([3, 2, 2], 0, 1),
        ([3, 2.5, 2.2], 0.4, 1),  # an improvement is one over the best that counted
        ([3, 2.5, 2.2], 0.6, 0),
        ([1, float("nan"), 2], 0, 2),
    ],
)
def test_epochs_since_the_best(values, tol, since):
    assert skdeep.callbacks.n_since_best(values, tol) == since


def test_early_stopping_of_one_phase_leaves_the_others():
    stopping = EarlyStopping(n_iter_no_change=1, tol=1e9, phase="cluster")
    model = fitted_with(DEC, stopping)
    assert model.autoencoder_.n_iter_ == SMALL.max_iter
    assert model.n_iter_ == 2


@pytest.mark.parametrize(
    ("estimator", "names"),
    [
        (SMALL, "'train'"),
        (DEC, "'cluster', 'pretrain'"),
        (clone(DEC).set_params(n_runs=2), "'cluster', 'pretrain'"),
        (NClustersSearch(clusterer=DEC, max_clusters=3), "'cluster', 'pretrain'"),
    ],
    ids=["one phase", "two phases", "runs", "search"],
)
def test_early_stopping_says_that_there_is_no_such_phase(estimator, names):
    with pytest.warns(
        UserWarning, match=r"\(phase='training'\).* but " + names
    ) as found:
        fitted_with(estimator, EarlyStopping(phase="training"))
    assert len(found) == 1
    for name in names.replace("'", "").split(", "):
        fitted_with(estimator, EarlyStopping(phase=name))


def test_early_stopping_knows_a_pretraining_that_was_kept(tmp_path):
    kept = clone(DEC).set_params(memory=str(tmp_path)).fit(X)
    frozen = clone(DEC).set_params(autoencoder=FrozenEstimator(kept.autoencoder_))
    for model in (kept, frozen):
        fitted_with(model, EarlyStopping(phase="pretrain"))
        with pytest.warns(UserWarning, match="but 'cluster', 'pretrain'"):
            fitted_with(model, EarlyStopping(phase="training"))


def test_early_stopping_takes_the_larger_as_the_better():
    for mode, expected in (("min", 2), ("max", 6)):
        rising = MetricMonitor({"epoch": epoch_number})
        stopping = EarlyStopping(
            "epoch", n_iter_no_change=1, mode=mode, phase="cluster"
        )
        model = fitted_with(DEC, rising, stopping)
        assert model.n_iter_ == expected


def epoch_number(model, *_):
    return len(model.history_["loss"])


def test_early_stopping_says_what_it_could_monitor():
    text = "records? 'loss', .*'reconstruction_loss'. Name one of these"
    with pytest.raises(ValueError, match=text):
        fitted_with(SMALL, EarlyStopping("validation_los"))


def test_early_stopping_prefers_the_loss_of_rows_held_out():
    flow = next(e for e in ESTIMATORS if name_of(e) == "FlowSampler")
    flow = clone(flow).set_params(early_stopping=True, max_iter=5)
    with pytest.raises(ValueError, match="validation_loss"):
        fitted_with(flow, EarlyStopping("nothing"))
    model = fitted_with(flow, EarlyStopping(n_iter_no_change=1, tol=1e9))
    assert len(model.history_["validation_loss"]) == 2


@pytest.mark.parametrize(
    ("callback", "text"),
    [
        (EarlyStopping(n_iter_no_change=0), "'n_iter_no_change' .* Got 0"),
        (EarlyStopping(n_iter_no_change=1.5), "'n_iter_no_change' .* Got 1.5"),
        (EarlyStopping(mode="less"), "'mode' .* among .*'min'.* Got 'less'"),
        (EarlyStopping(tol=-1), "'tol' .* Got -1"),
        (EarlyStopping(tol="1"), "'tol' .* Got '1'"),
        (MetricMonitor("r2", every=0), "'every' .* Got 0"),
        (GradientClipping(0), "'max_norm' .* Got 0"),
        (Checkpoint("folder", keep=0), "'keep' .* Got 0"),
        (Checkpoint(3), "'directory' .* Got 3"),
        (MetricMonitor(3), "'scoring' .* Got 3"),
        (MetricMonitor({"score": 3}), "'scoring' .* Got 3"),
    ],
)
def test_parameters_are_checked_before_the_fit(callback, text):
    model = clone(SMALL).set_callbacks(callback)
    with pytest.raises(ValueError, match=text):
        model.fit(X)


def test_callbacks_of_skdeep_say_that_they_are_for_skdeep():
    model = LogisticRegression().set_callbacks(EarlyStopping())
    with pytest.raises(TypeError, match=r"train networks\. Got .* LogisticRegr"):
        model.fit(X, y)


# metrics


@every_estimator
def test_metrics_join_the_record_of_each_epoch(estimator):
    seen = []

    def count(model, X, y):
        check_is_fitted(model)
        seen.append((X, y))
        return len(seen)

    has_epochs = hasattr(estimator, "max_iter") or hasattr(estimator, "max_clusters")
    text = "MetricMonitor recorded nothing: the fit of AEKMeans"
    with nullcontext() if has_epochs else pytest.warns(UserWarning, match=text):
        model = fitted_with(estimator, MetricMonitor({"count": count}), y=y)
    histories = [
        getattr(model, name, {})
        for name in ("head_history_", "history_", "self_label_history_")
    ]
    if not has_epochs:  # k-means alone
        assert not seen
        return
    counts = [count for h in histories for count in h.get("count", [])]
    assert counts == [*range(1, len(seen) + 1)]
    assert all(len(h["count"]) == len(h["loss"]) for h in histories if h)
    np.testing.assert_array_equal(seen[0][0], X)
    assert seen[0][1] is y


def test_metrics_between_scores_repeat_the_last():
    rising = MetricMonitor({"epoch": epoch_number}, every=3)
    history = fitted_with(clone(SMALL).set_params(max_iter=7), rising).history_
    assert history["epoch"] == [1, 1, 3, 3, 3, 6, 6]


def test_metrics_of_a_model_are_those_it_has_afterwards():
    monitor = MetricMonitor(embedding_silhouette_scorer)
    model = fitted_with(clone(DEC).set_params(guard=False), monitor)
    scores = model.history_["embedding_silhouette_scorer"]
    assert scores[-1] == embedding_silhouette_scorer(model, X)


def test_stability_of_a_model_that_is_watched_for_it():
    monitor = MetricMonitor(stability_scorer, every=3)
    model = clone(DEC).set_params(autoencoder__max_iter=1, max_iter=3, n_init=1)
    scores = fitted_with(model, monitor).history_["stability_scorer"]
    assert scores[-1] == stability_scorer(model, X)


def test_stability_is_not_watched_and_leaves_the_callbacks_alone():
    def refuse(*_):
        raise AssertionError

    quick = clone(SMALL).set_params(max_iter=1).set_callbacks(MetricMonitor(refuse))
    frozen = FrozenEstimator(fitted_with(SMALL, EarlyStopping()))
    for autoencoder in (quick, frozen):
        model = DECClusterer(2, autoencoder=autoencoder, max_iter=1, random_state=0)
        model.set_callbacks(MetricMonitor(refuse))
        stability_scorer(make_pipeline(StandardScaler(), model), X)
        assert hasattr(model, "_skl_callbacks")
        assert hasattr(getattr(autoencoder, "estimator", quick), "_skl_callbacks")


def test_metrics_use_rows_and_labels_of_their_own():
    seen = []

    def spy(_, X, y):
        seen.append((len(X), None if y is None else len(y)))
        return 0.0

    def scored(*arguments):
        seen.clear()
        fitted_with(clone(SMALL).set_params(max_iter=1), MetricMonitor(spy, *arguments))
        return seen

    assert scored() == [(60, None)]
    assert scored(None, y) == [(60, 60)]
    assert scored(X[:5]) == [(5, None)]
    assert scored(X[:5], y[:5]) == [(5, 5)]


def test_metrics_that_lack_labels_say_how_to_give_some():
    model = clone(DEC).set_params(max_iter=1)
    with pytest.raises(ValueError, match=r"MetricMonitor\(scoring, y=y\)\. \(labels_"):
        fitted_with(model, MetricMonitor("adjusted_rand_score"))

    def fail(*_):
        raise TypeError("my own")

    with pytest.raises(TypeError, match=r"^my own$"):
        fitted_with(model, MetricMonitor(fail, y=y))


def test_metrics_take_names_and_frames_without_warning():
    frame = pd.DataFrame(X, columns=list("abcd"))
    for given in (None, frame):
        monitor = MetricMonitor("normalized_mutual_info_score", given, y)
        history = fitted_with(DEC, monitor, X=frame).history_
        assert 0 < history["normalized_mutual_info_score"][-1] <= 1


def test_metric_that_is_not_a_number_is_recorded_all_the_same():
    monitor = MetricMonitor({"nan": lambda *_: float("nan")})
    assert np.isnan(fitted_with(SMALL, monitor).history_["nan"]).all()


def test_metric_with_the_name_of_a_loss_is_refused():
    with pytest.raises(ValueError, match="'loss' has the name of a number that phase"):
        fitted_with(SMALL, MetricMonitor({"loss": epoch_number}))


def test_metrics_do_not_change_the_fit():
    plain = fitted_with(DEC)
    watched = fitted_with(DEC, MetricMonitor({"epoch": epoch_number}))
    np.testing.assert_array_equal(plain.transform(X), watched.transform(X))
    assert set(watched.history_) == {*plain.history_, "epoch"}


# fits inside of fits

RUNS = clone(DEC).set_params(n_runs=3, guard=False)
SEARCH = NClustersSearch(DEC, max_clusters=3, random_state=0)
inner_fits = pytest.mark.parametrize("estimator", [RUNS, SEARCH], ids=name_of)


@inner_fits
def test_callbacks_reach_inner_fits(estimator):
    monitor = MetricMonitor({"rows": lambda model, X, _: len(model.predict(X))})
    model = fitted_with(
        estimator, monitor, EarlyStopping("rows", phase="cluster", n_iter_no_change=2)
    )
    assert model.history_["rows"] == [len(X)] * 3  # one better than none, two no better
    assert model.n_iter_ == 3
    assert getattr(model, "clusterer_", model).get_params()["max_iter"] == 6
    assert not hasattr(getattr(model, "clusterer_", None), "_skl_callbacks")


@inner_fits
def test_interrupt_of_an_inner_fit_ends_the_whole(estimator):
    epochs = []
    count = MetricMonitor({"n": lambda *_: epochs.append(1) or 0.0})
    interrupt = StopOnInterrupt(), Interruptor("cluster/2")
    with pytest.warns(ConvergenceWarning, match="phase 'cluster' ended after 2 of 6"):
        model = fitted_with(estimator, count, *interrupt)
    assert len(epochs) == 2
    assert model.n_iter_ == 2
    assert len(model.predict(X)) == len(X)


@inner_fits
def test_interrupt_before_an_inner_fit_leaves_it_one_epoch_a_phase(estimator):
    interrupt = StopOnInterrupt(), Interruptor("pretrain/1")
    with pytest.warns(ConvergenceWarning, match="phase 'pretrain' ended after 1"):
        model = fitted_with(estimator, *interrupt)
    assert model.n_iter_ == 1


def test_estimators_are_copied_while_they_are_fitted():
    fitted_with(SEARCH, Copier())


def test_runs_keep_their_checkpoints_apart(tmp_path):
    whole = fitted_with(RUNS)
    kept = fitted_with(RUNS, Checkpoint(tmp_path, every=2))
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == [
        "run-1",
        "run-2",
        "run-3",
    ]
    for part in (tmp_path / "run-2", tmp_path / "run-3"):
        for file in part.glob("checkpoint-cluster-*6.safetensors"):
            file.unlink()  # as if it had been killed
    resumed = fitted_with(RUNS, Checkpoint(tmp_path, every=2))
    for model in (kept, resumed):
        np.testing.assert_array_equal(model.predict_proba(X), whole.predict_proba(X))
        np.testing.assert_array_equal(model.run_scores_, whole.run_scores_)


# Ctrl-C


@every_estimator
def test_interrupt_leaves_an_unfitted_estimator_and_the_callers_handler(estimator):
    before = signal.getsignal(signal.SIGINT)
    model = clone(estimator).fit(X, y)
    model.set_callbacks(Interruptor("train/2", "pretrain/2"))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    assert signal.getsignal(signal.SIGINT) is before
    model.set_callbacks().fit(X, y)  # it is none the worse for it


@every_estimator
def test_interrupt_ends_the_fit_with_the_model_so_far_if_asked(estimator):
    before = signal.getsignal(signal.SIGINT)
    callbacks = StopOnInterrupt(), Interruptor("train/2", "pretrain/2")
    model = clone(estimator).set_callbacks(*callbacks)
    with pytest.warns(ConvergenceWarning, match="was interrupted: phase '(pre)?train'"):
        model.fit(X, y)
    check_is_fitted(model)
    epochs = [len(h["loss"]) for name, h in vars(model).items() if "history_" in name]
    # The interrupted phase has two, those after it one.
    assert epochs
    assert max(epochs) <= 2
    if hasattr(model, "predict"):
        assert len(model.predict(X)) == len(X)
    assert signal.getsignal(signal.SIGINT) is before


@inner_fits
def test_interrupts_are_heard_until_the_last_inner_fit_has_ended(estimator):
    heard = []
    watch = MetricMonitor({"n": lambda *_: heard.append(signal.getsignal(2)) or 0.0})
    callback = StopOnInterrupt()
    fitted_with(estimator, callback, watch)
    assert set(heard) == {callback._on_interrupt}


def test_second_interrupt_does_not_wait():
    model = clone(SMALL).set_callbacks(
        StopOnInterrupt(), Interruptor("train", "train/1")
    )
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)


def test_interrupt_in_the_last_epoch_takes_nothing_and_warns_of_nothing():
    model = clone(SMALL).set_params(max_iter=2)
    model.set_callbacks(StopOnInterrupt(), Interruptor("train/2")).fit(X)
    assert model.n_iter_ == 2


def test_one_callback_serves_fit_after_fit():
    callback = StopOnInterrupt()
    model = (
        clone(SMALL)
        .set_params(max_iter=3)
        .set_callbacks(callback, Interruptor("train/1"))
    )
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        model.fit(X)
    model.set_callbacks(callback).fit(X)
    assert model.n_iter_ == 3


def test_fits_in_other_threads_do_not_touch_the_handler():
    before = signal.getsignal(signal.SIGINT)
    model = clone(SMALL).set_params(max_iter=2).set_callbacks(StopOnInterrupt())
    thread = threading.Thread(target=model.fit, args=(X,))
    thread.start()
    thread.join()
    assert model.n_iter_ == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_fit_in_another_thread_leaves_the_interrupt_of_the_main_one_alone():
    before = signal.getsignal(signal.SIGINT)
    callback = StopOnInterrupt()
    other = clone(SMALL).set_params(max_iter=2).set_callbacks(callback)

    def fit_other(*_):
        thread = threading.Thread(target=other.fit, args=(X,))
        thread.start()
        thread.join()
        return 0.0

    watch = MetricMonitor({"fits": fit_other})
    callbacks = callback, Interruptor("train/2"), watch
    model = clone(SMALL).set_params(max_iter=5).set_callbacks(*callbacks)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        model.fit(X)
    assert (other.n_iter_, model.n_iter_) == (2, 2)
    assert signal.getsignal(signal.SIGINT) is before


def test_callers_handler_comes_back_if_the_callback_is_there_twice():
    before = signal.getsignal(signal.SIGINT)
    callback = StopOnInterrupt()
    fitted_with(SMALL, callback, callback)
    assert signal.getsignal(signal.SIGINT) is before
    dec = clone(DEC).set_callbacks(callback)
    NClustersSearch(dec, max_clusters=4).set_callbacks(callback).fit(X)
    assert signal.getsignal(signal.SIGINT) is before


def test_callbacks_of_inner_encoders_are_said_not_to_be_called():
    encoder = clone(SMALL).set_callbacks(EarlyStopping())
    with pytest.warns(UserWarning, match="set them on DECClusterer, whose phase"):
        clone(DEC).set_params(autoencoder=encoder).fit(X)


# all of them


# A checkpoint is of one fit, not of a search.
OF_SEARCHES = [EarlyStopping(), MetricMonitor({"e": epoch_number}), StopOnInterrupt()]
CALLBACKS = [*OF_SEARCHES, GradientClipping(), Checkpoint("runs")]


def test_every_public_callback_is_in_the_list():
    assert {type(c).__name__ for c in CALLBACKS} == set(skdeep.callbacks.__all__)


@pytest.mark.parametrize("callback", CALLBACKS, ids=name_of)
def test_docstring_of_a_callback_is_complete(callback):
    path = f"skdeep.callbacks.{name_of(callback)}"
    found = validate(path)["errors"]
    assert [e for e in found if e[0] in ENFORCED_AT_THE_TOP] == []
    parameters = NumpyDocString(inspect.getdoc(type(callback)))["Parameters"]
    assert_documented_defaults_are_real(parameters, type(callback))
    assert [p.name for p in parameters] == [
        *inspect.signature(type(callback)).parameters
    ]


@pytest.mark.parametrize("callback", CALLBACKS, ids=name_of)
def test_callbacks_survive_pickle_and_clone_of_a_fitted_estimator(
    callback, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    model = fitted_with(SMALL, callback)
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.transform(X), model.transform(X))
    again = clone(copied).fit(X)
    assert [name_of(c) for c in again._skl_callbacks] == [name_of(callback)]


@pytest.mark.parametrize("callback", OF_SEARCHES, ids=name_of)
def test_callbacks_work_inside_searches_and_pipelines(callback):
    model = clone(SMALL).set_params(max_iter=2).set_callbacks(callback)
    pipeline = make_pipeline(StandardScaler(), model)
    search = GridSearchCV(
        pipeline, {"autoencodertransformer__n_components": [1, 2]}, cv=2
    )
    search.set_callbacks(ProgressBar()).fit(X)
    assert search.best_estimator_[-1].n_iter_ == 2


def test_epochs_that_were_not_scored_do_not_end_a_fit():
    rising = MetricMonitor({"epoch": epoch_number}, every=5)
    patient = EarlyStopping("epoch", mode="max", n_iter_no_change=3)
    model = fitted_with(clone(SMALL).set_params(max_iter=12), rising, patient)
    assert model.n_iter_ == 12
    falling = EarlyStopping("epoch", mode="min", n_iter_no_change=3)
    model = fitted_with(clone(SMALL).set_params(max_iter=12), rising, falling)
    assert model.n_iter_ == 5


def test_looks_at_all_rows_that_were_not_taken_do_not_end_a_deep_stage():
    dec = DECClusterer(4, autoencoder=SMALL, max_iter=12, update_interval=6, tol=0)
    patient = EarlyStopping(
        "modularity", mode="max", n_iter_no_change=3, phase="cluster"
    )
    model = fitted_with(dec, patient)
    assert model.n_iter_ in (6, 12)
    assert len(model.history_["modularity"]) == model.n_iter_


def test_scorers_of_a_refit_see_nothing_of_the_fit_before():
    seen = []

    def labels_of(model, X, y=None):  # noqa: ARG001
        seen.append((hasattr(model, "labels_"), model.n_features_in_))
        return 0.0

    dec = DECClusterer(4, autoencoder=SMALL, max_iter=2).fit(X)
    fitted_with(dec, MetricMonitor({"seen": labels_of}))
    assert set(seen) == {(False, X.shape[1])}
