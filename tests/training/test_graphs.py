"""Steps that are replayed as a graph do what they do without one."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import Generator

from skdeep.cluster import SCANClusterer
from skdeep.generative import DiffusionSampler, GANSampler
from skdeep.representation import AutoencoderTransformer
from skdeep.training import Batches, changing, train_epoch
from skdeep.training.graphs import Repeated, are_asked_for, at_each_step
from tests.estimators import BRIEF_FITS_WARN, ESTIMATORS, name_of
from tests.pretended_gpu import PretendedGenerator, pretended_gpu
from tests.pretended_graphs import pretend_graphs
from tests.test_common import X, outputs, y
from tests.test_devices import IMAGES, OF_IMAGES, OTHERS

pytestmark = BRIEF_FITS_WARN

SLOW = (DiffusionSampler, SCANClusterer)

ON_IMAGES = [
    pytest.param(
        e, marks=pytest.mark.slow if isinstance(e, SLOW) else (), id=name_of(e)
    )
    for e in OF_IMAGES
]

OF_STREAMS = [e for e in ESTIMATORS if hasattr(e, "partial_fit")]

ON_TABLES = [e for e in ESTIMATORS if not isinstance(e, GANSampler)] + OTHERS


def fitted(estimator, X, y):
    """Fit on batches of few rows, so that epochs have steps to be replayed."""
    model = clone(estimator)
    sizes = {k: 5 for k in model.get_params() if k.endswith("batch_size")}
    return model.set_params(**sizes, random_state=0).fit(X, y)


def halved(x, _):
    return x / 2


def same_with_graphs(estimator, X, y, monkeypatch):
    """Replays in a fit, which must not change what it finds."""
    X, y = X[:30], y[:30]
    expected = outputs(fitted(estimator, X, y), X)
    made = pretend_graphs(monkeypatch)
    found = outputs(fitted(estimator, X, y), X)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    return sum(graph.n_replays for graph in made)


@pytest.mark.parametrize("estimator", ON_TABLES, ids=name_of)
def test_fits_of_replayed_steps_are_the_same(estimator, monkeypatch):
    assert same_with_graphs(estimator, X, y, monkeypatch) > 0


@pytest.mark.parametrize("estimator", ON_IMAGES)
def test_fits_of_images_by_replayed_steps_are_the_same(estimator, monkeypatch):
    classes = np.arange(len(IMAGES)) % 2
    assert same_with_graphs(estimator, IMAGES, classes, monkeypatch) > 0


@pytest.mark.parametrize(
    "estimator",
    [
        GANSampler(2, n_discriminator_steps=2, max_iter=2),
        AutoencoderTransformer(2, augment=halved, max_iter=2),
        AutoencoderTransformer(2, early_exaggeration=4, max_iter=1),
    ],
    ids=["turns", "augmentation of a user", "warm-up"],
)
def test_steps_that_python_decides_are_not_recorded(estimator, monkeypatch):
    assert same_with_graphs(estimator, X, y, monkeypatch) == 0


@pytest.mark.parametrize("estimator", OF_STREAMS, ids=name_of)
def test_streams_of_replayed_steps_are_the_same(estimator, monkeypatch):
    def streamed():
        sizes = {"autoencoder__batch_size": 5, "batch_size": 5}
        model = clone(estimator).set_params(**sizes, random_state=0)
        return model.partial_fit(X[:30]).partial_fit(X[30:]).predict_proba(X)

    expected = streamed()
    made = pretend_graphs(monkeypatch)
    np.testing.assert_array_equal(streamed(), expected)
    assert sum(graph.n_replays for graph in made) > 0


def test_one_recording_serves_all_epochs_of_a_training(monkeypatch):
    made = pretend_graphs(monkeypatch)
    fitted(AutoencoderTransformer(2, early_exaggeration=1, max_iter=4), X[:30], None)
    assert [graph.n_replays for graph in made] == [4 * 6 - 3]


def test_a_table_of_one_batch_is_recorded(monkeypatch):
    made = pretend_graphs(monkeypatch)
    table = AutoencoderTransformer(2, early_exaggeration=1, max_iter=9, random_state=0)
    table.fit(X[:30])
    assert [graph.n_replays for graph in made] == [9 - 3]


def test_steps_that_live_at_once_have_streams_of_their_own(monkeypatch):
    pretend_graphs(monkeypatch)
    first, second = (Repeated(halved, 2, torch.device("cuda")) for _ in range(2))
    taken = second.stream
    assert first.stream is not taken
    del second
    assert Repeated(halved, 2, torch.device("cuda")).stream is taken


@pytest.mark.parametrize(
    ("device", "asked", "expected"),
    [("cuda", "1", True), ("cuda", "", False), ("cpu", "1", False)],
)
def test_graphs_have_to_be_asked_for(device, asked, expected, monkeypatch):
    monkeypatch.setenv("SKDEEP_CUDA_GRAPHS", asked)
    assert are_asked_for(torch.device(device)) is expected


def epoch(step, device="cpu"):
    rng, device = Generator().manual_seed(0), torch.device(device)
    return train_epoch(step, Batches(40, 4, rng, device))


def test_changing_numbers_and_the_host_go_on_in_replays(monkeypatch):
    made = pretend_graphs(monkeypatch)
    count, total = {"steps": 0}, torch.zeros(())

    def advance():
        count["steps"] += 1

    def step(_):
        at_each_step(advance)
        total.add_(changing(lambda: count["steps"]))
        return {"total": total.clone()}

    losses = epoch(step)
    assert count["steps"] == 10
    assert float(total.cpu()) == sum(range(11))
    sums = [n * (n + 1) / 2 for n in range(1, 11)]
    assert losses["total"] == pytest.approx(np.mean(sums))
    assert [graph.n_replays for graph in made] == [7]


def test_draws_go_on_in_replays(monkeypatch):
    def drawn():
        rng, seen = Generator().manual_seed(1), []

        def step(_):
            x = torch.rand(2, generator=rng)
            seen.append(x)
            return {"loss": x.sum()}

        return epoch(step)["loss"], len(seen)

    expected, n_steps = drawn()
    pretend_graphs(monkeypatch)
    found, n_calls = drawn()
    assert found == pytest.approx(expected)
    assert n_steps == 10
    assert n_calls == 4  # three that are watched, one that is recorded


def test_draws_of_the_host_are_not_recorded(monkeypatch):
    made = pretend_graphs(monkeypatch)
    with pretended_gpu(monkeypatch):
        rng = PretendedGenerator().manual_seed(1)

        def step(index):
            drawn = torch.randint(2, index.shape, generator=rng).to(index)
            return {"loss": drawn.sum().float()}

        epoch(step, "cuda")
    assert made == []


def test_a_step_that_cannot_be_recorded_says_how_to_go_on(monkeypatch):
    pretend_graphs(monkeypatch)

    def step(index):
        return {"loss": index.sum() * float(index.float().mean())}

    with pytest.raises(RuntimeError, match=r"SKDEEP_CUDA_GRAPHS=1 asks for: .* waits"):
        epoch(step)
    assert changing(lambda: 3.0) == 3.0  # nothing is being recorded any more


def test_a_step_with_more_numbers_than_before_says_so(monkeypatch):
    pretend_graphs(monkeypatch)
    count = {"steps": 0}

    def step(_):
        count["steps"] += 1
        numbers = [changing(lambda: 1.0) for _ in range(count["steps"])]
        return {"loss": torch.zeros(()).add_(numbers[-1])}

    with pytest.raises(RuntimeError, match=r"more changing numbers.* new process"):
        epoch(step)


def test_the_pretence_repeats_what_was_recorded_alone(monkeypatch):
    pretend_graphs(monkeypatch)
    count = {"steps": 0}

    def step(_):
        count["steps"] += 1
        return {"steps": torch.ones(()) * count["steps"]}

    assert epoch(step)["steps"] == pytest.approx((1 + 2 + 3 + 7 * 4) / 10)
