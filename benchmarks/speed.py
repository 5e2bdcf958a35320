"""Speed and memory of skdeep beside ClustPy and beside what the hardware allows.

    python -m benchmarks.speed [DATA_FOLDER ...] [--quick] [--cases ...] [--output FILE]

All contestants train the same network on the same rows in the same batches, in one
process and in alternating repetitions. A time is the median with the quartiles of the
repetitions; a ratio is taken within each repetition, and above 1 skdeep is faster.
Seconds an epoch are the difference of a longer and a shorter fit: set-up cancels.

ClustPy is left out if it is not installed. Without Fashion-MNIST or MNIST in the
folders, planted clusters of the same shape stand in for them.
"""

import argparse
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from sklearn.exceptions import ConvergenceWarning

from benchmarks import epochs
from benchmarks.epochs import EpochCase
from benchmarks.fits import digits_lines, search_lines
from benchmarks.memory import memory_lines
from benchmarks.peers import CLUSTPY
from benchmarks.report import header, publish

EPOCH_CASES: dict[str, Callable[[list[Path], bool], Iterator[EpochCase]]] = {
    "autoencoder": epochs.paper_network,
    "late-epochs": epochs.late_epochs,
    "dec": partial(epochs.deep_stage, "DEC"),
    "idec": partial(epochs.deep_stage, "IDEC"),
    "dcn": partial(epochs.deep_stage, "DCN"),
    "vade": epochs.vade,
    "small-table": epochs.small_table,
    "default-network": epochs.default_network,
}

COMPLETE_CASES: dict[str, Callable[[list[Path], int], Iterator[str]]] = {
    "memory": memory_lines,
    "search": search_lines,
    "digits": lambda _, repetitions: digits_lines(min(repetitions, 2)),
}
"""Minutes each, and left out of a quick run: complete fits and large tables."""


def results(options: argparse.Namespace) -> Iterator[str]:
    """Run the cases and yield the lines of the report."""
    yield from header(f"ClustPy {CLUSTPY or 'not installed'}")
    yield ""
    repetitions = 2 if options.quick else options.repetitions
    yield f"{repetitions} repetitions: median [quartiles]"
    yield ""
    for name in options.cases:
        if name in EPOCH_CASES:
            for case in EPOCH_CASES[name](options.folders, options.quick):
                yield from case.lines(repetitions)
                yield ""
        elif not options.quick:
            yield from COMPLETE_CASES[name](options.folders, repetitions)


def main() -> None:
    """Run the benchmark and print its tables, also into a file."""
    cases = [*EPOCH_CASES, *COMPLETE_CASES]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, metavar="DATA_FOLDER")
    parser.add_argument("--quick", action="store_true", help="a minute: does it work?")
    parser.add_argument("--cases", nargs="+", default=cases, choices=cases)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, help="of torch, if not its own choice")
    parser.add_argument("--output", type=Path, help="a file that also gets the tables")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    # Networks trained for an epoch or two may well lose a cluster.
    warnings.simplefilter("ignore", ConvergenceWarning)
    publish(results(options), options.output)


if __name__ == "__main__":
    main()
