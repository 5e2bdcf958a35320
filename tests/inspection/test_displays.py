"""What all displays owe, and what each of them shows."""

import inspect
import itertools
import sys
from decimal import Decimal
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from numpydoc.docscrape import NumpyDocString
from scipy import sparse
from scipy.spatial.distance import cdist
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import DataConversionWarning
from sklearn.frozen import FrozenEstimator
from sklearn.manifold import TSNE
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skdeep
from skdeep import inspection
from skdeep.cluster import AEKMeans, DECClusterer, NClustersSearch, SCANClusterer
from skdeep.compose import TabularEncoder, make_sampler_pipeline
from skdeep.generative import FlowSampler, GANSampler, VAESampler
from skdeep.inspection import (
    ClusterConfusionDisplay,
    DensityDisplay,
    EmbeddingDisplay,
    LossCurveDisplay,
    NClustersDisplay,
    ReconstructionDisplay,
    SampleDisplay,
)
from skdeep.representation import AutoencoderTransformer, FineTunedClassifier

IRIS = load_iris(as_frame=True)
X, y = IRIS.data, IRIS.target
SPECIES = IRIS.target_names[y]
IMAGES = np.random.RandomState(0).rand(30, 1, 4, 4)
QUICK = AutoencoderTransformer(3, hidden_layer_sizes=(8,), max_iter=2, random_state=0)


@pytest.fixture(scope="module")
def dec():
    return DECClusterer(3, autoencoder=QUICK, max_iter=2, random_state=0).fit(X)


@pytest.fixture(scope="module")
def aekmeans():
    return AEKMeans(3, autoencoder=QUICK, random_state=0).fit(X)


@pytest.fixture(scope="module")
def conditional():
    """Return a flow of two columns, in which the classes lie apart."""
    flow = FlowSampler(n_couplings=1, conditional=True, max_iter=1, random_state=0)
    return flow.fit(X.iloc[:, 2:], SPECIES)


@pytest.fixture(scope="module")
def mixture():
    return GaussianMixture(2, random_state=0).fit(X.iloc[:, :2])


DISPLAYS = {
    "ClusterConfusionDisplay": lambda: ClusterConfusionDisplay(
        np.eye(2, dtype=int), ["a", "b"], [1, 0]
    ),
    "DensityDisplay": lambda: DensityDisplay(
        np.arange(3.0), np.arange(2.0), np.zeros((2, 3))
    ),
    "EmbeddingDisplay": lambda: EmbeddingDisplay(np.eye(2), labels=[0, 1]),
    "LossCurveDisplay": lambda: LossCurveDisplay({"training": {"loss": [2.0, 1.0]}}),
    "NClustersDisplay": lambda: NClustersDisplay([2, 3], [0.1, 0.2]),
    "ReconstructionDisplay": lambda: ReconstructionDisplay(X, X),
    "SampleDisplay": lambda: SampleDisplay(X, X),
}

every_display = pytest.mark.parametrize("name", inspection.__all__)


# what all displays owe


def test_every_display_is_tested_and_exported():
    assert set(DISPLAYS) == set(inspection.__all__)
    assert set(inspection.__all__) <= set(skdeep.__all__)


@every_display
def test_constructor_only_stores_and_draws_nothing(name):
    display = DISPLAYS[name]()
    assert set(vars(display)) == set(inspect.signature(type(display)).parameters)
    assert plt.get_fignums() == []


@every_display
def test_plot_returns_the_display_with_the_documented_attributes(name):
    display = DISPLAYS[name]()
    given = set(vars(display))
    assert display.plot() is display
    attributes = NumpyDocString(inspect.getdoc(type(display)))["Attributes"]
    assert set(vars(display)) - given == {a.name for a in attributes}
    assert display.ax_.figure is display.figure_
    display.figure_.canvas.draw()


@every_display
def test_plot_draws_in_the_axes_that_are_given(name):
    figure, axes = plt.subplots(1, 2)
    display = DISPLAYS[name]().plot(axes[1])
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]


@every_display
def test_classmethods_hand_the_axes_on(name):
    found = getattr(inspection, name)
    makers = [n for n in vars(found) if n.startswith("from_")]
    assert makers
    for maker in makers:
        assert inspect.signature(getattr(found, maker)).parameters["ax"].default is None


@every_display
def test_error_without_matplotlib_says_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        DISPLAYS[name]().plot()


def test_axes_placed_by_hand_cannot_be_parted_into_panels():
    ax = plt.figure().add_axes((0, 0, 1, 1))
    with pytest.raises(ValueError, match="'ax' parameter must be axes of a grid"):
        LossCurveDisplay.from_histories({"training": {"loss": [1.0]}}, ax=ax)


def test_tensors_are_drawn_as_arrays(dec, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    model = clone(dec).fit(X.to_numpy())
    rows, labels = torch.tensor(X.to_numpy(), requires_grad=True), torch.tensor(y)
    for tensor, dispatch in ((rows, False), (rows.bfloat16(), True)):
        with config_context(array_api_dispatch=dispatch):
            probability = tensor[:, 0].sigmoid()
            display = EmbeddingDisplay.from_embedding(
                tensor, labels=labels, probability=probability, centers=tensor[:2]
            )
            display.plot(color_by="probability")
            EmbeddingDisplay.from_estimator(model, tensor, labels=labels)
            ClusterConfusionDisplay.from_estimator(model, tensor, labels)
            ReconstructionDisplay.from_reconstruction(tensor, tensor)
            SampleDisplay.from_samples(tensor[:, :2], tensor[:, :2])
            display = NClustersDisplay.from_scores(labels[48:52:2], tensor[:2, 0])
        plt.close("all")
    assert display.ax_.get_title() == "0 clusters"


# losses


def curves(ax):
    return {line.get_label(): list(line.get_ydata()) for line in ax.lines}


def test_loss_curves_have_a_panel_for_each_phase(dec):
    display = LossCurveDisplay.from_estimator(dec)
    pretraining, training = display.axes_
    assert pretraining.get_title() == "pretraining"
    assert curves(pretraining)["loss"] == dec.autoencoder_.history_["loss"]
    assert curves(training) == {"loss": dec.history_["loss"]}


def test_loss_curves_of_one_phase_are_drawn_once(aekmeans):
    assert len(LossCurveDisplay.from_estimator(aekmeans).axes_) == 1


def test_loss_curves_know_the_phases_after_the_first_training():
    scan = SCANClusterer(
        2, encoder=QUICK, max_iter=2, self_label_iter=2, random_state=0
    ).fit(X)
    assert list(LossCurveDisplay.from_estimator(scan).histories) == [
        "pretraining",
        "training",
        "self-labelling",
    ]
    tuned = FineTunedClassifier(QUICK, max_iter=2, frozen_iter=2).fit(X, y)
    assert list(LossCurveDisplay.from_estimator(tuned).histories) == [
        "pretraining",
        "head",
        "training",
    ]


def test_loss_curves_find_the_model_in_pipelines_and_searches():
    pipeline = make_pipeline(StandardScaler(), QUICK)
    search = GridSearchCV(pipeline, {"autoencodertransformer__max_iter": [2]}, cv=2)
    display = LossCurveDisplay.from_estimator(search.fit(X))
    assert len(curves(display.axes_[0])["loss"]) == 2


def test_other_records_are_drawn_by_name(dec):
    display = LossCurveDisplay.from_estimator(dec, names=["modularity"])
    assert curves(display.axes_[0]) == {"modularity": dec.history_["modularity"]}
    with pytest.raises(ValueError, match=r"not recorded: \['bias'\]. There are"):
        LossCurveDisplay.from_estimator(dec, names=["bias"])


@pytest.mark.parametrize(
    ("histories", "names", "error", "text"),
    [
        ({"a": {"accuracy": [1, 2]}}, None, ValueError, "'histories' .* no loss, but"),
        ({}, None, ValueError, "'histories' parameter holds no loss"),
        ({"loss": [2.0, 1.0]}, None, TypeError, "'histories' .* Got {'loss'"),
        ([1.0] * 99, None, TypeError, r"'histories' .* Got \[1.0.*\.\.\. instead"),
        ({"a": {"loss": [2]}}, "loss", TypeError, r"'names' .* \['loss'\] for one"),
    ],
)
def test_records_that_cannot_be_drawn_are_refused(histories, names, error, text):
    with pytest.raises(error, match=text):
        LossCurveDisplay.from_histories(histories, names=names)


def test_ticks_of_one_epoch_and_of_one_number_of_clusters_are_integers():
    one = LossCurveDisplay.from_histories({"training": {"loss": [2.0]}}).axes_[0]
    for ax, number in ((one, 1), (NClustersDisplay.from_scores([5], [1.0]).ax_, 5)):
        low, high = ax.get_xlim()
        assert [tick for tick in ax.get_xticks() if low <= tick <= high] == [number]


def test_loss_curves_of_a_model_without_epochs_are_refused():
    with pytest.raises(TypeError, match=r"history_\. Got PCA"):
        LossCurveDisplay.from_estimator(PCA().fit(X))
    drawn = clone(QUICK).set_params(max_iter=0).fit(X)
    with pytest.raises(ValueError, match=r"Autoenc.* without epochs \(max_iter=0\)"):
        LossCurveDisplay.from_estimator(drawn)


@pytest.mark.parametrize(
    ("clusterer", "phases"),
    [
        (AEKMeans(autoencoder=QUICK), ["pretraining"]),
        (DECClusterer(autoencoder=QUICK, max_iter=2), ["pretraining", "training"]),
    ],
)
def test_loss_curves_of_a_search_for_clusters_are_those_of_its_clusterer(
    clusterer, phases
):
    search = NClustersSearch(clusterer, max_clusters=3, random_state=0).fit(X)
    assert list(LossCurveDisplay.from_estimator(search).histories) == phases


# embedding


def test_embedding_is_drawn_on_principal_components_with_its_centers(dec):
    display = EmbeddingDisplay.from_estimator(dec, X)
    pca = PCA(2).fit(dec.transform(X).astype(float))
    np.testing.assert_allclose(
        display.points, pca.transform(dec.transform(X)), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        display.centers, pca.transform(dec.cluster_centers_), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(display.labels, dec.labels_)
    assert "of variance" in display.ax_.get_xlabel()
    assert len(display.scatters_) == len(np.unique(dec.labels_))


@pytest.mark.parametrize("width", [1, 2])
def test_narrow_embeddings_are_drawn_as_they_are(width):
    Z = np.random.RandomState(0).rand(10, width)
    display = EmbeddingDisplay.from_embedding(Z, centers=Z[:2])
    np.testing.assert_array_equal(display.points[:, :width], Z)
    np.testing.assert_array_equal(display.points[:, width:], 0)
    np.testing.assert_array_equal(display.centers[:, :width], Z[:2])


@pytest.mark.parametrize("rows", [X[:1], X.iloc[[0, 0, 0]]])
def test_rows_without_spread_are_drawn_by_their_first_components(dec, rows):
    display = EmbeddingDisplay.from_estimator(dec, rows)
    np.testing.assert_array_equal(display.points, dec.transform(rows)[:, :2])
    np.testing.assert_array_equal(display.centers, dec.cluster_centers_[:, :2])


def test_wide_embeddings_are_drawn_alike_and_draw_from_no_global_generator():
    Z = np.random.RandomState(0).randn(520, 510)
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first, again = (EmbeddingDisplay.from_embedding(Z).points for _ in range(2))
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_embedding_is_coloured_by_probability(dec):
    display = EmbeddingDisplay.from_estimator(dec, X, color_by="probability")
    (scatter,) = display.scatters_
    np.testing.assert_allclose(scatter.get_array(), dec.predict_proba(X).max(axis=1))


def test_embedding_is_coloured_by_classes_of_any_type(dec):
    names = IRIS.target_names[y]
    display = EmbeddingDisplay.from_estimator(dec, X, labels=names)
    shown = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert shown == sorted(IRIS.target_names)


def test_labels_that_begin_with_an_underscore_are_in_the_legend():
    display = EmbeddingDisplay.from_embedding(X, labels=["_other", "b"] * 75)
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["_other", "b"]


def test_sums_of_money_are_no_formulas():
    bands = pd.DataFrame({"income": ["$0_to_$50", "$50k-$99k", "more"] * 50})
    for display in (
        EmbeddingDisplay.from_embedding(X, labels=bands["income"]),
        ClusterConfusionDisplay.from_predictions(bands["income"], y),
        SampleDisplay.from_samples(bands, bands),
    ):
        display.figure_.canvas.draw()


def test_many_labels_have_colours_and_no_legend():
    Z = np.random.RandomState(0).rand(60, 2)
    display = EmbeddingDisplay.from_embedding(Z, labels=np.arange(60) % 30)
    colors = {tuple(s.get_facecolor()[0]) for s in display.scatters_}
    assert len(colors) == 30
    assert display.ax_.get_legend() is None


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, np.nan, None],
        np.array([0, 1, np.nan, np.nan]),
        pd.Series([0, 1, None, None], dtype="Int64"),
        ["0", "1", np.nan, None],
        pd.Series(["0", "1", None, pd.NA], dtype="string"),
        pd.Series(["0", "1", None, np.nan], dtype="category"),
        pd.to_datetime(["2020-01-01", "2021-01-01", None, "NaT"]),
        pl.Series([0, 1, None, None]),
        pl.Series(["0", "1", None, None]),
    ],
    ids=lambda labels: str(getattr(labels, "dtype", "list")),
)
def test_rows_without_a_label_are_grey(labels):
    display = EmbeddingDisplay.from_embedding(X[:4], labels=labels)
    assert [len(s.get_offsets()) for s in display.scatters_] == [1, 1, 2]
    shown = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert shown[2] == "missing"
    np.testing.assert_allclose(display.scatters_[2].get_facecolor(), [[0.8] * 3 + [1]])


def test_labels_may_be_a_column():
    with pytest.warns(DataConversionWarning, match="column-vector"):
        display = EmbeddingDisplay.from_embedding(X[:3], labels=[[0], [None], [1]])
    assert len(display.scatters_) == 3
    with pytest.raises(ValueError, match="should be a 1d array"):
        EmbeddingDisplay.from_embedding(X[:3], labels=np.eye(3))


@pytest.mark.parametrize("width", [1, 3])
def test_centers_of_another_embedding_are_refused(width):
    with pytest.raises(ValueError, match=f"centers has {width} columns, but .* has 2"):
        EmbeddingDisplay.from_embedding(X.iloc[:, :2], centers=np.ones((2, width)))


def test_labels_may_say_nan_or_be_missing_all():
    for labels in (["nan", "None"], [0, "a"]):
        display = EmbeddingDisplay.from_embedding(X[:2], labels=labels)
        assert len(display.scatters_) == 2
    display = EmbeddingDisplay.from_embedding(X[:2], labels=[np.nan, np.nan])
    assert len(display.scatters_) == 1


def test_embedding_is_drawn_by_a_transformer_that_places_no_new_rows(dec):
    tsne = TSNE(perplexity=5, max_iter=250, init="random", random_state=0)
    display = EmbeddingDisplay.from_estimator(dec, X, transformer=tsne)
    assert display.points.shape == (150, 2)
    assert display.centers.shape == (3, 2)
    assert not hasattr(tsne, "embedding_")  # it was cloned


@pytest.mark.parametrize("output", ["pandas", "polars"])
@pytest.mark.parametrize("transformer", [None, PCA(2), TSNE(perplexity=5)])
def test_embedding_is_drawn_whatever_transformers_return(dec, transformer, output):
    with config_context(transform_output=output):
        display = EmbeddingDisplay.from_estimator(dec, X, transformer=transformer)
        ReconstructionDisplay.from_estimator(clone(QUICK).fit(X), X)
    assert display.points.shape == (150, 2)


def test_transformer_must_make_two_columns(dec):
    with pytest.raises(ValueError, match=r"two columns\. Got PCA, which makes 3"):
        EmbeddingDisplay.from_estimator(dec, X, transformer=PCA(3))


def test_embedding_asks_for_what_it_needs(aekmeans):
    with pytest.raises(TypeError, match="method transform, and GaussianMixture has"):
        EmbeddingDisplay.from_estimator(GaussianMixture().fit(X), X)
    with pytest.raises(ValueError, match="must be one of 'label', 'probability'"):
        EmbeddingDisplay.from_estimator(aekmeans, X, color_by="size")
    with pytest.raises(ValueError, match="pass probability="):
        EmbeddingDisplay.from_embedding(np.eye(3), color_by="probability")
    with pytest.raises(TypeError, match="method predict_proba, and PCA has none"):
        EmbeddingDisplay.from_estimator(PCA().fit(X), X, color_by="probability")


def test_embedding_of_a_conditional_sampler_is_coloured_by_class(conditional):
    two = X.iloc[:, 2:]
    display = EmbeddingDisplay.from_estimator(conditional, two, SPECIES)
    expected = conditional.transform(two, SPECIES)
    np.testing.assert_array_equal(display.points, expected)
    assert len(display.scatters_) == 3
    display = EmbeddingDisplay.from_estimator(conditional, two, y=SPECIES, labels=y > 0)
    assert len(display.scatters_) == 2
    display = EmbeddingDisplay.from_estimator(conditional, two[:50], y="setosa")
    np.testing.assert_array_equal(display.points, expected[:50])
    assert len(display.scatters_) == 1


def test_embedding_of_a_pipeline_has_centers():
    pipeline = make_pipeline(StandardScaler(), AEKMeans(3, autoencoder=QUICK)).fit(X)
    assert EmbeddingDisplay.from_estimator(pipeline, X).centers.shape == (3, 2)


@pytest.mark.parametrize("n_clusters", [3, 4])
def test_centers_of_kmeans_lie_where_its_distances_put_them(n_clusters):
    # Four centers of four columns are as wide as four distances.
    kmeans = KMeans(n_clusters, n_init=1, random_state=0).fit(X)
    scaled = make_pipeline(StandardScaler(), clone(kmeans)).fit(X)
    for model, last in ((kmeans, kmeans), (scaled, scaled[-1])):
        display = EmbeddingDisplay.from_estimator(model, X)
        plane = PCA(2).fit(model.transform(X))
        distances = cdist(last.cluster_centers_, last.cluster_centers_)
        np.testing.assert_allclose(display.centers, plane.transform(distances))


# clusters and classes


def test_centers_and_zeros_are_seen_in_a_dark_style():
    with plt.style.context("dark_background"):
        drawn = EmbeddingDisplay.from_embedding(X, centers=X[:2])
        bars = ReconstructionDisplay.from_reconstruction(X, X + 0.1)
    centers = drawn.ax_.collections[-1].get_edgecolor()[0]
    assert not np.allclose(centers, drawn.ax_.get_facecolor())
    assert bars.ax_.lines[0].get_color() != "black"


def test_diagonal_holds_the_best_matching():
    display = ClusterConfusionDisplay.from_predictions(
        ["a", "b", "b", "c", "c", "c"], [2, 0, 0, 1, 1, 2]
    )
    np.testing.assert_array_equal(display.counts, [[1, 0, 0], [0, 2, 0], [1, 0, 2]])
    assert list(display.cluster_names) == [2, 0, 1]
    assert display.accuracy == 5 / 6


def test_classes_and_clusters_without_a_partner_come_last():
    display = ClusterConfusionDisplay.from_predictions([0, 0, 1, 1, 1], [3, 4, 5, 5, 5])
    assert display.counts.shape == (2, 3)
    assert display.counts.trace() == 4
    display = ClusterConfusionDisplay.from_predictions([0, 1, 1, 2, 2], [7, 8, 8, 8, 8])
    assert list(display.class_names)[:2] in ([0, 1], [0, 2])
    assert display.counts.trace() == 3


def test_classes_may_be_of_several_types_and_none_may_be_missing():
    draw = ClusterConfusionDisplay.from_predictions
    display = draw(["b", 1, 1, "b"], [0, 0, 0, 1])
    assert display.class_names.tolist() == [1, "b"]
    assert display.counts.tolist() == [[2, 0], [1, 1]]
    with pytest.raises(ValueError, match="labels_true has missing values"):
        draw(["b", None], [0, 1])


def test_counts_are_written_unless_there_are_many():
    few = ClusterConfusionDisplay.from_predictions([0, 1], [0, 1])
    assert [text.get_text() for text in few.ax_.texts] == ["1", "1"]
    many = ClusterConfusionDisplay.from_predictions(range(30), range(30))
    assert len(many.ax_.texts) == 0
    assert len(many.plot(include_values=True).ax_.texts) == 30


def test_long_names_leave_the_matrix_its_room_and_the_bar_its_height():
    names = [
        "a class whose name would leave no room for anything " * 3 + c for c in "ab"
    ]
    display = ClusterConfusionDisplay.from_predictions(names, names)
    display.figure_.canvas.draw()
    boxes = (ax.get_window_extent() for ax in (display.ax_, display.ax_.child_axes[0]))
    matrix, bar = (box.size / display.figure_.dpi for box in boxes)
    assert matrix.min() > 2
    assert bar[1] == pytest.approx(matrix[1])
    texts = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert [text[15] + text[-1] for text in texts] == ["…a", "…b"]


@pytest.mark.parametrize(("n", "n_named"), [(20, 20), (60, 60), (200, 50)])
def test_names_of_many_clusters_do_not_overlap(n, n_named):
    numbers = np.arange(n)
    display = ClusterConfusionDisplay(np.eye(n), numbers, numbers).plot()
    display.figure_.canvas.draw()
    labels = display.ax_.get_xticklabels()
    boxes = [label.get_window_extent() for label in labels]
    assert len(labels) == n_named
    assert all(a.x1 <= b.x0 for a, b in itertools.pairwise(boxes))


def test_confusion_of_an_estimator_is_that_of_its_predictions(dec):
    display = ClusterConfusionDisplay.from_estimator(dec, X, y)
    expected = ClusterConfusionDisplay.from_predictions(y, dec.labels_)
    np.testing.assert_array_equal(display.counts, expected.counts)
    with pytest.raises(TypeError, match="takes labels, such as labels_"):
        ClusterConfusionDisplay.from_estimator(PCA().fit(X), X, y)
    with pytest.raises(ValueError, match="y is None: pass the class of each row"):
        ClusterConfusionDisplay.from_estimator(dec, X, None)


# reconstructions


def test_bars_show_the_share_of_the_variance_that_is_rebuilt():
    rows = X.to_numpy()
    rebuilt = rows.copy()
    rebuilt[:, 1] = rows[:, 1].mean()
    display = ReconstructionDisplay.from_reconstruction(X, rebuilt)
    widths = {
        label.get_text(): bar.get_width()
        for label, bar in zip(
            display.ax_.get_yticklabels(), display.ax_.patches, strict=True
        )
    }
    assert widths["sepal width (cm)"] == pytest.approx(0, abs=1e-9)
    assert widths["petal width (cm)"] == 1


def test_constant_columns_and_bad_reconstructions_have_bars_too():
    rows = np.column_stack([np.full(10, 1 / 3), np.arange(10.0)])
    display = ReconstructionDisplay.from_reconstruction(rows, rows[:, ::-1])
    assert sorted(bar.get_width() for bar in display.ax_.patches) == [-1, 1]


def test_missing_cells_do_not_count_in_the_share_that_is_rebuilt():
    rows = X.to_numpy()[:, [0, 0, 0]].copy()
    rows[::2, 1] = np.nan
    rows[:, 2] = np.nan
    rebuilt = np.column_stack([rows[:, 0] + 0.1] * 3)
    display = ReconstructionDisplay.from_reconstruction(rows, rebuilt)
    whole, other, empty = sorted(bar.get_width() for bar in display.ax_.patches)
    assert empty == 1
    assert other == pytest.approx(1 - 0.01 / rows[1::2, 0].var())
    assert whole == pytest.approx(1 - 0.01 / rows[:, 0].var())
    zeros = ReconstructionDisplay.from_reconstruction(rows, 0 * rebuilt)
    assert sorted(bar.get_width() for bar in zeros.ax_.patches) == [-1, -1, 1]
    with pytest.raises(ValueError, match="reconstruction has missing values where X"):
        ReconstructionDisplay.from_reconstruction(rebuilt, rows)


def test_columns_of_one_name_have_a_bar_each():
    for names in (["a", "a"], [1, "1"]):
        frame = pd.DataFrame(X.to_numpy()[:, :2], columns=names)
        for rebuilt in (frame, frame.to_numpy()):
            display = ReconstructionDisplay.from_reconstruction(frame, rebuilt)
            texts = [label.get_text() for label in display.ax_.get_yticklabels()]
            assert sorted(texts) == [f"{names[0]} (column 0)", f"{names[1]} (column 1)"]
        assert SampleDisplay.from_samples(frame, frame).axes_.shape == (2, 2)


def test_columns_are_held_against_those_of_their_name():
    turned = X.iloc[:, ::-1]
    display = ReconstructionDisplay.from_reconstruction(X, turned)
    assert [bar.get_width() for bar in display.ax_.patches] == [1] * 4
    with pytest.raises(ValueError, match="must have the same columns"):
        ReconstructionDisplay.from_reconstruction(X, X.set_axis(list("abcd"), axis=1))


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_columns_of_text_are_named(kind):
    rows = kind({"a": [1.0, 2.0, 4.0], "b": ["u", "v", "v"]})
    model = make_pipeline(TabularEncoder(), PCA(2)).fit(rows)
    with pytest.raises(ValueError, match=r"Column 'b' of X .*from_reconstruction\("):
        ReconstructionDisplay.from_estimator(model, rows)
    with pytest.raises(ValueError, match=r"Column 'b' of reconstruction holds other"):
        ReconstructionDisplay.from_reconstruction(kind({"a": [1], "b": [2]}), rows[:1])
    mixture = make_sampler_pipeline(TabularEncoder(), GaussianMixture()).fit(rows)
    with pytest.raises(ValueError, match=r"Column 'b' of X .* SampleDisplay shows"):
        DensityDisplay.from_estimator(mixture, rows)


def test_every_row_needs_its_reconstruction():
    rows = X.to_numpy()
    for rebuilt in (rows[:1], rows[:, :1]):
        with pytest.raises(ValueError, match=r"same shape. Got \(150, 4\) and"):
            ReconstructionDisplay.from_reconstruction(rows, rebuilt)
    with pytest.raises(ValueError, match="same shape"):
        ReconstructionDisplay.from_reconstruction(IMAGES, IMAGES[:3])


@pytest.mark.parametrize("image_shape", [None, (1, 4, 4)])
def test_sparse_rows_are_drawn_as_dense_ones(image_shape):
    rows = IMAGES.reshape(30, 16)
    model = AutoencoderTransformer(2, hidden_layer_sizes=(8,), max_iter=1).fit(rows)
    for X in (rows, sparse.csr_matrix(rows)):
        display = ReconstructionDisplay.from_estimator(
            model, X, image_shape=image_shape
        )
        drawn = [bar.get_width() for bar in display.ax_.patches]
        drawn += [image.get_array() for image in display.ax_.images]
        if X is rows:
            expected = drawn
    np.testing.assert_array_equal(drawn, expected)
    mixture = GaussianMixture(2, random_state=0).fit(rows)
    SampleDisplay.from_estimator(mixture, X, image_shape=image_shape)


def test_images_are_drawn_above_their_reconstructions():
    autoencoder = AutoencoderTransformer(2, max_iter=1).fit(IMAGES)
    display = ReconstructionDisplay.from_estimator(autoencoder, IMAGES, n_images=5)
    (image,) = display.ax_.images
    assert image.get_array().shape == (4 + 1 + 4, 5 * 5 - 1)
    np.testing.assert_allclose(image.get_array()[:4, :4], IMAGES[0, 0])
    for plot in (
        partial(ReconstructionDisplay.from_estimator, autoencoder, IMAGES),
        display.plot,
    ):
        with pytest.raises(ValueError, match="n_images == 0, must be >= 1"):
            plot(n_images=0)


def test_sparse_rows_may_be_images():
    rows = IMAGES.reshape(len(IMAGES), -1)
    autoencoder = AutoencoderTransformer(2, max_iter=1).fit(rows)
    pictures = [
        ReconstructionDisplay.from_estimator(autoencoder, X, image_shape=(1, 4, 4))
        for X in (rows, sparse.coo_matrix(rows), sparse.csc_array(rows))
    ]
    first, *others = (picture.ax_.images[0].get_array() for picture in pictures)
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-5)


def test_rows_are_images_to_a_search_of_the_number_of_clusters():
    clusterer = AEKMeans(autoencoder=AutoencoderTransformer(2, max_iter=1), n_init=1)
    search = NClustersSearch(clusterer, max_clusters=2, random_state=0).fit(IMAGES)
    display = ReconstructionDisplay.from_estimator(search, IMAGES.reshape(30, -1))
    assert len(display.ax_.images) == 1


def test_colour_images_are_drawn_in_colour():
    pictures = np.random.RandomState(0).rand(4, 3, 5, 5)
    display = ReconstructionDisplay.from_reconstruction(pictures, pictures)
    assert display.ax_.images[0].get_array().shape == (11, 23, 3)


def test_reconstruction_needs_a_decoder_and_a_fitting_shape(dec):
    with pytest.raises(TypeError, match="IDECClusterer"):
        ReconstructionDisplay.from_estimator(dec, X)
    with pytest.raises(TypeError, match=r"transform, and GANS.*SampleDisplay"):
        ReconstructionDisplay.from_estimator(GANSampler(), X)
    with pytest.raises(ValueError, match=r"C \* H \* W = 4"):
        ReconstructionDisplay.from_reconstruction(X, X, image_shape=(1, 3, 3))


def test_conditional_samplers_rebuild_rows_of_their_classes(conditional):
    two = X.iloc[:, 2:]
    display = ReconstructionDisplay.from_estimator(conditional, two, SPECIES)
    np.testing.assert_allclose(display.reconstruction, two, rtol=1e-4)
    with pytest.raises(ValueError, match="pass the class of each row as y"):
        ReconstructionDisplay.from_estimator(conditional, two)
    vae = VAESampler(2, conditional=True, max_iter=1, random_state=0)
    vae.fit(IMAGES, SPECIES[::5])
    for classes in (SPECIES[::5], pd.Series(SPECIES[::5]), list(SPECIES[::5])):
        display = ReconstructionDisplay.from_estimator(vae, IMAGES, y=classes)
        assert len(display.reconstruction) == 10


def test_classes_reach_the_samplers_in_pipelines_and_searches():
    two = X.iloc[:, 2:]
    flow = FlowSampler(n_couplings=1, conditional=True, max_iter=1, random_state=0)
    pipeline = make_sampler_pipeline(StandardScaler(), flow)
    folds = KFold(2, shuffle=True, random_state=0)
    search = GridSearchCV(pipeline, {"flowsampler__max_iter": [1]}, cv=folds)
    search.fit(two, SPECIES)
    EmbeddingDisplay.from_estimator(search, two, y=SPECIES)
    display = ReconstructionDisplay.from_estimator(search, two, y=SPECIES)
    np.testing.assert_allclose(display.reconstruction, two, rtol=1e-4)
    DensityDisplay.from_estimator(search, two, "setosa", grid_resolution=5)
    assert len(SampleDisplay.from_estimator(search, None, ["setosa"] * 3).samples) == 3


@pytest.mark.parametrize("seed", [None, 0])
def test_classes_that_an_estimator_does_not_take_are_refused(mixture, seed):
    two = X.iloc[:, :2]
    for display in (EmbeddingDisplay, ReconstructionDisplay):
        with pytest.raises(TypeError, match="y was given, but transform of PCA takes"):
            display.from_estimator(PCA(2).fit(two), two, y=SPECIES)
    with pytest.raises(TypeError, match="score_samples of GaussianMixture takes no"):
        DensityDisplay.from_estimator(mixture, two, y="setosa")
    behind = make_sampler_pipeline(StandardScaler(), GaussianMixture(2)).fit(two)
    with pytest.raises(TypeError, match="score_samples of GaussianMixture takes no"):
        DensityDisplay.from_estimator(behind, two, y="setosa")
    flow = FlowSampler(n_couplings=1, max_iter=1, random_state=seed)
    behind = make_sampler_pipeline(StandardScaler(), FrozenEstimator(flow.fit(two)))
    for model in (flow, behind.fit(two)):
        with pytest.raises(TypeError, match=r"this FlowSampler knows no classes\. Fit"):
            DensityDisplay.from_estimator(model, two, y="setosa")
    with pytest.raises(TypeError, match="sample of GaussianMixture takes no classes"):
        SampleDisplay.from_estimator(mixture, two, y="setosa", random_state=seed)


# samples


def test_samples_of_one_class_are_drawn(conditional):
    two = X.iloc[:, 2:]
    draw = partial(SampleDisplay.from_estimator, conditional, random_state=0)
    display = draw(two[y == 2], y="virginica")
    assert len(display.samples) == 50
    expected = conditional.sample(50, y="virginica", random_state=0)
    np.testing.assert_array_equal(display.samples, expected)
    classes = ["setosa", "virginica"] * 4
    expected = conditional.sample(8, y=classes, random_state=0)
    np.testing.assert_array_equal(draw(two, y=classes).samples, expected)


def test_samples_of_a_table_are_drawn_in_pairs_beside_real_rows(mixture):
    display = SampleDisplay.from_estimator(mixture, X.iloc[:, :2])
    assert display.axes_.shape == (2, 2)
    assert display.axes_[1, 0].get_xlabel() == "sepal length (cm)"
    assert len(display.axes_[1, 0].collections) == 2
    assert len(display.samples) == 150


def test_samples_of_mixtures_and_searches_repeat_with_a_seed(mixture):
    flow = make_sampler_pipeline(StandardScaler(), FlowSampler(max_iter=1))
    two = X.iloc[:, :2]
    search = GridSearchCV(flow, {"flowsampler__n_couplings": [1]}, cv=2).fit(two)
    frozen = FrozenEstimator(mixture)
    for model in (mixture, frozen, search):
        draw = partial(SampleDisplay.from_estimator, model, two)
        first, again, other = (draw(random_state=s).samples for s in (0, 0, 1))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)
    assert mixture.random_state == 0
    plain = make_pipeline(StandardScaler(), FlowSampler(max_iter=1)).fit(two)
    with pytest.raises(TypeError, match=r"Pipeline has none.*SamplerPipeline"):
        SampleDisplay.from_estimator(plain, two)


def test_a_seed_that_a_sampler_cannot_take_is_refused():
    class Draws(BaseEstimator):
        def sample(self, n_samples=1):
            return np.arange(2.0 * n_samples).reshape(-1, 2)

    assert len(SampleDisplay.from_estimator(Draws(), n_samples=5).samples) == 5
    with pytest.raises(TypeError, match="random_state=0 was given, but Draws takes no"):
        SampleDisplay.from_estimator(Draws(), n_samples=5, random_state=0)


def test_sparse_rows_stand_beside_drawn_ones():
    vae = VAESampler(2, max_iter=1, random_state=0)
    rows = sparse.csr_matrix(IMAGES.reshape(30, -1)[:, :3])
    assert SampleDisplay.from_estimator(vae.fit(rows), rows).axes_.shape == (3, 3)
    images = sparse.csr_matrix(IMAGES.reshape(30, -1))
    display = SampleDisplay.from_samples(images, images, image_shape=(1, 4, 4))
    assert display.axes_.shape == (1, 2)


def test_arrays_have_the_names_of_the_frames_beside_them():
    for drawn, real in [(X, X.to_numpy()), (X.to_numpy(), X)]:
        display = SampleDisplay.from_samples(drawn, real)
        assert display.axes_[3, 0].get_xlabel() == "sepal length (cm)"
    three = X.iloc[:, :3]
    for drawn, real in [(X, three.to_numpy()), (X, three), (three.to_numpy(), X)]:
        with pytest.raises(ValueError, match="must have the same columns"):
            SampleDisplay.from_samples(drawn, real)


def test_columns_may_be_named_by_integers():
    frame = pd.DataFrame(X.to_numpy())
    display = SampleDisplay.from_samples(frame, frame, columns=[0, 2])
    assert display.axes_[1, 1].get_xlabel() == "2"


def test_columns_of_other_kinds_are_drawn_as_bars():
    mixed = X.assign(species=IRIS.target_names[y])
    display = SampleDisplay.from_samples(mixed.iloc[:100], mixed)
    assert display.axes_.shape == (2, 4)
    assert [t.get_text() for t in display.axes_[1, 0].get_xticklabels()] == [
        "virginica",
        "versicolor",
        "setosa",
    ]
    heights = [bar.get_height() for bar in display.axes_[1, 0].patches]
    np.testing.assert_allclose(heights, [1 / 3] * 3 + [0, 0.5, 0.5])


def test_columns_of_times_are_drawn_as_histograms():
    moments = pd.Series(pd.date_range("2020-01-01", periods=400))
    frame = pd.DataFrame({"moment": moments, "day": moments.dt.date})
    frame["zoned"] = moments.dt.tz_localize("Europe/Berlin").where(moments.index > 9)
    frame["waited"] = moments - moments[0]
    frame["python"] = pd.Series([*frame["waited"]], dtype=object)
    display = SampleDisplay.from_samples(frame[::2], frame)
    display.figure_.canvas.draw()
    panels = display.axes_.flat[:5]
    assert [len(panel.patches) for panel in panels] == [25] * 5  # 24 bins, one outline
    texts = [[t.get_text() for t in p.get_xticklabels()] for p in panels]
    assert "2021" in texts[0]
    assert texts[0] == texts[1] == texts[2]
    assert [p.get_xlabel() for p in panels[3:]] == ["waited (days)", "python (days)"]
    assert panels[3].dataLim.x1 == pytest.approx(399)


def test_long_names_of_categories_leave_the_bars_their_height():
    towns = pd.DataFrame({"town": ["Llanfairpwllgwyngyllgogerych", "Ely"] * 20})
    display = SampleDisplay.from_samples(towns.assign(other=towns["town"]), None)
    display.figure_.canvas.draw()
    panel = display.axes_[0, 0]
    assert panel.get_window_extent().height > 0.35 * display.figure_.bbox.height
    assert {t.get_text() for t in panel.get_xticklabels()} == {"Llanf…erych", "Ely"}


@pytest.mark.parametrize("kind", [pl.from_pandas, pa.Table.from_pandas])
def test_columns_of_any_frame_are_drawn_by_name(kind):
    display = SampleDisplay.from_samples(kind(X.iloc[:, :2]), X.iloc[:, :2])
    assert display.axes_[-1, 0].get_xlabel() == "sepal length (cm)"
    rows = X.iloc[:, :2].set_axis(["a", "b"], axis=1)
    model = GaussianMixture(random_state=0).fit(rows.to_numpy())
    assert DensityDisplay.from_estimator(model, kind(rows)).feature_names == ("a", "b")


def test_columns_of_decimals_are_drawn_as_numbers():
    decimals = X.iloc[:, :2].map(Decimal)
    for real in decimals, decimals.to_numpy():
        display = SampleDisplay.from_samples(X.iloc[:, :2].to_numpy(), real)
        assert len(display.axes_[1, 0].collections) == 2


def test_columns_are_chosen_by_name():
    display = SampleDisplay.from_samples(X.to_numpy(), columns=["x1", "x3"])
    assert display.axes_.shape == (2, 2)
    marginals = SampleDisplay.from_samples(X, kind="marginals", columns=list(X)[:3])
    assert marginals.axes_.shape == (1, 3)
    beside_text = X.assign(name="a")
    pairs = SampleDisplay.from_samples(beside_text, columns=list(X)[:2])
    assert pairs.axes_.shape == (2, 2)
    assert SampleDisplay.from_samples(beside_text, columns=["name"]).axes_.shape == (
        1,
        1,
    )
    with pytest.raises(ValueError, match=r"must name .*'x3'.*Got \['x9'\]"):
        SampleDisplay.from_samples(X.to_numpy(), columns=["x9"])
    with pytest.raises(ValueError, match=r"must name columns of the rows.*\['x9'\]"):
        SampleDisplay.from_samples(beside_text, kind="marginals", columns=["x9"])
    with pytest.raises(ValueError, match=r"of numbers for kind=\"pairs\".*\['name'\]"):
        SampleDisplay.from_samples(beside_text, kind="pairs", columns=["name"])


def test_drawn_images_stand_beside_real_ones():
    vae = VAESampler(2, max_iter=1, random_state=0).fit(IMAGES)
    display = SampleDisplay.from_estimator(vae, IMAGES, random_state=0)
    real, drawn = display.axes_[0]
    assert (real.get_title(), drawn.get_title()) == ("real", "drawn")
    assert drawn.images[0].get_array().shape == (24, 24)
    again = SampleDisplay.from_estimator(vae, IMAGES, random_state=0)
    np.testing.assert_array_equal(display.samples, again.samples)


def test_sample_display_asks_for_what_it_needs():
    with pytest.raises(TypeError, match="method sample, and PCA has none"):
        SampleDisplay.from_estimator(PCA().fit(X))
    with pytest.raises(ValueError, match="'auto', 'images', 'marginals', 'pairs'"):
        SampleDisplay.from_samples(X, kind="violin")
    with pytest.raises(ValueError, match="needs the shape of an image"):
        SampleDisplay.from_samples(X, kind="images")


def test_missing_values_and_booleans_do_not_stop_the_picture():
    gaps = pd.DataFrame({"a": [1.0, np.nan, 2.0, 3.0], "b": [True, False, True, True]})
    display = SampleDisplay.from_samples(gaps, gaps)
    display.figure_.canvas.draw()
    assert len(display.axes_[0, 1].patches) == 4


# densities


def test_density_over_the_plane_is_that_of_the_model(mixture):
    two = X.iloc[:, :2]
    display = DensityDisplay.from_estimator(mixture, two, grid_resolution=20)
    point = pd.DataFrame([[display.x[3], display.y[7]]], columns=two.columns)
    assert display.log_density[7, 3] == pytest.approx(mixture.score_samples(point)[0])
    np.testing.assert_allclose(display.mesh_.get_array(), np.exp(display.log_density))
    assert display.ax_.get_ylabel() == "sepal width (cm)"


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_density_keeps_the_names_of_frames(kind):
    frame = kind({"a": X.iloc[:, 0].to_numpy(), "b": X.iloc[:, 1].to_numpy()})
    flow = FlowSampler(n_couplings=1, max_iter=1, random_state=0).fit(frame)
    display = DensityDisplay.from_estimator(flow, frame, grid_resolution=5)
    assert display.log_density.shape == (5, 5)
    assert display.feature_names == ("a", "b")


@pytest.mark.parametrize("log", [False, True])
def test_plane_may_have_places_without_density(log):
    box = KernelDensity(kernel="tophat", bandwidth=0.3).fit(X.iloc[:, :2].to_numpy())
    rows = X.iloc[:, :2].to_numpy()
    display = DensityDisplay.from_estimator(box, rows, grid_resolution=20, log=log)
    display.figure_.canvas.draw()
    assert np.isneginf(display.log_density).any()
    assert np.isfinite(display.mesh_.get_array()).all()


def test_log_density_ends_at_a_depth_and_rows_are_drawn_above(mixture):
    display = DensityDisplay.from_estimator(
        mixture, X.iloc[:, :2], margin=3, log=True, show_rows=True
    )
    shown = display.mesh_.get_array()
    assert shown.max() - shown.min() == pytest.approx(12)
    assert len(display.ax_.collections) == 2


def test_density_of_one_class_is_drawn(conditional):
    two = X.iloc[:, 2:]
    draw = partial(DensityDisplay.from_estimator, conditional, two, grid_resolution=5)
    display = draw(y="setosa")
    point = pd.DataFrame([[display.x[1], display.y[2]]], columns=two.columns)
    expected = conditional.score_samples(point, "setosa")[0]
    assert display.log_density[2, 1] == pytest.approx(expected, rel=1e-4)
    assert not np.allclose(display.log_density, draw().log_density)
    with pytest.raises(ValueError, match=r"'y' parameter must be one class.*Got 150"):
        draw(y=SPECIES)


def test_density_needs_two_columns_and_score_samples(mixture):
    with pytest.raises(ValueError, match=r"two columns\. Got X with 4"):
        DensityDisplay.from_estimator(mixture, X)
    with pytest.raises(TypeError, match="FlowSampler"):
        DensityDisplay.from_estimator(TSNE(), X.iloc[:, :2])


@pytest.mark.parametrize(
    ("grid_resolution", "text"),
    [(0, "grid_resolution == 0, must be >= 1"), (2.5, "grid_resolution must be an")],
)
def test_grid_of_a_density_has_points(mixture, grid_resolution, text):
    with pytest.raises((TypeError, ValueError), match=text):
        DensityDisplay.from_estimator(
            mixture, X.iloc[:, :2], grid_resolution=grid_resolution
        )


# numbers of clusters


def test_chosen_number_of_clusters_is_that_of_the_largest_mean_score():
    scores = [[0.2, 0.2], [0.1, 0.9], [0.3, 0.5]]
    display = NClustersDisplay.from_scores([4, 2, 3], scores)
    assert display.ax_.get_title() == "2 clusters"
    np.testing.assert_array_equal(display.line_.get_xdata(), [2, 3, 4])
    np.testing.assert_allclose(display.line_.get_ydata(), [0.5, 0.4, 0.2])


def test_chosen_number_of_clusters_may_be_given():
    display = NClustersDisplay.from_scores([2, 3], [1.0, 0.5], chosen=3)
    assert display.ax_.get_title() == "3 clusters"
    with pytest.raises(ValueError, match=r"tried, \[2, 3\]. Got 5"):
        NClustersDisplay.from_scores([2, 3], [1.0, 0.5], chosen=5)


def test_missing_scores_are_never_the_best():
    display = NClustersDisplay.from_scores([2, 3, 4], [0.5, np.nan, 0.9])
    assert display.ax_.get_title() == "4 clusters"
    with pytest.raises(ValueError, match="All scores are NaN"):
        NClustersDisplay.from_scores([2, 3], [np.nan, np.nan])


def test_one_missing_repeat_leaves_the_mean_of_the_others():
    scores = [[0.9, np.nan], [0.1, 0.3], [np.nan, np.nan]]
    display = NClustersDisplay.from_scores([2, 3, 4], scores)
    assert display.ax_.get_title() == "2 clusters"
    np.testing.assert_allclose(display.line_.get_ydata(), [0.9, 0.2, np.nan])


def test_curves_of_other_clusterers_are_refused():
    model = AgglomerativeClustering(2).fit(X)
    with pytest.raises(TypeError, match="a fitted NClustersSearch"):
        NClustersDisplay.from_estimator(model)


def test_curve_of_a_search_is_the_one_it_chose_from():
    rows = np.random.RandomState(0).randn(60, 4)
    clusterer = AEKMeans(autoencoder=AutoencoderTransformer(2, max_iter=1))
    search = NClustersSearch(clusterer, max_clusters=5, random_state=0).fit(rows)
    display = NClustersDisplay.from_estimator(make_pipeline(search))
    assert display.ax_.get_title() == f"{search.n_clusters_} clusters"
    np.testing.assert_array_equal(display.line_.get_xdata(), [2, 3, 4, 5])
    np.testing.assert_allclose(display.line_.get_ydata(), search.results_["score"])
    with pytest.raises(TypeError, match="give other curves to from_scores"):
        NClustersDisplay.from_estimator(search.clusterer_)


def test_scores_and_numbers_of_clusters_have_one_length():
    with pytest.raises(ValueError, match=r"Got shapes \(2,\) and \(3,\)"):
        NClustersDisplay.from_scores([2, 3], [1, 2, 3])


def test_images_without_colours_are_drawn_as_tables():
    images = np.random.RandomState(0).rand(20, 4, 6, 5)
    vae = VAESampler(2, max_iter=1, random_state=0).fit(images)
    flat = images.reshape(20, -1)
    assert SampleDisplay.from_estimator(vae, flat).axes_.shape != (1, 2)
    assert SampleDisplay.from_estimator(vae, images).axes_.shape != (1, 2)
    assert ReconstructionDisplay.from_estimator(vae, images).ax_.patches
    with pytest.raises(ValueError, match="C of 1 or 3"):
        SampleDisplay.from_samples(flat, image_shape=(4, 6, 5))
