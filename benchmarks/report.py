"""What every report begins with, and where it goes."""

import os
import platform
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

import sklearn
import torch

import skdeep
from benchmarks.precisions import BFLOAT16_IS_NATIVE


def processor() -> str:
    """Model of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return models[0].strip() if models else platform.machine()


def header(*peers: str) -> Iterator[str]:
    """Date, machine and versions, also those of peers."""
    types = "with" if BFLOAT16_IS_NATIVE else "without"
    yield (
        f"{date.today()}  {processor()}, {types} bfloat16 products  "
        f"{os.cpu_count()} cores  {torch.get_num_threads()} threads"
    )
    versions = [
        f"skdeep {skdeep.__version__}",
        f"torch {torch.__version__}",
        f"scikit-learn {sklearn.__version__}",
        *peers,
        f"Python {platform.python_version()}",
    ]
    yield "  ".join(versions)


def publish(lines: Iterable[str], output: Path | None) -> None:
    """Print lines as they come, also into a file."""
    report = []
    for line in lines:
        report.append(line)
        print(line, flush=True)
        if output:
            output.write_text("\n".join(report) + "\n")
