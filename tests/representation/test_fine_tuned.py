import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from torch import Generator

from skdeep import identity
from skdeep.cluster import DECClusterer
from skdeep.nn import MLP, initialized
from skdeep.representation import (
    AutoencoderTransformer,
    DeepInfoMaxTransformer,
    FineTunedClassifier,
    SimCLRTransformer,
)
from skdeep.representation._fine_tuned import classes_of, global_deviation, on_codes
from skdeep.training import Batches

X, y = make_blobs(90, n_features=6, centers=3, random_state=0)
FEW = np.where(np.arange(90) % 9 == 0, y, -1)

SMALL = AutoencoderTransformer(
    3,
    hidden_layer_sizes=(16,),
    scale="standard",
    max_iter=20,
    learning_rate=1e-2,
    batch_size=32,
)
IMAGES = SimCLRTransformer(
    3, hidden_layer_sizes=(4, 8, 8, 16), max_iter=1, batch_size=32, random_state=0
)
COLUMNS = DeepInfoMaxTransformer(
    3, hidden_layer_sizes=(16, 8), local="columns", max_iter=1, random_state=0
)


def small(encoder=SMALL, **parameters):
    defaults = {"max_iter": 5, "frozen_iter": 50, "random_state": 0}
    return FineTunedClassifier(encoder, **{**defaults, **parameters})


def weights(network):
    return [p.detach().clone() for p in network.parameters()]


def same(these, those):
    return all(torch.equal(a, b) for a, b in zip(these, those, strict=True))


# what it learns


def test_few_labels_are_enough_where_the_rows_form_groups():
    assert small().fit(X, FEW).score(X, y) > 0.95


def test_unlabelled_rows_help():
    X, y = load_digits(return_X_y=True)
    labelled = np.concatenate([np.flatnonzero(y == c)[:5] for c in range(10)])
    few = np.full(len(y), -1)
    few[labelled] = y[labelled]
    encoder = AutoencoderTransformer(
        hidden_layer_sizes=(128,), max_iter=60, learning_rate=3e-3
    )
    model = FineTunedClassifier(encoder, random_state=0).fit(X, few)
    alone = make_pipeline(MinMaxScaler(), LogisticRegression(max_iter=1000))
    alone.fit(X[labelled], y[labelled])
    assert model.score(X, y) > alone.score(X, y) + 0.03


def test_head_alone_tends_to_logistic_regression_on_the_codes():
    frozen = FrozenEstimator(clone(SMALL).set_params(random_state=0).fit(X))
    model = small(
        frozen,
        max_iter=0,
        frozen_iter=2000,
        learning_rate=0.1,
        weight_decay=0.0,
        batch_size=90,
    )
    Z = frozen.transform(X)
    hard = np.where(np.arange(90) % 4 == 0, (y + 1) % 3, y)  # no weights separate it
    expected = LogisticRegression(C=1e8, max_iter=10_000, tol=1e-8).fit(Z, hard)
    least = log_loss(hard, expected.predict_proba(Z))
    found = log_loss(hard, model.fit(X, hard).predict_proba(X))
    assert 0.999 * least < found < 1.05 * least
    assert least < 0.8 * np.log(3)


def test_all_layers_fit_better_than_the_head_alone():
    hard = np.arange(90) % 2  # what no code of these rows knows
    head = small(frozen_iter=200, max_iter=0).fit(X, hard)
    tuned = small(frozen_iter=200, max_iter=100, encoder_learning_rate=1e-2)
    assert tuned.fit(X, hard).score(X, hard) > head.score(X, hard) + 0.15


def test_both_losses_fall():
    model = small(max_iter=30).fit(X, FEW)
    for history in (model.head_history_, model.history_):
        assert history["loss"][-1] < 0.9 * history["loss"][0]
    assert len(model.head_history_["loss"]) == 50
    assert len(model.history_["loss"]) == model.n_iter_ == 30
    assert model.history_["loss"][0] < model.head_history_["loss"][0]


def test_first_loss_is_that_of_a_guess():
    # A head of zeros gives all classes the same probability.
    model = small(frozen_iter=1, batch_size=90).fit(X, y)
    assert model.head_history_["loss"][0] == pytest.approx(np.log(3), rel=1e-6)


# the phases


@pytest.mark.parametrize(
    ("encoder", "images"),
    [
        (SMALL, False),
        (clone(SMALL).set_params(precision="bfloat16"), False),
        (DeepInfoMaxTransformer(3, hidden_layer_sizes=(16, 8), max_iter=1), False),
        (SimCLRTransformer(3, hidden_layer_sizes=(16, 8), max_iter=1), False),
        (IMAGES, True),
        (AutoencoderTransformer(3, hidden_layer_sizes=(4, 4), max_iter=1), True),
    ],
    ids=["dense", "bfloat16", "infomax", "simclr", "simclr images", "convolutional"],
)
@pytest.mark.parametrize("layer", ["code", "hidden"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_encoders_of_every_kind_are_tuned(encoder, images, layer):
    if "layer" in encoder.get_params():
        encoder = clone(encoder).set_params(layer=layer)
    rows = np.random.default_rng(0).random((90, 1, 8, 8)) if images else X
    before = clone(encoder).set_params(random_state=0).fit(rows)
    model = small(
        FrozenEstimator(before),
        weight_decay=0.0,
        encoder_learning_rate=1e-3,
        precision=encoder.precision,
    ).fit(rows, FEW)
    # Nothing reads the code of an encoder whose hidden layer is.
    unused = ("code", "layers.4") if getattr(encoder, "layer", "") == "hidden" else ()
    after = dict(model.encoder_.encoder_.named_parameters())
    for name, weight in before.encoder_.named_parameters():
        assert not torch.equal(weight, after[name]) or name.startswith(unused), name
    assert model.predict_proba(rows).shape == (90, 3)
    codes = torch.from_numpy(model.encoder_.transform(rows))
    np.testing.assert_allclose(
        model.head_(codes).softmax(1).detach(), model.predict_proba(rows), atol=1e-6
    )


def test_encoder_rests_while_the_head_trains():
    frozen = FrozenEstimator(clone(SMALL).set_params(random_state=0).fit(X))
    model = small(frozen, max_iter=0).fit(X, FEW)
    assert same(weights(model.encoder_.encoder_), weights(frozen.encoder_))
    assert model.n_iter_ == 0
    assert model.score(X, y) > 0.9


def test_rate_of_zero_keeps_the_encoder():
    frozen = FrozenEstimator(clone(SMALL).set_params(random_state=0).fit(X))
    model = small(frozen, encoder_learning_rate=0.0).fit(X, FEW)
    assert same(weights(model.encoder_.encoder_), weights(frozen.encoder_))


@pytest.mark.parametrize("encoder", [IMAGES, COLUMNS], ids=["images", "columns"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_batch_normalisation_rests_while_all_layers_train(encoder):
    rows = np.random.default_rng(0).random((90, 1, 8, 8)) if encoder is IMAGES else X
    frozen = FrozenEstimator(clone(encoder).set_params(random_state=0).fit(rows))
    kept = small(frozen, encoder_learning_rate=0.0, weight_decay=0.0).fit(rows, FEW)
    Z = frozen.transform(rows)
    np.testing.assert_array_equal(kept.encoder_.transform(rows), Z)
    tuned = small(frozen).fit(rows, FEW)
    before, after = (e.encoder_.buffers() for e in (frozen, tuned.encoder_))
    assert same(before, after)
    assert np.abs(tuned.encoder_.transform(rows) - Z).max() > 0


def test_encoder_takes_smaller_steps_than_the_head():
    frozen = FrozenEstimator(clone(SMALL).set_params(random_state=0).fit(X))
    rates = {"learning_rate": 1e-2, "encoder_learning_rate": 1e-4, "weight_decay": 0.0}
    model = small(frozen, frozen_iter=0, max_iter=1, **rates).fit(X, FEW)
    # Each of the single epoch's steps is at most its learning rate, up to rounding.
    steps = zip(weights(model.encoder_.encoder_), weights(frozen.encoder_), strict=True)
    largest = max(float((a - b).abs().max()) for a, b in steps)
    assert largest < 1.1e-4
    # The head starts from zeros and moves; so does the encoder, but not at once: with
    # a head of zeros no gradient reaches it.
    assert not same(weights(model.head_), [w * 0 for w in weights(model.head_)])


def test_frozen_encoder_is_copied_and_not_changed():
    fitted = clone(SMALL).set_params(random_state=0).fit(X)
    before = weights(fitted.encoder_)
    model = small(FrozenEstimator(fitted), encoder_learning_rate=1e-2).fit(X, FEW)
    assert same(weights(fitted.encoder_), before)
    assert not same(weights(model.encoder_.encoder_), before)
    assert model.encoder_ is not fitted


def test_column_that_varies_among_labelled_rows_alone_is_learned_from():
    unlabelled = np.random.RandomState(0).rand(100, 3)
    unlabelled[:, 1] = 0
    encoder = clone(SMALL).set_params(random_state=0).fit(unlabelled)
    assert encoder.constants_[1] == 0
    labels = np.arange(100) % 2
    rows = np.insert(unlabelled[:, [0, 2]], 1, labels, axis=1)
    model = small(FrozenEstimator(encoder), max_iter=60, encoder_learning_rate=1e-2)
    assert model.fit(rows, labels).score(rows, labels) == 1
    assert np.isnan(model.encoder_.constants_).all()
    assert encoder.constants_[1] == 0


def test_other_labels_of_the_same_rows_share_one_cached_pretraining(tmp_path):
    model = small(memory=str(tmp_path))
    first = clone(model).fit(X, FEW)
    second = clone(model).fit(X, np.where(FEW == 0, -1, FEW))
    np.testing.assert_array_equal(
        first.encoder_.decoder_.state_dict()["layers.0.weight"],
        second.encoder_.decoder_.state_dict()["layers.0.weight"],
    )
    plain = clone(model).set_params(memory=None).fit(X, FEW)
    np.testing.assert_array_equal(
        clone(model).fit(X, FEW).predict_proba(X), plain.predict_proba(X)
    )
    assert len(list(tmp_path.rglob("output.pkl"))) == 1


def test_pretrainings_in_other_products_are_kept_apart(tmp_path, monkeypatch):
    model = small(memory=str(tmp_path))
    for native in (True, False):
        monkeypatch.setattr(identity, "multiplies_bfloat16", lambda _, is_=native: is_)
        clone(model).fit(X, FEW)
    assert len(list(tmp_path.rglob("output.pkl"))) == 2


def test_phases_are_those_of_one_tree():
    class Recorder:
        def __init__(self):
            self.names = []

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            self.names.append(context.task_name)

        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            if context.task_name == "epoch" and context.parent.task_name != "pretrain":
                assert fitted_estimator.predict(X[:2]).shape == (2,)

    recorder = Recorder()
    small(frozen_iter=2, max_iter=3).set_callbacks(recorder).fit(X, FEW)
    phases = [name for name in recorder.names if name != "epoch"]
    assert phases == ["fit", "pretrain", "head", "fine-tune"]
    assert recorder.names.count("epoch") == 20 + 2 + 3


@pytest.mark.parametrize(
    ("n_labelled", "n_head", "n_all"),
    [(3, 200, 3), (70, 100, 35), (1000, 13, 38), (100_000, 2, 2)],
)
def test_automatic_epochs(n_labelled, n_head, n_all):
    model = FineTunedClassifier()
    batches = Batches(n_labelled, model.batch_size, torch.Generator())
    assert model._epochs(batches) == (n_head, n_all)
    steps = len(batches)
    if n_labelled < 10_000:
        assert n_head * steps >= 200
        assert min(600, n_labelled) <= n_all * steps < min(600, n_labelled) + steps


# labels


def read(labels):
    return classes_of(labels, np.zeros((len(labels), 1)), "Classifier")


@pytest.mark.parametrize(
    ("labels", "classes", "labelled"),
    [
        ([2, -1, 0, 2], [0, 2], [0, 2, 3]),
        ([2.0, -1.0, 0.0, 2.0], [0, 2], [0, 2, 3]),
        (["b", -1, "a", "b"], ["a", "b"], [0, 2, 3]),  # a list becomes text
        (np.array(["b", -1, "a", "b"], object), ["a", "b"], [0, 2, 3]),
        (pd.Series(["b", -1, "a", "b"]), ["a", "b"], [0, 2, 3]),
        (np.array(["b", "-1", "a", "b"]), ["a", "b"], [0, 2, 3]),
        (pd.Series(["b", "-1", "a", "b"]), ["a", "b"], [0, 2, 3]),
        (pd.Series([2, -1, 0, 2], dtype="Int64"), [0, 2], [0, 2, 3]),
        (torch.tensor([2, -1, 0, 2]), [0, 2], [0, 2, 3]),
        ([True, False, True, True], [False, True], [0, 1, 2, 3]),
        ([1, -1, 1, -1], [-1, 1], [0, 1, 2, 3]),  # a class beside one other
        (["1", "-1", "1", "1"], ["-1", "1"], [0, 1, 2, 3]),
        (np.array(["a", -1, "a", "a"], object), ["a"], [0, 2, 3]),  # a number is none
        ([5, 5, 5, 5], [5], [0, 1, 2, 3]),
        ([-2, -1, 0, 0], [-2, 0], [0, 2, 3]),
    ],
    ids=lambda _: None,
)
def test_minus_one_marks_rows_without_a_class(labels, classes, labelled):
    found, numbers, targets = read(labels)
    assert found.tolist() == classes
    assert numbers.tolist() == labelled
    values = [label for i, label in enumerate(np.asarray(labels)) if i in labelled]
    assert found[targets.numpy()].tolist() == values


def test_tensors_hold_classes_where_arrays_of_others_are_dispatched(monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    with config_context(array_api_dispatch=True):
        assert read(torch.tensor([2, -1, 0, 2]))[0].tolist() == [0, 2]


@pytest.mark.parametrize("labels", [[-1, -1], ["-1", "-1"]])
def test_no_class_is_refused(labels):
    with pytest.raises(ValueError, match="y holds no classes: all of its 2 values"):
        read(labels)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([0.0, np.nan, 1.0], "Input y contains NaN"),
        (np.array(["a", np.nan, "b"], object), "Input y contains NaN.*'-1' among"),
        (["a", None, "b"], "Input y contains NaN.*-1 marks"),
        (pd.Series([0, None, 1], dtype="Int64"), "Input y contains NaN.*-1 marks"),
        (pd.Series(["a", pd.NA, "b"], dtype="string"), "Input y contains NaN"),
        (pd.Categorical(["a", None, "b"]), "Input y contains NaN"),
        (pl.Series([0, None, 1]), "Input y contains NaN.*-1 marks"),
        (pl.Series(["a", None, "b"]), "Input y contains NaN.*-1 marks"),
        ([0.5, 0.1, -1.0], "Unknown label type"),
        ([0, 1], "inconsistent numbers of samples"),
        (np.zeros((3, 2)), "y should be a 1d array"),
        (None, "requires y to be passed"),
    ],
    ids=lambda _: None,
)
def test_bad_labels_are_refused_and_leave_an_earlier_fit_as_it_was(labels, text):
    model = small(frozen_iter=1, max_iter=1).fit(X, y)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match=text):
        model.fit(X[:3], labels)
    np.testing.assert_array_equal(model.predict_proba(X), before)


@pytest.mark.parametrize("kind", ["text", "objects", "numbers"])
def test_predictions_are_classes(kind):
    names = np.array(["ant", "bee", "cow"])
    classes = {"text": names, "objects": names.astype(object), "numbers": [1, 5, -7]}
    classes = np.asarray(classes[kind])
    labels = classes[y].astype(object)
    labels[FEW == -1] = -1
    if kind != "objects":
        labels = np.array(labels.tolist())
    model = small().fit(X, labels)
    assert model.classes_.tolist() == sorted(classes.tolist())
    assert (model.predict(X) == classes[y]).mean() > 0.9
    p = model.predict_proba(X)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(model.classes_[p.argmax(1)], model.predict(X))


def test_logarithms_are_those_of_the_probabilities_and_finite():
    model = small().fit(X, FEW)
    np.testing.assert_allclose(
        np.exp(model.predict_log_proba(X)), model.predict_proba(X), atol=1e-6
    )
    far = model.predict_log_proba(1e4 * X)
    assert np.isfinite(far).all()
    assert far.min() < -1000


def test_one_row_a_class_is_enough():
    one = np.full(90, -1)
    one[[np.flatnonzero(y == c)[0] for c in range(3)]] = range(3)
    assert small().fit(X, one).score(X, y) > 0.8


def test_one_class_is_predicted_of_all_rows():
    model = small().fit(X, np.full(90, "only"))
    assert model.classes_.tolist() == ["only"]
    assert set(model.predict(X)) == {"only"}
    assert np.all(model.predict_proba(X) == 1)


# input


def test_labels_of_sparse_and_framed_rows():
    expected = small().fit(X.astype(np.float32), FEW).predict(X)
    frame = pd.DataFrame(X, columns=list("abcdef"))
    for given in (sparse.csr_matrix(X), frame, torch.tensor(X)):
        found = small().fit(given, pd.Series(FEW)).predict(given)
        assert (found == expected).mean() > 0.95


def test_search_reaches_into_the_encoder():
    grid = {"encoder__n_components": [1, 3], "learning_rate": [1e-2]}
    search = GridSearchCV(small(), grid, cv=2).fit(X, y)
    assert search.best_estimator_.head_.arguments["sizes"][0] in (1, 3)


def test_parameters_of_no_encoder_name_the_one_that_none_stands_for():
    with pytest.raises(ValueError, match=r"\(encoder=AutoencoderTransformer\(\)\)"):
        FineTunedClassifier().set_params(encoder__max_iter=3)


def test_nothing_but_a_representation_is_taken():
    with pytest.raises(TypeError, match=r"The 'encoder' parameter of FineTuned.* PCA"):
        small(PCA()).fit(X, y)
    with pytest.raises(
        TypeError, match=r"'encoder' parameter of .* must freeze .* PCA"
    ):
        small(FrozenEstimator(PCA().fit(X))).fit(X, y)
    with pytest.raises(NotFittedError):
        small(FrozenEstimator(clone(SMALL))).fit(X, y)
    frozen = FrozenEstimator(clone(SMALL).set_params(random_state=0).fit(X[:, :4]))
    with pytest.raises(ValueError, match="X has 6 features, but the frozen Auto"):
        small(frozen).fit(X, y)


def test_fitted_networks_hold_their_own_weights_alone():
    model = small().fit(X, FEW)
    for network in (model.head_, model.encoder_.encoder_, model.encoder_.decoder_):
        n_bytes = 4 * sum(weight.numel() for weight in network.parameters())
        assert n_bytes < len(pickle.dumps(network)) < n_bytes + 20_000
        assert not network.training


# formulas


def test_folded_head_gives_the_logits_of_the_standardised_codes():
    rng = Generator().manual_seed(0)
    head = initialized(MLP, rng, sizes=[4, 3])
    before = copy.deepcopy(head.state_dict())
    z = 5 + 3 * torch.randn(20, 4, generator=rng)
    center, spread = z.mean(0), global_deviation(z)
    folded = on_codes(head, center, spread)
    torch.testing.assert_close(folded(z), head((z - center) / spread))
    assert same(before.values(), head.state_dict().values())


def test_global_deviation_is_one_number_for_all_components():
    Z = torch.tensor([[0.0, 10.0], [2.0, 10.0]])
    torch.testing.assert_close(global_deviation(Z), torch.tensor(0.5).sqrt())
    assert global_deviation(torch.ones(3, 2)) == 1
    assert global_deviation(torch.ones(1, 2)) == 1


class Logarithmic(AutoencoderTransformer):
    """An encoder with a way to the codes of its own."""

    def transform(self, X):
        return super().transform(np.log1p(np.abs(X)))


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("Owner", [FineTunedClassifier, DECClusterer])
def test_methods_that_would_not_be_called_are_refused(Owner, frozen):
    encoder = Logarithmic(2, max_iter=1)
    given = FrozenEstimator(encoder.fit(X)) if frozen else encoder
    parameter = "encoder" if Owner is FineTunedClassifier else "autoencoder"
    with pytest.raises(TypeError, match=r"Logarithmic with a transform\(\) of its own"):
        Owner(**{parameter: given}).fit(X, y)
