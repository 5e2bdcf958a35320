"""A fit that was killed and fitted again ends with the bits of one that was not."""

import copy
import json
import os
import pickle
import resource
import sys
import threading
import warnings

import joblib
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skdeep.callbacks import (
    Checkpoint,
    EarlyStopping,
    GradientClipping,
    MetricMonitor,
    StopOnInterrupt,
)
from skdeep.cluster import DCNClusterer, DECClusterer, IDECClusterer, SCANClusterer
from skdeep.generative import DiffusionSampler, FlowSampler, GANSampler, VAESampler
from skdeep.nn.augmentation import MarginalCorruption
from skdeep.representation import (
    AutoencoderTransformer,
    DeepInfoMaxTransformer,
    FineTunedClassifier,
    SimCLRTransformer,
)
from skdeep.storage import write_file
from skdeep.training.checkpoints import KIND
from tests.estimators import (
    BRIEF_FITS_WARN,
    CLUSTERERS,
    ESTIMATORS,
    SMALL,
    SMALL_SAMPLER,
    name_of,
)

pytestmark = BRIEF_FITS_WARN

X = np.random.RandomState(0).randn(40, 4).astype(np.float32)
y = np.arange(40) % 3

NETWORK = {"hidden_layer_sizes": (16,), "max_iter": 4, "batch_size": 16}
INNER = AutoencoderTransformer(2, **NETWORK)
DEEP = {
    "autoencoder": INNER,
    "max_iter": 4,
    "tol": 0,
    "guard": False,
    "batch_size": 16,
    "learning_rate": 0.05,  # labels change in each epoch
}
BEST = {**SMALL_SAMPLER, "early_stopping": True, "learning_rate": 0.1, "max_iter": 6}
GAME = {**SMALL_SAMPLER, "batch_size": 8}
IMAGES = {"image_shape": (1, 2, 2), "max_iter": 3, "batch_size": 16}

# Each has something that moves in its epochs and in those of no other.
VARIANTS = {
    "masks": AutoencoderTransformer(2, corruption=0.3, mask_weight=1, **NETWORK),
    "augmented": AutoencoderTransformer(2, augment=MarginalCorruption(), **NETWORK),
    "bfloat16": AutoencoderTransformer(2, precision="bfloat16", **NETWORK),
    "images": AutoencoderTransformer(2, **IMAGES),
    "prior": DeepInfoMaxTransformer(
        2, n_units=8, max_iter=4, batch_size=16, prior_weight=1, global_weight=1
    ),
    "batch norm": DeepInfoMaxTransformer(2, n_units=8, **IMAGES),
    "contrastive images": SimCLRTransformer(2, **IMAGES),
    "centroids of gradients": DECClusterer(3, update_interval=2, **DEEP),
    "centroids of means": IDECClusterer(3, centroid_update="mean", **DEEP),
    "augmented clusters": DECClusterer(3, augment=MarginalCorruption(), **DEEP),
    "counted centroids": DCNClusterer(3, **DEEP),
    "calm clusters": DECClusterer(3, **{**DEEP, "tol": 2.0, "n_iter_no_change": 3}),
    "scan": SCANClusterer(
        3, encoder=INNER, max_iter=3, self_label_iter=3, batch_size=16, guard=False
    ),
    "frozen": DECClusterer(3, **{**DEEP, "autoencoder": FrozenEstimator(INNER)}),
    "tuned": FineTunedClassifier(INNER, max_iter=3, frozen_iter=3, batch_size=16),
    "shared variance": VAESampler(2, variance="shared", **NETWORK),
    "best codes": VAESampler(2, early_stopping=True, **NETWORK),
    "binary": VAESampler(2, likelihood="bernoulli", binarize=True, **NETWORK),
    "best flow": FlowSampler(n_couplings=2, **BEST),
    "best denoiser": DiffusionSampler(**BEST),
    "averaged denoiser": DiffusionSampler(early_stopping=False, **SMALL_SAMPLER),
    "clipped critic": GANSampler(2, loss="wasserstein", **GAME),
    "penalised critic": GANSampler(2, loss="wasserstein_gp", **GAME),
    "classes": GANSampler(2, conditional=True, **GAME),
}
ALL = {**{name_of(e): e for e in ESTIMATORS}, **VARIANTS}

every_fit = pytest.mark.parametrize("estimator", ALL.values(), ids=ALL)


class Killed(BaseException):
    """As if the process ended."""


class Killer:
    """Callback that counts tasks and ends the fit as the n-th begins."""

    def __init__(self, n=None):
        self.n = n
        self.seen = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        if len(self.seen) == self.n:
            raise Killed
        self.seen.append(context.task_name)

    def on_fit_task_end(self, estimator, context):
        pass


def bits(model):
    """Digest of all that a fitted estimator holds, but for its callbacks."""
    state = model.__getstate__()
    return joblib.hash({n: v for n, v in state.items() if n != "_skl_callbacks"})


def prepared(estimator, seed=3):
    model = clone(estimator).set_params(random_state=seed)
    inner = getattr(model, "autoencoder", None)
    if isinstance(inner, FrozenEstimator):
        fitted = clone(inner.estimator).set_params(random_state=0).fit(X)
        model.set_params(autoencoder=FrozenEstimator(fitted))
    return model


def data_of(model):
    binary = getattr(model, "likelihood", "") == "bernoulli"
    return (X > 0).astype(np.float32) if binary else X


def assert_resumes(estimator, shares, every, directory):
    """Kill a fit at shares of its tasks, and compare what comes of resuming it."""
    model = prepared(estimator)
    data = data_of(model)
    counter = Killer()
    whole = bits(clone(model).set_callbacks(counter).fit(data, y))
    places = {max(1, int(share * len(counter.seen))) for share in shares}
    for place in places:
        checkpoint = Checkpoint(directory / str(place), every=every)
        killed = clone(model).set_callbacks(checkpoint, Killer(place))
        with pytest.raises(Killed):
            killed.fit(data, y)
        again = clone(model).set_callbacks(checkpoint).fit(data, y)
        assert bits(again) == whole, (place, counter.seen[place])
        third = Killer()
        clone(model).set_callbacks(checkpoint, third).fit(data, y)
        assert "epoch" not in third.seen  # none that was done is done again


@every_fit
def test_killed_fit_resumes_to_the_same_bits(estimator, tmp_path):
    assert_resumes(estimator, [0.85], 1, tmp_path)


@pytest.mark.slow
@every_fit
@pytest.mark.parametrize("every", [1, 3])
def test_fit_killed_anywhere_resumes_to_the_same_bits(estimator, every, tmp_path):
    assert_resumes(estimator, np.linspace(0, 0.999, 12), every, tmp_path)


@pytest.mark.parametrize("seed", [None, "RandomState"])
@pytest.mark.parametrize(
    "estimator",
    [INNER, VARIANTS["centroids of gradients"], DECClusterer(3, n_runs=2, **DEEP)],
)
def test_fit_without_a_seed_resumes_with_the_seeds_it_drew(estimator, seed, tmp_path):
    checkpoint = Checkpoint(tmp_path, every=1)
    rng = None if seed is None else np.random.RandomState(0)
    first = clone(estimator).set_params(random_state=rng).set_callbacks(checkpoint)
    second = clone(first).set_callbacks(checkpoint)
    assert bits(first.fit(X)) == bits(second.fit(X)) or seed == "RandomState"
    np.testing.assert_array_equal(first.transform(X), second.transform(X))


def test_one_file_holds_no_more_than_the_epochs_of_its_phase_move(tmp_path):
    model = prepared(VARIANTS["centroids of gradients"])
    model.set_callbacks(Checkpoint(tmp_path, every=1)).fit(X)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "checkpoint-cluster-00000003.safetensors",
        "checkpoint-cluster-00000004.safetensors",
        "checkpoint-pretrain-00000003.safetensors",
        "checkpoint-pretrain-00000004.safetensors",
    ]
    encoder, decoder = model.autoencoder_.encoder_, model.autoencoder_.decoder_
    n_weights = sum(w.numel() for w in [*encoder.parameters(), *decoder.parameters()])
    assert (tmp_path / names[-1]).stat().st_size < 3 * 4 * n_weights + 20_000


@pytest.mark.parametrize(("every", "keep"), [(1, 1), (2, 3), (3, 2), (100, 2)])
def test_so_many_files_are_kept(every, keep, tmp_path):
    model = clone(INNER).set_params(max_iter=7)
    model.set_callbacks(Checkpoint(tmp_path, every=every, keep=keep)).fit(X)
    epochs = [
        int(p.stem.rpartition("-")[2]) for p in sorted(tmp_path.glob("checkpoint-*"))
    ]
    due = [e for e in range(1, 8) if e % every == 0 or e == 7]
    assert epochs == due[-keep:]


# files


def test_directory_is_made(tmp_path):
    directory = tmp_path / "deep" / "runs"
    clone(INNER).set_callbacks(Checkpoint(str(directory))).fit(X)
    assert list(directory.iterdir())


def killed_after(model, directory, n_tasks, **options):
    model = clone(model).set_callbacks(
        Checkpoint(directory, every=1, **options), Killer(n_tasks)
    )
    with pytest.raises(Killed):
        model.fit(X)


def resumed(model, directory):
    return clone(model).set_callbacks(Checkpoint(directory, every=1)).fit(X)


@pytest.mark.parametrize("damage", ["empty", "cut", "flip", "text"])
def test_damaged_file_is_passed_over_for_the_one_before_it(damage, tmp_path):
    model = clone(INNER).set_params(random_state=0)
    whole = bits(clone(model).fit(X))
    killed_after(model, tmp_path, 5)
    before, newest = sorted(tmp_path.iterdir())
    data = newest.read_bytes()
    newest.write_bytes(
        {
            "empty": b"",
            "cut": data[:-100],
            "flip": data[:-9] + bytes([data[-9] ^ 4]) + data[-8:],
            "text": b"not a checkpoint",
        }[damage]
    )
    with pytest.warns(RuntimeWarning, match="no valid skdeep checkpoint file"):
        assert bits(resumed(model, tmp_path)) == whole
    assert before.name < newest.name


def test_traces_of_a_fit_that_was_killed_as_it_wrote_are_removed(tmp_path):
    model = clone(INNER).set_params(random_state=0)
    killed_after(model, tmp_path, 5)
    part = tmp_path / ".checkpoint-train-00000004.safetensors.1.part"
    part.write_bytes(b"half of a file")
    assert bits(resumed(model, tmp_path)) == bits(clone(model).fit(X))
    assert not part.exists()


def test_other_files_in_the_directory_stay(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"mine")
    (tmp_path / ".notes.part").write_bytes(b"mine too")
    resumed(INNER, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == b"mine"
    assert (tmp_path / ".notes.part").read_bytes() == b"mine too"


def test_full_disk_costs_neither_the_fit_nor_the_files_before(tmp_path):
    model = clone(INNER).set_params(random_state=0)
    whole = bits(clone(model).fit(X))
    killed_after(model, tmp_path, 5)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.warns(RuntimeWarning, match="Could not write .* fit goes on"):
            assert bits(resumed(model, tmp_path)) == whole
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert bits(resumed(model, tmp_path)) == whole


def test_files_hold_no_pickle(tmp_path):
    resumed(INNER, tmp_path)
    for path in tmp_path.iterdir():
        data = path.read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        assert set(header.pop("__metadata__")) == {"kind", "document", "sha256"}
        assert all(array["dtype"] in {"F32", "F64", "U8"} for array in header.values())


# other fits


def doubled(x, _):
    return 2 * x


def test_parameters_are_known_again_whatever_holds_them(tmp_path):
    model = clone(INNER).set_params(random_state=0, augment=doubled)
    checkpoint, counter = Checkpoint(tmp_path, every=1), Killer()
    first = clone(model).set_callbacks(checkpoint).fit(X)
    same = {"n_components": np.int64(2), "random_state": np.int64(0)}
    again = clone(model).set_params(**same).set_callbacks(checkpoint, counter).fit(X)
    assert "epoch" not in counter.seen
    np.testing.assert_array_equal(first.transform(X), again.transform(X))


DEC = DECClusterer(3, **DEEP).set_params(random_state=0)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"n_clusters": 4}, "n_clusters was 3, and is 4 now"),
        ({"autoencoder__n_components": 3}, "autoencoder__n_components was 2, and is 3"),
        ({"random_state": 1}, "random_state was 0, and is 1 now"),
        ({"augment": MarginalCorruption()}, "augment was 'auto', and is 'MarginalCorr"),
        ({"autoencoder__hidden_layer_sizes": [8]}, r"was \[16\], and is \[8\] now"),
    ],
)
def test_checkpoint_of_other_parameters_is_refused(change, text, tmp_path):
    killed_after(DEC, tmp_path, 5)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=f"are of another fit: .*{text}"):
        resumed(clone(DEC).set_params(**change), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("other", "text"),
    [
        ((X[:39],), r"shape of X was \[40, 4\], and is \[39, 4\] now"),
        ((X.astype(np.float64),), "type of X was 'float32', and is 'float64' now"),
        ((X + 1e-6,), "values of X was"),
        ((X, y), r"shape of y was None, and is \[40\] now"),
        ((sparse.csr_matrix(X),), "values of X was"),
    ],
)
def test_checkpoint_of_other_data_is_refused(other, text, tmp_path):
    killed_after(DEC, tmp_path, 5)
    model = clone(DEC).set_callbacks(Checkpoint(tmp_path))
    with pytest.raises(ValueError, match=text):
        model.fit(*other)


def test_checkpoint_of_another_class_is_refused(tmp_path):
    killed_after(DEC, tmp_path, 5)
    with pytest.raises(ValueError, match="class was 'DECClusterer', and is 'IDECCl"):
        resumed(IDECClusterer(3, **DEEP), tmp_path)


def test_checkpoint_of_another_version_is_refused(tmp_path, monkeypatch):
    killed_after(DEC, tmp_path, 5)
    monkeypatch.setattr("skdeep.identity.__version__", "9.9")
    with pytest.raises(ValueError, match=r"skdeep was .*, and is '9.9' now"):
        resumed(DEC, tmp_path)


@pytest.mark.parametrize("shape", [(40, 1, 2, 2), (40, 1, 4, 1)])
def test_checkpoint_of_images_of_another_shape_is_refused(shape, tmp_path):
    model = SimCLRTransformer(2, max_iter=1, random_state=0)
    model.set_callbacks(Checkpoint(tmp_path)).fit(X.reshape(40, 1, 1, 4))
    with pytest.raises(ValueError, match=r"another fit: its networks are .*ImageEnc"):
        model.fit(X.reshape(shape))


def test_files_of_others_under_the_name_of_a_checkpoint_are_passed_over(tmp_path):
    write_file(tmp_path / "checkpoint-train-00000009.safetensors", KIND, [1])
    (tmp_path / "checkpoint-train-00000010.safetensors").mkdir()
    with pytest.warns(RuntimeWarning, match="holds no checkpoint"):
        clone(SMALL).set_callbacks(Checkpoint(tmp_path)).fit(X)


def test_what_does_not_change_the_fit_may_change(tmp_path, capsys):
    killed_after(DEC, tmp_path, 5)
    data = pickle.dumps(X)
    again = clone(DEC).set_params(verbose=1, memory=str(tmp_path / "cache"))
    again.set_callbacks(Checkpoint(tmp_path, every=2, keep=1))
    again.fit(pickle.loads(data))
    np.testing.assert_array_equal(again.labels_, clone(DEC).fit(X).labels_)
    assert "cluster" in capsys.readouterr().out


def test_same_rows_on_disk_are_the_same_rows(tmp_path):
    mapped = np.memmap(tmp_path / "X", np.float32, "w+", shape=X.shape)
    mapped[:] = X
    killed_after(DEC, tmp_path / "runs", 5)
    model = clone(DEC).set_callbacks(Checkpoint(tmp_path / "runs")).fit(mapped)
    assert bits(model) == bits(clone(DEC).fit(X))


def test_pretraining_out_of_the_cache_is_no_hindrance(tmp_path):
    model = clone(DEC).set_params(memory=str(tmp_path / "cache"))
    whole = bits(clone(model).fit(X))
    directory = tmp_path / "runs"
    killed_after(model, directory, 5)
    assert bits(resumed(model, directory)) == whole


def test_function_that_cannot_be_known_again_is_refused(tmp_path):
    lock = threading.Lock()
    model = clone(DEC).set_params(augment=lambda x, _: lock and x)
    with pytest.raises(ValueError, match="'augment' parameter of DECClusterer holds"):
        clone(model).set_callbacks(Checkpoint(tmp_path)).fit(X)
    assert not any(tmp_path.iterdir())
    model.fit(X)


# beside other callbacks


def test_early_stop_is_the_same_after_a_resume(tmp_path):
    model = clone(SMALL).set_params(random_state=0, max_iter=60)
    stopping = EarlyStopping(n_iter_no_change=4, tol=0.3)
    whole = clone(model).set_callbacks(stopping).fit(X)
    assert 4 < whole.n_iter_ < 60
    for place in {3, whole.n_iter_ - 1, whole.n_iter_ + 1}:
        callbacks = Checkpoint(tmp_path / str(place), every=1), stopping
        killed = clone(model).set_callbacks(*callbacks, Killer(place))
        with pytest.raises(Killed):
            killed.fit(X)
        again = clone(model).set_callbacks(*callbacks).fit(X)
        assert bits(again) == bits(whole)


def test_callbacks_that_steer_the_fit_belong_to_it(tmp_path):
    stopping = EarlyStopping(n_iter_no_change=4, tol=0.3)
    resumable = Checkpoint(tmp_path)
    clone(INNER).set_callbacks(stopping, resumable).fit(X)
    patient = EarlyStopping(n_iter_no_change=5, tol=0.3)
    for others in ([], [patient], [stopping, GradientClipping()]):
        model = clone(INNER).set_callbacks(*others, resumable)
        with pytest.raises(ValueError, match=r"of another fit: \w+ was .* now"):
            model.fit(X)
    watching = MetricMonitor({"one": lambda *_: 1.0}), StopOnInterrupt()
    clone(INNER).set_callbacks(*watching, stopping, resumable).fit(X)


def test_monitor_that_joins_a_resumed_fit_leaves_earlier_epochs_without_a_score(
    tmp_path,
):
    killed_after(INNER, tmp_path, 5)
    monitor = MetricMonitor({"one": lambda *_: 1.0}, every=3)
    model = clone(INNER).set_callbacks(monitor, Checkpoint(tmp_path, every=1)).fit(X)
    scores, losses = model.history_["one"], model.history_["loss"]
    assert len(scores) == len(losses)
    assert 0 < np.isnan(scores).sum() < len(scores)
    assert not np.isnan(losses + scores[-1:]).any()


def test_monitor_that_a_resumed_fit_lacks_has_no_score_of_later_epochs(tmp_path):
    monitor = MetricMonitor({"one": lambda *_: 1.0})
    checkpoint = Checkpoint(tmp_path, every=1)
    with pytest.raises(Killed):
        clone(INNER).set_callbacks(monitor, checkpoint, Killer(5)).fit(X)
    model = clone(INNER).set_callbacks(Checkpoint(tmp_path, every=1)).fit(X)
    scores = model.history_["one"]
    assert len(scores) == len(model.history_["loss"])
    assert 0 < np.isnan(scores).sum() < len(scores)


def test_missing_package_is_named_before_any_epoch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    model = clone(ESTIMATORS[0]).set_callbacks(Checkpoint(tmp_path))
    with pytest.raises(ImportError, match="pip install safetensors"):
        model.fit(X)
    assert not list(tmp_path.iterdir())


def test_directory_that_cannot_be_made_is_refused_by_name(tmp_path):
    (tmp_path / "file").write_text("")
    model = clone(INNER).set_callbacks(Checkpoint(tmp_path / "file"))
    with pytest.raises(ValueError, match="'directory' parameter of Checkpoint names"):
        model.fit(X)


@pytest.mark.parametrize("first", [True, False])
def test_scores_are_on_record_after_a_resume(first, tmp_path):
    def width(model, *_):
        return float(np.ptp(model.transform(X)))

    def callbacks(directory):
        found = [Checkpoint(directory, every=1), MetricMonitor({"w": width}, every=2)]
        return found if first else found[::-1]

    model = clone(INNER).set_params(random_state=0)
    whole = clone(model).set_callbacks(*callbacks(tmp_path / "a")).fit(X)
    killed = clone(model).set_callbacks(*callbacks(tmp_path / "b"), Killer(4))
    with pytest.raises(Killed):
        killed.fit(X)
    again = clone(model).set_callbacks(*callbacks(tmp_path / "b")).fit(X)
    assert again.history_ == whole.history_


class Interruptor(Killer):
    """Callback that presses Ctrl-C as the n-th task begins."""

    def on_fit_task_begin(self, estimator, context):
        if len(self.seen) == self.n:
            os.kill(os.getpid(), 2)
        self.seen.append(context.task_name)


@pytest.mark.parametrize("place", [3, 9])
def test_fit_that_was_interrupted_by_ctrl_c_resumes_as_a_whole(place, tmp_path):
    whole = bits(clone(DEC).fit(X))
    callbacks = Checkpoint(tmp_path, every=100), StopOnInterrupt(), Interruptor(place)
    model = clone(DEC).set_callbacks(*callbacks)
    with pytest.warns(UserWarning, match="was interrupted"):
        model.fit(X)
    assert bits(model) != whole
    assert bits(resumed(DEC, tmp_path)) == whole


@pytest.mark.parametrize("option", ["every", "keep"])
def test_parameters_are_checked(option, tmp_path):
    model = clone(INNER).set_callbacks(Checkpoint(tmp_path, **{option: 0}))
    with pytest.raises(ValueError, match=f"'{option}' parameter of Checkpoint"):
        model.fit(X)
    with pytest.raises(ValueError, match="'directory' parameter of Checkpoint"):
        model.set_callbacks(Checkpoint(3)).fit(X)


def test_checkpoint_is_a_plain_object(tmp_path):
    model = clone(INNER).set_callbacks(Checkpoint(tmp_path)).fit(X)
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(copied.transform(X), model.transform(X))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clone(copied).fit(X)
    assert CLUSTERERS
