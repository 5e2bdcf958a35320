"""Deep clustering beside k-means, on digits or on a table of your own.

Fits k-means, AEKMeans, DEC and IDEC, prints a table that compares them, searches the
number of clusters, and draws the embedding and the reconstructions. With a CSV file,
numbers are scaled, categories encoded and gaps filled; the clusters are written beside
the rows.
"""

import argparse
import tempfile
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.cluster import KMeans
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_digits
from sklearn.impute import SimpleImputer
from sklearn.metrics import silhouette_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skdeep import CLUSTERING_SCORERS, AEKMeans, DECClusterer, IDECClusterer
from skdeep.inspection import EmbeddingDisplay
from skdeep.metrics import neighbor_modularity_scorer

mpl.use("Agg")
import matplotlib.pyplot as plt

SEED = 0


def digits():
    """Load digit images as rows, their classes, and the first step of the pipeline."""
    data = load_digits(as_frame=True)
    return data.data, data.target, FunctionTransformer(np.asarray)


def table(path, label):
    """Read a CSV file: its rows, its label column if any, and an encoder of the rows.

    Columns of text become indicators, at most 20 a column; columns that are all
    different, such as names, are of no use for clustering and left out.
    """
    frame = rows_of(path)
    if label is not None and label not in frame:
        raise SystemExit(f"{path} has no column {label!r}, but {list(frame)}.")
    if label is not None and frame[label].isna().any():
        print(f"Left out: {frame[label].isna().sum()} rows without {label}.")
        frame = frame.dropna(subset=label)
    y = None if label is None else frame.pop(label)
    text = make_column_selector(dtype_exclude="number")
    empty = list(frame.columns[frame.isna().all()])
    names = [c for c in text(frame) if frame[c].nunique() > 0.9 * len(frame)]
    for columns, why in (
        (empty, "they are empty"),
        (names, "nearly all values differ"),
    ):
        if columns:
            print(f"Left out, since {why}: {', '.join(columns)}")
    frame = frame.drop(columns={*empty, *names})
    if frame.empty:
        raise SystemExit(f"{path} has no rows and columns left that can be clustered.")
    categories = make_pipeline(
        SimpleImputer(strategy="most_frequent"),
        OneHotEncoder(
            max_categories=20, handle_unknown="infrequent_if_exist", sparse_output=False
        ),
    )
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")), (categories, text)
    )
    return frame, y, columns


def rows_of(path):
    """Read the rows of a CSV file, with commas or semicolons between the cells."""
    try:
        frame = pd.read_csv(path)
        if frame.shape[1] == 1 and ";" in frame.columns[0]:
            frame = pd.read_csv(path, sep=";")
    except (OSError, ValueError) as error:  # of pandas, too
        raise SystemExit(f"{path} cannot be read as CSV in UTF-8: {error}") from error
    return frame.replace([np.inf, -np.inf], np.nan)


def compare(pipelines, X, y, encoded):
    """Fit each pipeline; one row of scores each."""
    rows = {}
    for name, pipeline in pipelines.items():
        started = time.perf_counter()
        labels = pipeline.fit(X).predict(X)
        seconds = time.perf_counter() - started
        if y is None:
            sample = np.random.RandomState(SEED).permutation(len(X))[:5000]
            found = {"silhouette": -1.0}
            if len(np.unique(labels[sample])) > 1:
                score = silhouette_score(encoded[sample], labels[sample])
                found = {"silhouette": score}
        else:
            found = {
                k: score(pipeline, X, y) for k, score in CLUSTERING_SCORERS.items()
            }
        rows[name] = {**found, "seconds": seconds}
        if len(rows) == 1:
            print(" " * 10 + "".join(f"{title:>12s}" for title in rows[name]))
        print(f"{name:10s}" + "".join(f"{v:12.3f}" for v in rows[name].values()))
    return pd.DataFrame(rows).T


def search(pipeline, X, y, n_clusters):
    """Try numbers of clusters; candidates of a fold share one pretraining."""
    candidates = sorted({max(2, n_clusters - 2), n_clusters, n_clusters + 2})
    progress = ProgressBar(max_propagation_depth=1)
    found = GridSearchCV(
        pipeline,
        {"clusterer__n_clusters": candidates},
        scoring=neighbor_modularity_scorer if y is None else CLUSTERING_SCORERS,
        refit=True if y is None else "ACC",
        cv=KFold(2, shuffle=True, random_state=SEED),
    )
    return found.set_callbacks(progress).fit(X, y)


def draw_embedding(pipeline, X, folder):
    """Draw the embedding in two principal components, coloured by cluster."""
    display = EmbeddingDisplay.from_estimator(pipeline, X)
    display.ax_.set_title("Embedding (IDEC)")
    display.figure_.savefig(folder / "embedding.png", dpi=120)


def draw_reconstructions(pipeline, X, folder, shape):
    """Draw a few inputs, what the decoder makes of them, and of the cluster centers."""
    clusterer = pipeline[-1]
    inputs = np.asarray(pipeline[:-1].transform(X), dtype=float)
    chosen = [
        np.flatnonzero(clusterer.labels_ == j) for j in np.unique(clusterer.labels_)
    ]
    rows = inputs[[members[0] for members in chosen]]
    rebuilt = clusterer.inverse_transform(clusterer.transform(rows))
    centers = clusterer.inverse_transform(clusterer.cluster_centers_)
    if shape is None:
        figure, ax = plt.subplots(figsize=(7, 6), layout="constrained")
        everything = clusterer.inverse_transform(clusterer.transform(inputs))
        ax.scatter(inputs.ravel(), everything.ravel(), s=2, alpha=0.2, linewidths=0)
        ax.axline((0, 0), slope=1, color="black", linewidth=0.8)
        ax.set(xlabel="input (scaled)", ylabel="reconstruction", title="Reconstruction")
    else:
        names = ("a row", "rebuilt", "center")
        figure, axes = plt.subplots(
            3, len(rows), figsize=(len(rows), 3.4), layout="constrained", squeeze=False
        )
        for axes_row, images, name in zip(
            axes, (rows, rebuilt, centers), names, strict=True
        ):
            axes_row[0].set_ylabel(name)
            for ax, image in zip(axes_row, images, strict=False):
                ax.imshow(image.reshape(shape), cmap="gray_r", vmin=0, vmax=16)
                ax.set(xticks=[], yticks=[])
        figure.suptitle("One row of each cluster, its reconstruction, and its center")
    figure.savefig(folder / "reconstructions.png", dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", nargs="?", help="table to cluster; digits if left out")
    parser.add_argument("--label", help="column of true classes, if there is one")
    parser.add_argument("--n-clusters", type=int, help="clusters; 8 by default")
    parser.add_argument("--output", type=Path, default=Path("demo_output"))
    options = parser.parse_args()
    options.output.mkdir(exist_ok=True)

    X, y, prepare = table(options.csv, options.label) if options.csv else digits()
    n_clusters = options.n_clusters or (8 if y is None else y.nunique())
    if len(X) < 2 * (n_clusters + 2):  # the search fits halves
        raise SystemExit(f"{len(X)} rows are too few for {n_clusters} clusters.")
    encoded = clone(prepare).fit_transform(X)
    print(f"{len(X)} rows, {np.shape(encoded)[1]} columns, {n_clusters} clusters\n")

    with tempfile.TemporaryDirectory() as memory:
        settings = {"n_clusters": n_clusters, "memory": memory, "random_state": SEED}
        clusterers = {
            "k-means": KMeans(n_clusters, n_init=10, random_state=SEED),
            "AEKMeans": AEKMeans(**settings),
            "DEC": DECClusterer(**settings),
            "IDEC": IDECClusterer(**settings),
        }
        pipelines = {
            name: Pipeline([("prepare", clone(prepare)), ("clusterer", clusterer)])
            for name, clusterer in clusterers.items()
        }
        scores = compare(pipelines, X, y, encoded)
        print("(AEKMeans trained the autoencoder that DEC and IDEC then took over.)")
        scores.to_csv(options.output / "scores.csv")

        print("\nGrid search over the number of clusters:")
        found = search(clone(pipelines["IDEC"]), X, y, n_clusters)
        print(f"best: {found.best_params_}, score {found.best_score_:.3f}\n")

    idec = pipelines["IDEC"]
    draw_embedding(idec, X, options.output)
    draw_reconstructions(idec, X, options.output, shape=None if options.csv else (8, 8))
    found = {
        "cluster": idec.predict(X),
        "confidence": idec.predict_proba(X).max(axis=1),
    }
    result = rows_of(options.csv).loc[X.index] if options.csv else X
    for name, values in found.items():
        result[f"skdeep_{name}" if name in result else name] = values
    result.to_csv(options.output / "labels.csv", index=False)
    for name in ("labels.csv", "scores.csv", "embedding.png", "reconstructions.png"):
        print(f"wrote {options.output / name}")


if __name__ == "__main__":
    main()
