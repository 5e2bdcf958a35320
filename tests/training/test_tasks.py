import gc
import itertools
import weakref

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from skdeep._compat import fit_context
from skdeep.base import BaseDeepEstimator
from skdeep.cluster import DECClusterer
from skdeep.generative import DiffusionSampler, VAESampler
from skdeep.nn import MLP
from skdeep.training import Adam, FitTask
from tests.estimators import (
    BRIEF_FITS_WARN,
    CLASSIFIERS,
    CLUSTERERS,
    ESTIMATORS,
    SMALL,
    SMALL_SAMPLER,
    inner_parameter,
    name_of,
)

pytestmark = BRIEF_FITS_WARN

X = np.random.RandomState(0).randn(40, 3)
y = np.arange(40)

OF_AUTOENCODERS = [c for c in CLUSTERERS if inner_parameter(c) == "autoencoder"]

every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS, ids=name_of)


class Recorder:
    """Callback that notes what happens, and asks to stop at the tasks of `stop_at`."""

    def __init__(self, stop_at=()):
        self.stop_at = stop_at
        self.events = []
        self.data = []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X, y):
        self.events.append(f"begin {path(context)}")
        self.data.append((X, y))

    def on_fit_task_end(self, estimator, context, *, X, y):
        self.events.append(f"end {path(context)}")
        self.data.append((X, y))
        return path(context) in self.stop_at

    @property
    def begun(self):
        return [e.removeprefix("begin ") for e in self.events if e.startswith("begin")]


class Watcher(Recorder):
    """Callback that asks, at the end of each epoch, for a model that predicts."""

    def __init__(self):
        super().__init__()
        self.models = []

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if context.task_name == "epoch":
            self.models.append(fitted_estimator)


def path(context):
    """Name of a task and of those above it: epochs have their number."""
    name = context.task_name
    if name == "epoch":
        name = str(context.task_id + 1)
    return name if context.parent is None else f"{path(context.parent)}/{name}"


def idle(*_):
    pass


class Counter(BaseDeepEstimator):
    """Smallest estimator: two phases of epochs around a leaf, with a given step."""

    _parameter_constraints = {}

    device = "cpu"

    def __init__(self, step=idle, max_iter=2, verbose=0):
        self.step = step
        self.max_iter = max_iter
        self.verbose = verbose

    @fit_context
    def fit(self, X, y=None):
        with FitTask(self, X, y, max_subtasks=3) as task:
            first = self._run(task.phase("first", self.max_iter))
            with task.leaf("middle"):
                pass
            second = self._run(task.phase("second", self.max_iter))
            self.n_iter_ = first.n_iter, second.n_iter
            self.history_ = second.history
            self.begun_ = task.begun
        return self

    def _run(self, phase):
        for epoch in phase:
            self.step(phase, epoch)
        return phase


def fitted_with(recorder, estimator):
    return clone(estimator).set_callbacks(recorder).fit(X, y)


# order


def test_tasks_begin_and_end_in_order():
    recorder = Recorder()
    model = fitted_with(recorder, Counter())
    phase = [
        "begin fit/{0}",
        "begin fit/{0}/1",
        "end fit/{0}/1",
        "begin fit/{0}/2",
        "end fit/{0}/2",
        "end fit/{0}",
    ]
    assert recorder.events == [
        "setup",
        "begin fit",
        *[event.format("first") for event in phase],
        "begin fit/middle",
        "end fit/middle",
        *[event.format("second") for event in phase],
        "end fit",
        "teardown",
    ]
    assert model.n_iter_ == (2, 2)
    assert model.begun_ == {"first": False, "second": False}


def test_callbacks_are_shown_the_data():
    recorder = Recorder()
    fitted_with(recorder, Counter())
    assert all(data[0] is X and data[1] is y for data in recorder.data)


def test_autoencoder_runs_one_phase_of_epochs():
    recorder = Recorder()
    fitted_with(recorder, clone(SMALL).set_params(max_iter=3))
    assert recorder.begun == [
        "fit",
        "fit/train",
        *[f"fit/train/{i}" for i in (1, 2, 3)],
    ]


@pytest.mark.parametrize("estimator", OF_AUTOENCODERS, ids=name_of)
def test_clusterers_pretrain_and_start_and_cluster(estimator):
    model = clone(estimator).set_params(autoencoder__max_iter=2)
    recorder = Recorder()
    deep = hasattr(model, "max_iter")
    if deep:
        model.set_params(max_iter=2)
    if hasattr(model, "tol"):
        model.set_params(tol=0)
    fitted_with(recorder, model)
    pretraining = ["fit/pretrain", "fit/pretrain/1", "fit/pretrain/2", "fit/init"]
    clustering = ["fit/cluster", "fit/cluster/1", "fit/cluster/2"]
    assert recorder.begun == ["fit", *pretraining, *clustering * deep]


@pytest.mark.parametrize("estimator", OF_AUTOENCODERS, ids=name_of)
def test_frozen_autoencoder_is_a_phase_without_epochs(estimator):
    frozen = FrozenEstimator(clone(SMALL).set_params(max_iter=1).fit(X))
    recorder = Recorder()
    fitted_with(recorder, clone(estimator).set_params(autoencoder=frozen))
    assert recorder.begun[:3] == ["fit", "fit/pretrain", "fit/init"]


# stops


def test_callback_stops_the_phase_at_the_end_of_an_epoch():
    recorder = Recorder(stop_at=["fit/first/2"])
    model = fitted_with(recorder, Counter(max_iter=5))
    assert model.n_iter_ == (2, 5)  # the other phase goes on
    assert "end fit/first" in recorder.events


def test_callback_asking_to_stop_elsewhere_is_not_heard():
    recorder = Recorder(stop_at=["fit", "fit/first", "fit/middle"])
    assert fitted_with(recorder, Counter()).n_iter_ == (2, 2)


def test_phase_stops_itself_after_the_running_epoch():
    def step(phase, epoch):
        if epoch == 3:
            phase.stop()
        phase.record({"loss": float(epoch)})

    recorder = Recorder()
    model = fitted_with(recorder, Counter(step, max_iter=5))
    assert model.n_iter_ == (3, 3)
    assert model.history_ == {"loss": [1.0, 2.0, 3.0]}
    assert "end fit/first/3" in recorder.events


def test_callback_stops_the_autoencoder_and_history_ends_there():
    recorder = Recorder(stop_at=["fit/train/2"])
    model = fitted_with(recorder, clone(SMALL).set_params(max_iter=9))
    assert model.n_iter_ == 2
    assert all(len(values) == 2 for values in model.history_.values())
    assert recorder.events[-3:] == ["end fit/train", "end fit", "teardown"]


@pytest.mark.parametrize("estimator", OF_AUTOENCODERS[1:], ids=name_of)
def test_callback_stops_pretraining_and_clustering_apart(estimator):
    model = clone(estimator).set_params(max_iter=9, autoencoder__max_iter=9)
    if hasattr(model, "tol"):
        model.set_params(tol=0)
    fitted = fitted_with(Recorder(stop_at=["fit/pretrain/1", "fit/cluster/3"]), model)
    assert fitted.autoencoder_.n_iter_ == 1
    assert fitted.n_iter_ == 3
    assert len(fitted.history_["loss"]) == 3


# exceptions


def boom(phase, _):
    if phase.name == "second":
        raise KeyboardInterrupt


def test_callbacks_are_torn_down_after_an_exception():
    recorder = Recorder()
    with pytest.raises(KeyboardInterrupt):
        fitted_with(recorder, Counter(boom))
    assert recorder.events[-2:] == ["begin fit/second/1", "teardown"]
    assert "end fit" not in recorder.events


def test_fit_that_raises_forgets_what_was_learned():
    model = Counter().fit(X)
    model.step = boom
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    assert [name for name in vars(model) if name.endswith("_")] == []


class Saboteur(Recorder):
    """Callback that fails at one event."""

    def __init__(self, event):
        super().__init__()
        self.event = event

    def on_fit_task_begin(self, estimator, context):
        self._fail_at(f"begin {path(context)}")

    def on_fit_task_end(self, estimator, context):
        self._fail_at(f"end {path(context)}")

    def _fail_at(self, event):
        self.events.append(event)
        if event == self.event:
            raise ArithmeticError(event)


@pytest.mark.parametrize(
    "event",
    [
        "begin fit",
        "begin fit/train",
        "begin fit/train/2",
        "end fit/train/2",
        "end fit/train",
        "end fit",
    ],
)
def test_callback_that_fails_leaves_an_unfitted_estimator(event):
    model = clone(SMALL).set_params(max_iter=2).fit(X)
    saboteur = Saboteur(event)
    with pytest.raises(ArithmeticError, match=event):
        model.set_callbacks(saboteur).fit(X[:, :2])
    assert saboteur.events[-1] == "teardown"
    assert [name for name in vars(model) if name.endswith("_")] == []
    with pytest.raises(NotFittedError):
        model.transform(X)


# records


def test_history_has_one_entry_an_epoch():
    def step(phase, epoch):
        phase.record({"loss": 1 / epoch, "change": 0.0})

    model = Counter(step, max_iter=3).fit(X)
    assert model.history_ == {"loss": [1.0, 1 / 2, 1 / 3], "change": [0.0, 0.0, 0.0]}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_loss_that_is_not_finite_raises_and_names_the_epoch(value):
    def step(phase, epoch):
        phase.record({"loss": 1.0, "other_loss": value if epoch == 2 else 0.0})

    text = f"Counter diverged: other_loss became {value} in epoch 2 of phase 'first'"
    with pytest.raises(FloatingPointError, match=text):
        Counter(step, max_iter=3).fit(X)


def test_divergence_of_an_estimator_names_the_epoch_and_what_to_try():
    model = clone(SMALL).set_params(learning_rate=1e30, precision="float32")
    text = r"became (nan|inf) in epoch \d+ of phase 'train'. Try a smaller learning"
    with pytest.raises(FloatingPointError, match=text):
        model.fit(X)


def test_verbose_phases_write_one_line_each(capsys):
    def step(phase, epoch):
        phase.record({"loss": 0.5, "change": 0.25 / epoch})

    Counter(step, verbose=0).fit(X)
    assert capsys.readouterr().out == ""
    Counter(step, verbose=1).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["Counter first", "Counter second"]
    assert all("2 epochs" in line for line in lines)
    assert all(line.endswith("loss 0.5, change 0.125") for line in lines)


# snapshots


@every_estimator
def test_callbacks_get_a_model_that_predicts_after_each_epoch(estimator):
    watcher = Watcher()
    inner = f"{inner_parameter(estimator)}__max_iter"
    params = {inner: 2} if estimator in CLUSTERERS else {}
    if hasattr(estimator, "max_iter"):
        params["max_iter"] = 3
    if hasattr(estimator, "tol"):
        params |= {"tol": 0}
    if hasattr(estimator, "early_stopping"):
        params |= {"early_stopping": False}
    if hasattr(estimator, "guard"):
        params |= {"guard": False}
    model = clone(estimator).set_params(random_state=0, **params)
    model.set_callbacks(watcher).fit(X, np.arange(len(X)) % 3)
    # Before there are clusters, there is no model to be had.
    models = [m for m in watcher.models if m is not None]
    further = getattr(estimator, "self_label_iter", 0)
    if estimator in CLASSIFIERS:  # there is one from the first epoch of the head on
        further = estimator.frozen_iter
    if further:
        assert len(models) == further + 3
    else:
        assert len(models) == (3 if hasattr(estimator, "max_iter") else 0)

    def values(m):
        if hasattr(m, "transform"):
            return m.transform(X)
        if hasattr(m, "sample"):
            return m.sample(5, random_state=0)
        return m.predict_proba(X)

    codes = [values(m) for m in models]
    for before, after in itertools.pairwise(codes):
        assert not np.array_equal(before, after)
    if codes:
        if not hasattr(model, "early_stopping"):  # which keeps the best weights
            np.testing.assert_array_equal(codes[-1], values(model))
        scored = [m for m in models if hasattr(m, "score")]
        assert all(np.isfinite(m.score(X, y)) for m in scored)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weight_that_the_last_step_ruined_is_named(value):
    network, centroids = MLP([3, 2]), torch.zeros(2, requires_grad=True)
    optimizer = Adam([network], [centroids], learning_rate=0.1)
    phase = FitTask(clone(SMALL), X, y, max_subtasks=1).phase("train", 3)
    phase.check_weights(optimizer)
    for moved in (network.layers[0].bias, centroids):
        moved.data[0] = value
        with pytest.raises(FloatingPointError, match="a weight became"):
            phase.check_weights(optimizer)
        moved.data[0] = 0.0


@pytest.mark.parametrize("early_stopping", [True, False])
def test_model_of_the_last_epoch_is_the_one_that_is_returned(early_stopping):
    watcher = Watcher()
    model = DiffusionSampler(
        **{**SMALL_SAMPLER, "early_stopping": early_stopping}, random_state=0
    )
    model.set_callbacks(watcher).fit(X)
    drawn = watcher.models[-1].sample(5, random_state=0)
    np.testing.assert_array_equal(model.sample(5, random_state=0), drawn)
    lengths = [len(m.history_["loss"]) for m in watcher.models]
    assert lengths == [m.n_iter_ for m in watcher.models]


@pytest.mark.parametrize(
    "model", [SMALL, VAESampler(2, **SMALL_SAMPLER), DECClusterer(3, autoencoder=SMALL)]
)
def test_fits_let_go_of_their_rows(model):
    rows = X.copy()
    seen = weakref.ref(rows)
    gc.collect()
    gc.disable()
    try:
        fitted = clone(model).fit(rows)
        del rows
        assert seen() is None
    finally:
        gc.enable()
    check_is_fitted(fitted)
