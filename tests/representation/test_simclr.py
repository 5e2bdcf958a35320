import math
import pickle
import warnings

import numpy as np
import pytest
import skops.io
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skdeep.nn.augmentation import ImageAugmentation, MarginalCorruption
from skdeep.representation import DeepInfoMaxTransformer, SimCLRTransformer
from skdeep.representation import _simclr as module
from skdeep.representation._collapse import effective_rank
from tests.representation import planted
from tests.representation.planted import knn_accuracy, table


def images(n=300):
    """Bars across or down."""
    return planted.images(n, ("down", "across"))


def small(X=None, **parameters):
    """Return a cheap estimator, for the rows or the images of X."""
    on_images = X is not None and X.ndim == 4
    defaults = {
        "n_components": 8,
        "hidden_layer_sizes": (8, 8, 8, 32) if on_images else (32,),
        "max_iter": 5,
        "batch_size": 64,
        "random_state": 0,
    }
    return SimCLRTransformer(**{**defaults, **parameters})


both = pytest.mark.parametrize("make", [table, images])

# what it learns


@both
def test_codes_tell_groups_better_than_drawn_ones(make):
    X, y = make()
    model = small(X, max_iter=20, learning_rate=3e-3)
    drawn = knn_accuracy(clone(model).set_params(max_iter=0), X, y)
    assert knn_accuracy(model, X, y) > min(drawn + 0.1, 0.97)


@both
def test_loss_falls_from_that_of_chance(make):
    X, _ = make()
    loss = small(X, max_iter=15, learning_rate=3e-3).fit(X).history_["loss"]
    chance = math.log(2 * 64 - 1)
    assert loss[0] < chance + 0.5
    assert loss[-1] < loss[0] - 0.2


def test_loss_is_nt_xent_of_the_projections_at_the_temperature(monkeypatch):
    X, _ = table(60)
    calls = []
    original = module.nt_xent_loss

    def spy(first, second, temperature):
        calls.append((first.shape, second.shape, temperature))
        return original(first, second, temperature)

    monkeypatch.setattr(module, "nt_xent_loss", spy)
    small(temperature=0.2, max_iter=2, batch_size=30).fit(X)
    assert calls == [((30, module.HEAD[-1]),) * 2 + (0.2,)] * 4


@pytest.mark.parametrize("Encoder", [SimCLRTransformer, DeepInfoMaxTransformer])
def test_a_row_alone_in_its_batch_is_refused(Encoder):
    with pytest.raises(ValueError, match=r"'batch_size' .* in the range \[2, inf\)"):
        Encoder(batch_size=1).fit(table(60)[0])


def test_temperatures_make_different_codes():
    X, _ = table(60)
    codes = [
        small(temperature=t).fit(X).transform(X).tobytes() for t in (0.1, 0.5, 1.0)
    ]
    assert len(set(codes)) == 3


def test_no_epochs_leave_the_drawn_encoder():
    X, _ = table(60)
    model = small(max_iter=0).fit(X)
    assert (model.n_iter_, model.history_) == (0, {})
    again = small(max_iter=0, temperature=1.0).fit(X)
    np.testing.assert_array_equal(model.transform(X), again.transform(X))
    assert not np.array_equal(model.transform(X), small().fit(X).transform(X))


# views


def test_default_views_are_those_documented():
    for (X, _), view in (
        (table(60), MarginalCorruption(0.3)),
        (images(60), ImageAugmentation()),
    ):
        first, second = small(X).fit(X), small(X, augment=view).fit(X)
        np.testing.assert_array_equal(first.transform(X), second.transform(X))


@both
def test_both_views_are_made_of_the_same_rows(make):
    X, _ = make(60)
    seen = []

    def spy(x, rng):
        seen.append(x.clone())
        return x + 0.1 * torch.randn(x.shape, generator=rng, device=x.device)

    model = small(X, augment=spy, max_iter=2, batch_size=20).fit(X)
    assert len(seen) == 2 * 2 * 3
    for first, second in zip(seen[::2], seen[1::2], strict=True):
        assert first.shape == (20, *X.shape[1:])
        assert torch.equal(first, second)
    scaled = (X.reshape(60, -1) - model.offset_) / model.scale_
    epoch = torch.cat(seen[:6:2]).flatten(1).numpy()
    np.testing.assert_allclose(np.sort(epoch, 0), np.sort(scaled, 0), atol=1e-5)


def test_views_of_another_shape_are_refused():
    X, _ = images(30)
    model = small(X, augment=lambda x, _: x.flatten(1))
    with pytest.raises(ValueError, match="The 'augment' parameter must map a tensor"):
        model.fit(X)
    assert [name for name in vars(model) if name.endswith("_")] == []


# shapes of the data


@both
@pytest.mark.parametrize("n", [1, 2, 9])
def test_few_rows_fit(make, n):
    X = make(n)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of so few
        model = small(X, batch_size=4, max_iter=2).fit(X)
    assert np.isfinite(model.transform(X)).all()


@pytest.mark.parametrize("n_features", [1, 2])
def test_narrow_tables_fit(n_features):
    X = table(50)[0][:, :n_features]
    assert small().fit(X).transform(X).shape == (50, 8)


@both
@pytest.mark.parametrize("layer", ["code", "hidden"])
def test_transform_does_not_depend_on_the_batch(make, layer):
    X, _ = make(1100)
    model = small(X, layer=layer, max_iter=1).fit(X)
    Z = model.transform(X)
    alone = np.vstack([model.transform(X[i : i + 1]) for i in range(20)])
    np.testing.assert_allclose(alone, Z[:20], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(model.transform(X[:1024]), Z[:1024])


@both
def test_hidden_layer_is_the_wider_one_before_the_code(make):
    X, _ = make(50)
    model = small(X, layer="hidden").fit(X)
    assert model.transform(X).shape == (50, 32)
    assert model.get_feature_names_out()[-1] == "simclrtransformer31"
    assert model.set_params(layer="code").transform(X).shape == (50, 8)
    assert len(model.get_feature_names_out()) == 8


def test_images_may_come_flat_or_sparse():
    X = images(60)[0].astype(np.float32)
    flat = X.reshape(60, -1)
    expected = small(X).fit(X).transform(X)
    model = small(X, image_shape=(1, 8, 8))
    np.testing.assert_array_equal(clone(model).fit(flat).transform(flat), expected)
    rows = sparse.csr_matrix(flat)
    found = clone(model).fit(rows).transform(rows)
    np.testing.assert_allclose(found, expected, atol=1e-2)


def test_hidden_layers_that_make_no_image_encoder_are_refused():
    X, _ = images(20)
    with pytest.raises(ValueError, match="three channels and one width for images"):
        small(X, hidden_layer_sizes=(8, 8)).fit(X)


# collapse


@both
def test_equal_rows_have_collapsed(make):
    X = np.ones_like(make(40)[0])
    with pytest.warns(ConvergenceWarning, match="SimCLRTransformer spreads its codes"):
        model = small(X).fit(X)
    assert model.embedding_rank_ == 0


def test_embedding_rank_is_that_of_the_codes_of_the_training_rows():
    X, _ = table()
    model = small().fit(X)
    expected = effective_rank(model.transform(X))
    assert model.embedding_rank_ == pytest.approx(expected, rel=1e-6)
    assert 4 < expected <= 8


# in scikit-learn's company


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("augment", None),
        ("augment", "occlude"),
        ("temperature", 0),
        ("layer", "projection"),
        ("max_iter", -1),
    ],
)
def test_absurd_parameters_are_refused_by_name(parameter, value):
    with pytest.raises(ValueError, match=f"The '{parameter}' parameter of"):
        small(**{parameter: value}).fit(table(20)[0])


VIEWS = [ImageAugmentation(rotation=5.0), MarginalCorruption(0.2)]


@pytest.mark.parametrize("augment", VIEWS, ids=repr)
def test_views_survive_clones_and_files(augment):
    X, _ = images(40)
    model = clone(small(X, augment=augment, max_iter=1)).fit(X)
    data = skops.io.dumps(model)
    trusted = skops.io.get_untrusted_types(data=data)
    assert all(name.startswith("skdeep.") for name in trusted)
    for copied in (
        pickle.loads(pickle.dumps(model)),
        skops.io.loads(data, trusted=trusted),
    ):
        assert copied.augment == augment
        again = clone(copied).fit(X)
        np.testing.assert_array_equal(copied.transform(X), model.transform(X))
        np.testing.assert_array_equal(again.transform(X), model.transform(X))


def test_views_can_be_searched():
    X, y = images(90)
    simclr = small(X, image_shape=(1, 8, 8), max_iter=3)
    pipeline = make_pipeline(simclr, LogisticRegression())
    grid = {"simclrtransformer__augment": [*VIEWS, "auto"]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 3
