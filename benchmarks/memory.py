"""Seconds and peak memory of one call, in a process of its own.

    python -m benchmarks.memory SUBJECT CONTESTANT [DATA_FOLDER ...]

Prints a JSON object: seconds, peak resident bytes above those before the call, the
input included there, and the bytes of the weights and of what the call returns. Nothing
is warmed up but by what comes before in `SUBJECTS`: libraries' own memory counts.
"""

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.frozen import FrozenEstimator

from benchmarks.datasets import images
from benchmarks.epochs import PAPER
from benchmarks.peers import (
    CLUSTPY,
    clustpy_autoencoder,
    clustpy_clusterer,
    undisturbed,
)
from benchmarks.timing import alternated, table
from skdeep.cluster import DECClusterer
from skdeep.representation import AutoencoderTransformer

MIB = 2**20
N_ROWS = 60_000

Call = Callable[[], tuple[int, int]]
"""What is measured; returns the bytes of the weights and of the result."""


def weight_bytes(autoencoder: AutoencoderTransformer) -> int:
    """Bytes of all weights of a fitted autoencoder."""
    networks = autoencoder.encoder_, autoencoder.decoder_
    return sum(weight.nbytes for net in networks for weight in net.parameters())


def paper_autoencoder(**parameters: Any) -> AutoencoderTransformer:
    """Return the papers' autoencoder, to be trained for one epoch."""
    return AutoencoderTransformer(
        PAPER[-1],
        hidden_layer_sizes=PAPER[1:-1],
        max_iter=1,
        random_state=0,
        **parameters,
    )


def skdeep_predict(folders: list[Path]) -> Call:
    """Labels of all rows from a DEC that was fitted on some of them."""
    _, X = images(folders, N_ROWS)
    fitted = paper_autoencoder(neighbor_weight=0).fit(X[:2_000])
    dec = DECClusterer(
        10, autoencoder=FrozenEstimator(fitted), max_iter=1, n_init=1, random_state=0
    ).fit(X[:2_000])
    return lambda: (weight_bytes(fitted), dec.predict(X).nbytes)


def clustpy_predict(folders: list[Path]) -> Call:
    """Do the same with ClustPy's DEC."""
    _, X = images(folders, N_ROWS)
    network = clustpy_autoencoder(X[:2_000], PAPER, 256, 1)
    dec = clustpy_clusterer(
        "DEC", X[:2_000], n_clusters=10, neural_network=network, clustering_epochs=1
    )

    def call() -> tuple[int, int]:
        with undisturbed():
            return 0, dec.predict(X).nbytes

    return call


def skdeep_fit(folders: list[Path], neighbor_weight: float) -> Call:
    """One epoch of the papers' autoencoder on all rows."""
    _, X = images(folders, N_ROWS)
    autoencoder = paper_autoencoder(neighbor_weight=neighbor_weight)
    return lambda: (weight_bytes(autoencoder.fit(X)), 0)


def clustpy_fit(folders: list[Path]) -> Call:
    """Do the same with ClustPy's autoencoder."""
    _, X = images(folders, N_ROWS)

    def call() -> tuple[int, int]:
        clustpy_autoencoder(X, PAPER, 256, 1)
        return 0, 0

    return call


def skdeep_fit_sparse(_: list[Path]) -> Call:
    """One epoch of the default autoencoder on 20 000 x 10 000 entries, 1 % filled."""
    X = sparse.random(20_000, 10_000, 0.01, "csr", np.float32, random_state=0)
    autoencoder = AutoencoderTransformer(max_iter=1, random_state=0)
    return lambda: (weight_bytes(autoencoder.fit(X)), 0)


SUBJECTS: dict[str, dict[str, Callable[[list[Path]], Call]]] = {
    "predict, 60 000 x 784, paper network": {
        "skdeep": skdeep_predict,
        "ClustPy": clustpy_predict,
    },
    "fit, 60 000 x 784, paper network, 1 epoch, no neighbours": {
        "skdeep": partial(skdeep_fit, neighbor_weight=0),
        "ClustPy": clustpy_fit,
    },
    "fit, 60 000 x 784, paper network, 1 epoch": {
        "skdeep": partial(skdeep_fit, neighbor_weight=1),
    },
    "fit, CSR 20 000 x 10 000 with 1 %, default network, 1 epoch": {
        "skdeep": skdeep_fit_sparse,
    },
}
"""By title, the contestants, which make their input and return the call."""


def resident(field: str) -> int:
    """Bytes of a field of the process' status on Linux: VmRSS now, VmHWM at most."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    raise KeyError(field)


def bound(measured: dict[str, float]) -> float:
    """Bytes that skdeep should stay below."""
    return 150 * MIB + 4 * measured["weights"] + measured["returned"]


def peak_above(call: Callable[[], object]) -> int:
    """Peak resident bytes during a call, above those before it.

    The kernel's own mark of the peak where it can be reset; else the largest of samples
    taken every five milliseconds.
    """
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = resident("VmRSS")
    except (OSError, AttributeError, TypeError):
        return sampled_peak_above(call)
    call()
    return resident("VmHWM") - before


def sampled_peak_above(call: Callable[[], object]) -> int:
    """Largest of many samples of the resident bytes, above those before the call."""
    import psutil

    process = psutil.Process()
    before = peak = process.memory_info().rss
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.005):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        call()
    finally:
        ended.set()
        watcher.join()
    return peak - before


def measured(subject: str, contestant: str, folders: list[Path]) -> dict[str, float]:
    """Measure one call, in this process."""
    call = SUBJECTS[subject][contestant](folders)
    results: list[tuple[float, int, int]] = []

    def timed() -> None:
        started = time.perf_counter()
        weights, returned = call()
        results.append((time.perf_counter() - started, weights, returned))

    peak = peak_above(timed)
    took, weights, returned = results[0]
    return {"seconds": took, "peak": peak, "weights": weights, "returned": returned}


def measured_apart(
    subject: str, contestant: str, folders: list[Path]
) -> dict[str, float]:
    """Measure one call, in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.memory", subject, contestant]
    command += [str(folder) for folder in folders]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    output = subprocess.run(
        command, stdout=subprocess.PIPE, check=True, text=True, env=os.environ | threads
    )
    return json.loads(output.stdout)


def memory_lines(folders: list[Path], repetitions: int) -> Iterator[str]:
    """Measure all subjects, each call in its own process; yield the tables."""
    for subject, contestants in SUBJECTS.items():
        calls = {
            name: lambda _, name=name, subject=subject: measured_apart(
                subject, name, folders
            )
            for name in contestants
            if CLUSTPY or name != "ClustPy"
        }
        runs = alternated(calls, repetitions)
        for key, unit, scale in (("seconds", "s", 1), ("peak", "MiB", MIB)):
            values = {
                name: [run[key] / scale for run in own] for name, own in runs.items()
            }
            if key == "seconds":
                yield subject
            yield from table(values, ["skdeep"], unit)
        yield f"bound for skdeep: {bound(runs['skdeep'][0]) / MIB:.0f} MiB"
        yield ""


def main() -> None:
    """Measure one call and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument("contestant")
    parser.add_argument("folders", nargs="*", type=Path)
    options = parser.parse_args()
    figures = measured(options.subject, options.contestant, options.folders)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
