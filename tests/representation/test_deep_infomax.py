import math
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from scipy import sparse
from scipy.stats import kstest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skdeep import fitting
from skdeep.nn import MLP
from skdeep.nn.augmentation import ImageAugmentation, MarginalCorruption
from skdeep.representation import DeepInfoMaxTransformer
from skdeep.representation import _deep_infomax as module
from skdeep.representation._collapse import effective_rank, warn_of_collapse
from tests.representation.planted import images, knn_accuracy, table


def small(X=None, **parameters):
    """Return a cheap estimator, for the rows or the images of X."""
    on_images = X is not None and X.ndim == 4
    defaults = {
        "n_components": 8,
        "hidden_layer_sizes": (8, 16, 16, 32) if on_images else (32,),
        "n_units": 16,
        "max_iter": 5,
        "batch_size": 64,
        "random_state": 0,
    }
    return DeepInfoMaxTransformer(**{**defaults, **parameters})


class Spy:
    """Augmentation that notes what it is given and adds its number to it."""

    def __init__(self):
        self.given = []

    def __call__(self, x, rng):
        self.given.append(x.clone())
        noise = torch.randn(x.shape, generator=rng, device=x.device)
        return x + len(self.given) + 0 * noise


both = pytest.mark.parametrize("make", [table, images])

# what it learns


@both
@pytest.mark.parametrize("critic", ["dot", "concatenate"])
@pytest.mark.parametrize("estimator", ["jsd", "infonce", "dv", "nwj"])
def test_every_estimate_rises_with_every_critic(make, critic, estimator):
    X, _ = make(96)
    if X.ndim == 4:
        X = X[:, :, ::2, ::2]
    model = small(
        X, estimator=estimator, critic=critic, learning_rate=1e-2, max_iter=12
    ).fit(X)
    loss = model.history_["loss"]
    assert loss == model.history_["local_loss"]
    assert loss[-1] < loss[0]
    assert math.isfinite(model.mi_estimate_["value"])


@pytest.mark.parametrize(
    "options",
    [{}, {"local": "views"}, {"augment": None}, {"global_weight": 1.0}],
    ids=["default", "views", "one view", "global"],
)
def test_codes_of_a_table_tell_its_groups_better_than_drawn_ones(options):
    X, y = table()
    model = small(max_iter=20, learning_rate=3e-3, **options)
    drawn = knn_accuracy(clone(model).set_params(max_iter=0), X, y)
    assert knn_accuracy(model, X, y) > max(drawn + 0.1, 0.75)


@pytest.mark.parametrize("augment", ["auto", "occlude", None])
def test_codes_of_images_tell_what_they_show_better_than_drawn_ones(augment):
    X, y = images()
    model = small(X, max_iter=12, learning_rate=3e-3, augment=augment)
    drawn = knn_accuracy(clone(model).set_params(max_iter=0), X, y)
    assert drawn < 0.9
    assert knn_accuracy(model, X, y) > 0.95


def test_no_epochs_leave_the_drawn_encoder():
    X, _ = table(60)
    model = small(max_iter=0).fit(X)
    again = small(max_iter=0, learning_rate=1.0, prior_weight=1.0).fit(X)
    assert model.n_iter_ == 0
    assert model.history_ == {}
    np.testing.assert_array_equal(model.transform(X), again.transform(X))
    assert not np.array_equal(model.transform(X), small().fit(X).transform(X))


# views


def test_local_features_and_code_come_from_different_views():
    class Identity:
        """An encoder of which each feature is a place, and the code."""

        def local_and_code(self, x):
            return x.unsqueeze(2), x

    x, spy = torch.rand(5, 4), Spy()
    local, z = module.two_views(Identity(), spy, x, torch.Generator())
    (first, second), (z_of_second, z_of_first) = local, z
    torch.testing.assert_close(first[:, :, 0], x + 1)
    torch.testing.assert_close(z_of_second, x + 2)
    torch.testing.assert_close(second[:, :, 0], x + 2)
    torch.testing.assert_close(z_of_first, x + 1)


def test_callable_sees_each_batch_twice_as_scaled_images():
    X, _ = images(60)
    spy = Spy()
    model = small(X, augment=spy, max_iter=3, batch_size=20).fit(X)
    assert len(spy.given) == 2 * (3 * 3 + 3)  # three batches for the estimate
    for first, second in zip(spy.given[::2], spy.given[1::2], strict=True):
        assert first.shape == (20, 1, 8, 8)
        assert torch.equal(first, second)
    seen = torch.cat(spy.given[:6:2]).flatten(1).numpy()
    scaled = (X.reshape(60, -1) - model.offset_) / model.scale_
    np.testing.assert_allclose(np.sort(seen, 0), np.sort(scaled, 0), atol=1e-5)


@pytest.mark.parametrize("local", ["columns", "views"])
def test_callable_sees_the_rows_of_a_table(local):
    X, _ = table(40)
    spy = Spy()
    small(augment=spy, local=local, max_iter=2, batch_size=40).fit(X)
    assert len(spy.given) == {"columns": 2, "views": module.N_VIEWS}[local] * 3
    assert {x.shape for x in spy.given} == {(40, 20)}


def test_default_views_are_those_documented():
    X, _ = images(60)
    assert_equal_codes(small(X).fit(X), small(X, augment=ImageAugmentation()).fit(X), X)
    T, _ = table(60)
    for local, rate in (("views", module.VIEW_RATE), ("columns", 0.3)):
        model = small(local=local).fit(T)
        given = small(local=local, augment=MarginalCorruption(rate))
        assert_equal_codes(model, given.fit(T), T)


def assert_equal_codes(a, b, X):
    np.testing.assert_array_equal(a.transform(X), b.transform(X))


def test_views_make_different_codes():
    X, _ = images(60)
    views = ["auto", "occlude", None, MarginalCorruption(), Spy()]
    codes = [small(X, augment=view).fit(X).transform(X).tobytes() for view in views]
    assert len(set(codes)) == len(views)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, _: x[:, :5],
        lambda x, _: x[:1],
        lambda x, _: x.flatten(1),
        lambda x, _: x.numpy(),
        lambda _, __: None,
    ],
    ids=["columns", "rows", "flat", "numpy", "none"],
)
def test_views_of_another_shape_are_refused(wrong):
    X = images(30)[0].repeat(2, axis=1).repeat(3, axis=1)
    model = small(X, augment=wrong)
    with pytest.raises(ValueError, match="The 'augment' parameter must map a tensor"):
        model.fit(X)
    assert [name for name in vars(model) if name.endswith("_")] == []


@pytest.mark.parametrize("augment", [ImageAugmentation(), "occlude"])
def test_image_views_of_a_table_are_refused(augment):
    with pytest.raises(ValueError, match=r"flat rows.*image_shape=\(channels, height"):
        small(augment=augment).fit(table(30)[0])


def test_images_as_nested_lists_are_told_to_become_an_array():
    with pytest.raises(ValueError, match=r"dim 4.*np\.asarray\(X\)"):
        small().fit(images(9)[0].tolist())


def test_global_term_reads_all_places_in_their_order(monkeypatch):
    monkeypatch.setattr(module, "MAX_PLACES", 4)
    X, _ = table(40)
    seen = []

    def critic(features, _):
        seen.append(features)
        return torch.zeros(1)

    local, z = torch.arange(480.0).reshape(1, 8, 20, 3), torch.zeros(1, 8, 2)
    rng = torch.Generator().manual_seed(0)
    for features in ("global", "local"):
        term = module.Term(features, 1.0, critic)
        module.mean_over((local, z), term, lambda scores: scores, rng)
    assert torch.equal(seen[0], local.reshape(1, 8, 1, 60))
    assert seen[1].shape == (1, 8, 4, 3)
    model = small(global_weight=1.0, max_iter=2).fit(X)
    assert len(model.history_["global_loss"]) == 2


# shapes of the data


@pytest.mark.parametrize("local", ["columns", "views"])
@pytest.mark.parametrize("n_features", [1, 2])
def test_narrow_tables_fit(local, n_features):
    X = table(50)[0][:, :n_features]
    model = small(local=local, global_weight=1.0, prior_weight=0.1).fit(X)
    assert model.transform(X).shape == (50, 8)
    assert np.isfinite(model.transform(X)).all()


@pytest.mark.parametrize(
    ("make", "augment"),
    [(table, "auto"), (table, None), *((images, a) for a in ("auto", "occlude", None))],
)
@pytest.mark.parametrize("n", [1, 2, 9])
def test_few_rows_fit(make, augment, n):
    X = make(n)[0]
    model = small(X, augment=augment, batch_size=4, prior_weight=0.1, max_iter=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of so few
        model.fit(X)
    assert np.isfinite(model.transform(X)).all()
    assert math.isfinite(model.mi_estimate_["value"])


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 2), (3, 5, 7), (2, 17, 3)])
def test_images_of_odd_shapes_fit(shape):
    X = np.random.RandomState(0).randn(20, *shape)
    model = small(X, global_weight=1.0, max_iter=2).fit(X)
    assert model.image_shape_ == shape
    assert model.transform(X).shape == (20, 8)


def test_one_column_is_never_said_to_collapse():
    for X in (np.ones((20, 1)), np.arange(20.0)[:, None]):
        small().fit(X)


@both
@pytest.mark.parametrize("layer", ["code", "hidden"])
def test_transform_does_not_depend_on_the_batch(make, layer):
    X, _ = make(1100)
    model = small(X, layer=layer, max_iter=1).fit(X)
    Z = model.transform(X)
    alone = np.vstack([model.transform(X[i : i + 1]) for i in range(20)])
    np.testing.assert_allclose(alone, Z[:20], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(model.transform(X[:1024]), Z[:1024])
    np.testing.assert_array_equal(model.transform(X), Z)


@both
def test_hidden_layer_is_the_wider_one_before_the_code(make):
    X, _ = make(50)
    model = small(X, layer="hidden").fit(X)
    H = model.transform(X)
    assert H.shape == (50, 32)
    assert H.min() == 0  # rectified
    names = model.get_feature_names_out()
    assert len(names) == 32
    assert names[-1] == "deepinfomaxtransformer31"
    code = model.set_params(layer="code").transform(X)
    assert code.shape == (50, 8)
    assert len(model.get_feature_names_out()) == 8
    encoder = model.encoder_
    last = encoder.layers[-1] if isinstance(encoder, MLP) else encoder.code
    with torch.no_grad():
        read = last(torch.from_numpy(H)).numpy()
    np.testing.assert_allclose(read, code, rtol=1e-4, atol=1e-5)


def test_hidden_layer_of_the_views_is_that_before_the_code():
    X, _ = table(50)
    assert small(layer="hidden", local="views").fit(X).transform(X).shape == (50, 32)
    for local, width in (("columns", 20 * module.COLUMN_WIDTH), ("views", 20)):
        model = small(layer="hidden", local=local, hidden_layer_sizes=()).fit(X)
        assert model.transform(X).shape == (50, width)


def test_kinds_of_input_agree(tmp_path):
    X = images(80)[0].astype(np.float32)
    flat = X.reshape(80, -1)
    mapped = np.memmap(tmp_path / "X", np.float32, "w+", shape=flat.shape)
    mapped[:] = flat
    expected = small(X).fit(X).transform(X)
    frame = pd.DataFrame(flat, columns=[f"pixel {i}" for i in range(64)])
    for given in (flat, frame, mapped, torch.from_numpy(flat)):
        model = small(X, image_shape=(1, 8, 8)).fit(given)
        np.testing.assert_array_equal(model.transform(given), expected)
    assert list(small(X, image_shape=(1, 8, 8)).fit(frame).feature_names_in_) == list(
        frame.columns
    )
    given = sparse.csr_matrix(flat)
    found = small(X, image_shape=(1, 8, 8)).fit(given).transform(given)
    np.testing.assert_allclose(found, expected, atol=1e-2)


@pytest.mark.parametrize("sizes", [(8,), (8, 8, 8), (8, 8, 8, 8, 8), ()])
def test_hidden_layers_that_make_no_image_encoder_are_refused(sizes):
    X, _ = images(20)
    model = small(X, hidden_layer_sizes=sizes)
    with pytest.raises(ValueError, match="three channels and one width for images"):
        model.fit(X)
    with pytest.raises(NotFittedError):
        model.transform(X)


# the estimate


@both
@pytest.mark.parametrize("estimator", ["jsd", "infonce", "dv", "nwj"])
def test_estimate_says_what_it_is_and_keeps_to_its_limit(make, estimator):
    X, _ = make(100)
    model = small(X, estimator=estimator, max_iter=20, learning_rate=1e-2, augment=None)
    estimate = model.fit(X).mi_estimate_
    assert set(estimate) == {"value", "quantity", "limit"}
    assert estimate["value"] <= estimate["limit"]
    in_nats = {"jsd": "not in nats", "infonce": "InfoNCE"}.get(estimator, "in nats")
    assert in_nats in estimate["quantity"]
    on_images = X.ndim == 4
    limits = {"jsd": 0, "infonce": math.log(1 + 63 * (16 if on_images else 1))}
    assert estimate["limit"] == pytest.approx(limits.get(estimator, math.inf))
    if estimator == "infonce":
        assert ("no bound" in estimate["quantity"]) == on_images
        assert ("lower bound in nats" in estimate["quantity"]) != on_images


def test_infonce_on_whole_images_is_a_bound():
    X, _ = images(100)
    model = small(X, estimator="infonce", local_weight=0, global_weight=1).fit(X)
    assert "lower bound in nats" in model.mi_estimate_["quantity"]
    assert model.mi_estimate_["limit"] == pytest.approx(math.log(64))
    assert set(model.history_) == {"loss", "global_loss"}


def test_estimate_rises_with_training():
    X, _ = table()
    options = {"estimator": "infonce", "augment": None}
    drawn = small(max_iter=0, **options).fit(X).mi_estimate_["value"]
    trained = small(max_iter=20, **options).fit(X).mi_estimate_["value"]
    assert trained > drawn + 0.2


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_sizes_may_be_integers_of_numpy(kind):
    X, _ = table(300)
    sizes = {"n_components": 4, "n_units": 8, "max_iter": 2, "batch_size": 32}
    narrow = {name: kind(size) for name, size in sizes.items()}
    expected = small(**sizes).fit(X)
    found = small(**narrow).fit(X)
    assert found.mi_estimate_ == expected.mi_estimate_
    np.testing.assert_array_equal(found.transform(X), expected.transform(X))


# the prior


@pytest.mark.parametrize(
    "prior", ["uniform", pytest.param("normal", marks=pytest.mark.slow)]
)
def test_prior_draws_the_codes_to_its_distribution(prior):
    X, _ = table()
    options = {"n_components": 4, "max_iter": 40, "prior": prior}

    def distance(weight):
        Z = small(prior_weight=weight, **options).fit(X).transform(X)
        if prior == "normal":
            return np.mean([kstest(z, "norm").statistic for z in Z.T])
        return np.mean([kstest(1 / (1 + np.exp(-z)), "uniform").statistic for z in Z.T])

    assert distance(1.0) < 0.6 * distance(0.0)


@pytest.mark.parametrize("prior", ["uniform", "normal"])
def test_default_type_of_torch_does_not_matter_to_the_prior(prior):
    X, _ = table(100)
    model = small(prior_weight=1.0, prior=prior, max_iter=1)
    expected = clone(model).fit(X)
    torch.set_default_dtype(torch.float64)
    try:
        found = clone(model).fit(X)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.history_ == expected.history_


def test_discriminator_learns_with_its_own_optimiser():
    X, _ = table(200)
    # The codes all but stand still: the discriminator alone can lower its loss.
    adversaries = []

    class Recorded(fitting.Adam):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            adversaries.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "Adam", Recorded)
        patch.setattr(fitting.OneCycle, "advance", lambda _: None)
        original = Recorded.step

        def step(self, loss):
            self.learning_rate = 1e-12 if self is adversaries[0] else 1e-2
            original(self, loss)

        patch.setattr(Recorded, "step", step)
        model = small(prior_weight=1.0, prior="normal", max_iter=20).fit(X)
    history = model.history_
    assert set(history) == {"loss", "local_loss", "prior_loss", "discriminator_loss"}
    assert history["discriminator_loss"][-1] < history["discriminator_loss"][0] - 0.3
    # The codes are told apart ever better, and the encoder's loss says so.
    assert history["prior_loss"][-1] > history["prior_loss"][0] + 0.3
    total = np.add(history["local_loss"], history["prior_loss"])
    np.testing.assert_allclose(history["loss"], total, rtol=1e-5)
    first, second = ([*map(id, each.networks)] for each in adversaries)
    assert not set(first) & set(second)


def test_without_a_weight_the_prior_has_no_part():
    X, _ = table(60)
    first, second = small(prior="uniform").fit(X), small(prior="normal").fit(X)
    assert_equal_codes(first, second, X)
    assert set(first.history_) == {"loss", "local_loss"}


# collapse


def test_effective_rank_counts_the_dimensions():
    rng = np.random.RandomState(0)
    assert effective_rank(rng.randn(5000, 6)) == pytest.approx(6, rel=0.01)
    flat = rng.randn(5000, 3) @ np.linalg.qr(rng.randn(6, 6))[0][:3] + 7
    assert effective_rank(flat.astype(np.float32)) == pytest.approx(3, rel=0.01)
    line = np.outer(rng.randn(500), rng.randn(6)).astype(np.float32)
    assert effective_rank(line) == pytest.approx(1, abs=1e-3)
    assert effective_rank(1e6 * line) == pytest.approx(1, abs=1e-3)
    assert effective_rank(rng.randn(500, 1)) == 1


def test_effective_rank_in_parts_is_that_of_the_whole(monkeypatch):
    Z = np.random.RandomState(0).randn(100, 6) ** 3 + 5
    expected = effective_rank(Z)
    monkeypatch.setattr("skdeep.representation._collapse.NUMBERS_AT_ONCE", 50)
    assert effective_rank(Z) == pytest.approx(expected, rel=1e-12)
    spread = np.linalg.svd(Z - Z.mean(0), compute_uv=False)
    p = spread / spread.sum()
    assert expected == pytest.approx(np.exp(-p @ np.log(p)))


def test_effective_rank_of_a_point_is_zero():
    for value in (0.0, 0.1, 1234.567, -1e8):
        point = np.full((1001, 5), value, dtype=np.float32)
        assert effective_rank(point) == 0
    rounded = np.full((1001, 5), 3.7) * (1 + 1e-7 * np.random.RandomState(0).rand(5))
    noise = np.random.RandomState(1).rand(1001, 5)
    assert effective_rank(rounded * (1 + 1e-7 * noise)) == 0
    assert effective_rank(np.ones((1, 5))) == 0


def test_collapse_is_warned_of():
    with pytest.warns(ConvergenceWarning, match=r"A spreads .* over 2.5 of 64 dim"):
        warn_of_collapse(2.5, 64, "A")
    with pytest.warns(ConvergenceWarning, match="they have collapsed"):
        warn_of_collapse(0.0, 2, "A")
    for rank, n_dimensions in ((6.4, 64), (1.0, 10), (0.0, 1), (0.0, 0)):
        warn_of_collapse(rank, n_dimensions, "A")


def test_codes_of_a_line_in_many_dimensions_have_collapsed():
    X = np.outer(np.random.RandomState(0).rand(100), np.ones(64))
    with pytest.warns(ConvergenceWarning, match="DeepInfoMaxTransformer spreads"):
        model = small(n_components=64).fit(X)
    assert 1 <= model.embedding_rank_ < 6.4


@both
def test_equal_rows_have_collapsed(make):
    X = np.ones_like(make(40)[0])
    with pytest.warns(ConvergenceWarning, match="over 0.0 of 8 dimensions"):
        model = small(X).fit(X)
    assert model.embedding_rank_ == 0
    small(X, max_iter=0).fit(X)  # of a drawn encoder nothing is asked


def test_embedding_rank_is_that_of_the_codes_of_the_training_rows():
    X, _ = table()
    model = small(layer="hidden").fit(X)
    codes = model.set_params(layer="code").transform(X)
    assert model.embedding_rank_ == pytest.approx(effective_rank(codes), rel=1e-6)
    assert 4 < model.embedding_rank_ <= 8


# in scikit-learn's company


def test_a_term_is_needed():
    model = small(local_weight=0, prior_weight=1.0)
    with pytest.raises(ValueError, match=r"'local_weight' and 'global_weight'"):
        model.fit(table(20)[0])
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("augment", "flip"),
        ("augment", 3),
        ("local", "rows"),
        ("estimator", "mine"),
        ("critic", "bilinear"),
        ("n_units", 0),
        ("local_weight", -1),
        ("global_weight", -1),
        ("prior_weight", -1),
        ("prior", "ball"),
        ("layer", "local"),
        ("max_iter", -1),
    ],
)
def test_absurd_parameters_are_refused_by_name(parameter, value):
    with pytest.raises(ValueError, match=f"The '{parameter}' parameter of"):
        small(**{parameter: value}).fit(table(20)[0])


VIEWS = [ImageAugmentation(rotation=5.0), MarginalCorruption(0.2), "occlude", None]


@pytest.mark.parametrize("augment", VIEWS, ids=repr)
def test_views_survive_clones_and_files(augment):
    X, _ = images(40)
    model = clone(small(X, augment=augment, max_iter=1)).fit(X)
    assert model.augment == augment
    data = skops.io.dumps(model)
    trusted = skops.io.get_untrusted_types(data=data)
    assert all(name.startswith("skdeep.") for name in trusted)
    copies = [
        clone(model).fit(X),
        pickle.loads(pickle.dumps(model)),
        skops.io.loads(data, trusted=trusted),
    ]
    for copied in copies:
        assert copied.augment == augment
        assert_equal_codes(copied, model, X)
        assert_equal_codes(clone(copied).fit(X), model, X)


@pytest.mark.slow
def test_views_can_be_searched():
    X, y = images(90)
    infomax = small(X, image_shape=(1, 8, 8), max_iter=8, batch_size=16)
    pipeline = make_pipeline(infomax, LogisticRegression())
    grid = {"deepinfomaxtransformer__augment": [*VIEWS, "auto"]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 5
    assert search.best_score_ > 0.5


def test_many_images_are_seen_often():
    assert [module.steps_for(n, 100, True) for n in (100, 7000, 10**6)] == [
        700,
        2800,
        3000,
    ]
    assert module.steps_for(7000, 100, False) == 700
