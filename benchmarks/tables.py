"""Mixed tables: how good samples are, by encoding and sampler.

    python -m benchmarks.tables DATA_FOLDER ... [--tables ...] [--output FILE]

3000 rows are fitted, 2000 drawn, 2000 held out. `AUC`: how well boosted trees tell
drawn rows from held-out ones (0.5 is not at all). `TSTR`: area under the curve of
boosted trees that learn the target from drawn rows, on held-out ones; `real` learns
from the fitted rows. Our fits are brief: most take less than half a minute. The peers
of the package ctgan, if it is installed, train as long as their defaults say.
"""

import argparse
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    OrdinalEncoder,
    QuantileTransformer,
    StandardScaler,
)

from benchmarks.datasets import first_found
from benchmarks.report import header, publish
from benchmarks.timing import seconds
from skdeep import (
    DiffusionSampler,
    FlowSampler,
    TabularEncoder,
    VAESampler,
    classifier_two_sample_score,
    make_sampler_pipeline,
)

try:
    from ctgan import CTGAN, TVAE
except ImportError:
    PEERS: dict[str, Callable[..., Any]] = {}
else:
    PEERS = {"CTGAN": CTGAN, "TVAE": TVAE}

N_FITTED, N_HELD_OUT = 3000, 2000


def adult(folder: Path) -> tuple[pd.DataFrame, str]:
    """Read people and whether they earn more than 50 000; cells are missing."""
    return pd.read_csv(folder / "adult.csv.gz", na_values="?"), "income"


def credit(folder: Path) -> tuple[pd.DataFrame, str]:
    """Read customers and whether they paid; four columns are codes."""
    frame = pd.read_csv(folder / "credit_default.csv.gz")
    target = "default_payment_next_month"
    codes = ["SEX", "EDUCATION", "MARRIAGE", target]
    return frame.astype(dict.fromkeys(codes, "category")), target


def housing(folder: Path) -> tuple[pd.DataFrame, str]:
    """Read districts and whether their houses are dear."""
    frame = pd.read_csv(folder / "california_housing.csv.gz")
    frame = frame[frame["ocean_proximity"] != "ISLAND"]
    value = frame.pop("median_house_value")
    return frame.assign(dear=value > value.median()), "dear"


TABLES: dict[str, Callable[[Path], tuple[pd.DataFrame, str]]] = {
    "adult": adult,
    "credit": credit,
    "housing": housing,
}

ENCODERS: dict[str, Callable[[], TabularEncoder]] = {
    "default": TabularEncoder,
    "one-hot": lambda: TabularEncoder(categorical="onehot"),
    "one-hot, sklearn's quantiles": lambda: TabularEncoder(
        categorical="onehot",
        numeric=QuantileTransformer(output_distribution="normal", random_state=0),
    ),
    "one-hot, standardised": lambda: TabularEncoder(
        categorical="onehot", numeric=StandardScaler()
    ),
}

SAMPLERS: dict[str, Callable[[], Any]] = {
    "10 Gaussians": lambda: GaussianMixture(10, reg_covar=1e-4, random_state=0),
    "VAE": lambda: VAESampler(max_iter=40, random_state=0),
    "flow": lambda: FlowSampler(max_iter=20, random_state=0),
    "diffusion": lambda: DiffusionSampler(max_iter=80, random_state=0),
}


def usefulness(train: pd.DataFrame, test: pd.DataFrame, target: str) -> float:
    """Area under the curve on a test table of trees that learn from another one."""
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    numbers = make_column_transformer(
        (codes, make_column_selector(dtype_exclude="number")), remainder="passthrough"
    )
    trees = HistGradientBoostingClassifier(
        max_iter=60, early_stopping=False, random_state=0
    )
    y = train[target].astype(str)
    model = make_pipeline(numbers, trees).fit(train.drop(columns=target), y)
    p = model.predict_proba(test.drop(columns=target))[:, 1]
    return roc_auc_score(test[target].astype(str) == model.classes_[1], p)


def peer_rows(
    new_peer: Callable[..., Any], train: pd.DataFrame, n_rows: int
) -> tuple[pd.DataFrame, float]:
    """Rows that a peer draws, and the seconds of its fit.

    It takes no gaps: those of numbers are filled, and others are a category.
    """
    categories = [*train.select_dtypes(exclude="number")]
    filled = train.fillna(train.median(numeric_only=True))
    filled = filled.astype(dict.fromkeys(categories, str))
    peer = new_peer(enable_gpu=False)
    peer.set_random_state(0)
    with warnings.catch_warnings(action="ignore"):
        took = seconds(partial(peer.fit, filled, categories))
        drawn = peer.sample(n_rows)
    for name in categories:
        cell_of = {str(cell): cell for cell in train[name].unique()}
        drawn[name] = drawn[name].map(cell_of)
    return drawn.astype(train.dtypes), took


def results(options: argparse.Namespace) -> Iterator[str]:
    """Fit all pairs on all tables and yield the lines of the report."""
    yield from header()
    for name in options.tables:
        found = first_found(TABLES[name], options.folders)
        if found is None:
            continue
        frame, target = found
        n_rows = N_FITTED + N_HELD_OUT
        frame = frame.sample(n_rows, random_state=0).reset_index(drop=True)
        train, test = frame[:N_FITTED], frame[N_FITTED:]
        auc = classifier_two_sample_score(test, train, random_state=0)
        yield ""
        yield f"{name:14s}{'':30s}{'codes':>7s}{'AUC':>7s}{'TSTR':>7s}{'s':>6s}"
        yield f"{'real':51s}{auc:7.3f}{usefulness(train, test, target):7.3f}"
        for peer, new_peer in PEERS.items():
            drawn, took = peer_rows(new_peer, train, len(test))
            auc = classifier_two_sample_score(test, drawn, random_state=0)
            tstr = usefulness(drawn, test, target)
            yield f"{peer:51s}{auc:7.3f}{tstr:7.3f}{took:6.0f}"
        for sampler, new_sampler in SAMPLERS.items():
            for encoder, new_encoder in ENCODERS.items():
                model = make_sampler_pipeline(new_encoder(), new_sampler())
                took = seconds(partial(model.fit, train))
                drawn = model.sample(len(test), random_state=0)
                n_codes = len(model[0].get_feature_names_out())
                auc = classifier_two_sample_score(test, drawn, random_state=0)
                tstr = usefulness(drawn, test, target)
                yield (
                    f"{sampler:14s}{encoder:30s}{n_codes:7d}"
                    f"{auc:7.3f}{tstr:7.3f}{took:6.0f}"
                )


def main() -> None:
    """Run the benchmark and print its tables, also into a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="where the sets are")
    parser.add_argument("--tables", nargs="+", default=[*TABLES], choices=TABLES)
    parser.add_argument("--output", type=Path, help="a file that also gets the tables")
    options = parser.parse_args()
    publish(results(options), options.output)


if __name__ == "__main__":
    main()
