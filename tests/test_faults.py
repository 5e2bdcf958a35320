"""Fits that are killed, by the system and at moments nobody chose."""

import contextlib
import itertools
import json
import math
import multiprocessing
import os
import resource
import signal
import sys
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest

from skdeep.callbacks import Checkpoint
from skdeep.cluster import DECClusterer, SCANClusterer
from skdeep.generative import GANSampler, VAESampler
from skdeep.representation import (
    AutoencoderTransformer,
    DeepInfoMaxTransformer,
    FineTunedClassifier,
)
from skdeep.storage import read_file
from skdeep.training.checkpoints import KIND

pytestmark = pytest.mark.slow

# A server that has imported everything and computed nothing: what it forks starts in an
# instant, and on threads of its own.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.test_faults"])

N_KILLS = 20

X = np.random.RandomState(0).randn(80, 6).astype(np.float32)
y = np.arange(80) % 4

NETWORK = {"hidden_layer_sizes": (32, 16), "batch_size": 16, "random_state": 0}
STEPS = {"tol": 0, "guard": False, "batch_size": 16, "random_state": 0}
ENCODER = AutoencoderTransformer(3, max_iter=25, **NETWORK)

FITS = {
    "clusterer": DECClusterer(4, autoencoder=ENCODER, max_iter=25, n_init=1, **STEPS),
    "neighbours": SCANClusterer(
        4, encoder=ENCODER, max_iter=12, self_label_iter=10, n_init=1, random_state=0
    ),
    "representation": DeepInfoMaxTransformer(
        3, max_iter=15, prior_weight=1, n_units=8, **NETWORK
    ),
    "classifier": FineTunedClassifier(
        ENCODER, max_iter=20, frozen_iter=20, random_state=0
    ),
    "sampler": VAESampler(3, max_iter=40, early_stopping=True, **NETWORK),
    "game": GANSampler(3, max_iter=25, **NETWORK),
}


def fit(name, directory, result, most_bytes=None, killed_at=None, killed_after=None):
    """Fit with checkpoints, and write digest and steps; in a process alone."""
    warnings.simplefilter("ignore")
    if most_bytes is not None:
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, limit))
    if killed_at is not None:
        kill_at(*killed_at)
    steps = itertools.count() if killed_after is None else kill_after(killed_after)
    model = FITS[name].set_callbacks(Checkpoint(directory, every=1)).fit(X, y)
    sys.setprofile(None)
    state = {n: v for n, v in model.__getstate__().items() if n != "_skl_callbacks"}
    Path(result).write_text(json.dumps([joblib.hash(state), next(steps)]))


def kill_at(owner, name, n):
    """Kill the process in the n-th call of a function, before it does anything."""
    owner = {"os": os, "Path": Path}[owner]
    function = getattr(owner, name)
    calls = iter(range(n))

    def killed(*arguments, **options):
        if next(calls, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    setattr(owner, name, killed)


def kill_after(n):
    """Kill the process after n steps in skdeep, calls and returns; return their count.

    They are as many on a busy machine and in a process that imports much at first.
    """
    steps = itertools.count()

    def killed(frame, *_):
        in_skdeep = frame.f_globals.get("__name__", "").startswith("skdeep.")
        if in_skdeep and next(steps) == n:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(killed)
    return steps


def run(name, directory, result, seconds=None, **options):
    """Fit in another process, killed after so many seconds; its exit code."""
    process = SERVER.Process(
        target=fit, args=(name, str(directory), str(result)), kwargs=options
    )
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Bits, seconds and steps of each fit that nobody disturbs."""
    found = {}
    for name in FITS:
        folder = tmp_path_factory.mktemp(name)
        result = folder / "result"
        # This also starts the server, which is not to be timed.
        assert run(name, folder / "counted", result, killed_after=math.inf) == 0
        bits, n_steps = json.loads(result.read_text())
        started = time.perf_counter()
        assert bits_of(name, folder / "timed", result) == bits
        found[name] = bits, time.perf_counter() - started, n_steps
    return found


def bits_of(name, directory, result, **options):
    assert run(name, directory, result, **options) == 0
    return bits_in(result)


def bits_in(result):
    return json.loads(result.read_text())[0]


def checkpoints(directory):
    """Epochs of the files that are there, by phase; each of them is whole."""
    found = {}
    for path in sorted(directory.glob("checkpoint-*.safetensors")):
        assert read_file(path, KIND)["phase"]["n_iter"] == int(path.stem[-8:])
        found.setdefault(path.stem[:-9], []).append(int(path.stem[-8:]))
    return found


@pytest.mark.parametrize("name", FITS)
def test_fit_killed_at_random_moments_resumes_to_the_same_bits(
    name, undisturbed, tmp_path, record_property
):
    result = tmp_path / "result"
    whole, _, n_steps = undisturbed[name]
    rng = np.random.RandomState(0)
    progress = []
    for n in range(N_KILLS):
        directory = tmp_path / str(n)
        moment = int((n + rng.uniform()) / N_KILLS * n_steps)
        exitcode = run(name, directory, result, killed_after=moment)
        assert exitcode == -signal.SIGKILL, (moment, n_steps)
        before = checkpoints(directory)
        progress.append(sum(epochs[-1] for epochs in before.values()))
        assert bits_of(name, directory, result) == whole, (moment, before)
        for phase, epochs in before.items():  # none was lost
            assert checkpoints(directory)[phase][-1] >= epochs[-1]
    assert len(set(progress)) >= N_KILLS // 2  # they were killed at different places
    record_property(f"kills of the {name}", f"after {progress} epochs")


@pytest.mark.parametrize("name", ["clusterer", "sampler"])
def test_fit_killed_again_and_again_ends_with_the_same_bits(
    name, undisturbed, tmp_path
):
    result = tmp_path / "result"
    whole, seconds, _ = undisturbed[name]
    rng = np.random.RandomState(1)
    # Longer each time: on a busy machine no epoch may end in the seconds of a free one.
    for n in range(60):
        patience = rng.uniform(0.3, 0.7) * seconds * 1.05**n
        if run(name, tmp_path / "runs", result, patience) == 0:
            break
    assert bits_in(result) == whole


MOMENTS = [
    (owner, function, n)
    for owner, function in [("os", "fsync"), ("Path", "replace"), ("Path", "unlink")]
    for n in (0, 1, 6, 31)
]


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_fit_killed_while_it_writes_loses_no_earlier_checkpoint(
    moment, undisturbed, tmp_path
):
    result = tmp_path / "result"
    whole, *_ = undisturbed["clusterer"]
    directory = tmp_path / "runs"
    exitcode = run("clusterer", directory, result, killed_at=moment)
    assert exitcode == -signal.SIGKILL
    files = checkpoints(directory)
    written = sum(epochs[-1] for epochs in files.values())
    done = moment[2] // 2 if moment[1] == "fsync" else moment[2]
    if moment[1] == "unlink":  # the first of each file is of one that is gone
        done = moment[2] // 2
    assert written >= done
    assert bits_of("clusterer", directory, result) == whole


@pytest.mark.parametrize("most_bytes", [0, 500, 20_000, 30_000])
def test_fit_on_a_full_disk_ends_and_keeps_its_checkpoints(
    most_bytes, undisturbed, tmp_path
):
    result = tmp_path / "result"
    whole, *_ = undisturbed["clusterer"]
    directory = tmp_path / "runs"
    run("clusterer", directory, result, killed_at=("Path", "replace", 12))
    before = checkpoints(directory)
    assert before
    with contextlib.suppress(FileNotFoundError):
        result.unlink()
    # The digest itself fits on the disk if it is left more than a hundred bytes.
    exitcode = run("clusterer", directory, result, most_bytes=most_bytes)
    assert exitcode == 0 if most_bytes else exitcode == 1
    if most_bytes:
        assert bits_in(result) == whole
    for phase, epochs in before.items():
        assert checkpoints(directory)[phase][-1] >= epochs[-1]
    assert not list(directory.glob(".*.part"))
    assert bits_of("clusterer", directory, result) == whole
