import itertools
import math
import weakref

import pytest
import torch
from torch import Generator

from skdeep.nn import MLP
from skdeep.training import (
    Adam,
    Batches,
    OneCycle,
    n_batches,
    train,
    train_epoch,
)

SIZES = [1, 2, 3, 5, 8, 9, 16, 17, 100]
BATCH_SIZES = [1, 2, 3, 4, 8, 16, 99, 100, 101, 1000]
every_size = pytest.mark.parametrize(
    ("n", "batch_size"), list(itertools.product(SIZES, BATCH_SIZES))
)


def generator(seed=0):
    return Generator().manual_seed(seed)


# batches


@every_size
def test_batches_cover_each_row_once(n, batch_size):
    found = torch.cat(list(Batches(n, batch_size, generator())))
    assert torch.equal(found.sort().values, torch.arange(n))


@every_size
def test_batches_are_full_and_a_last_one_of_one_row_is_merged(n, batch_size):
    sizes = [len(batch) for batch in Batches(n, batch_size, generator())]
    assert all(size == batch_size for size in sizes[:-1])
    assert sizes[-1] <= batch_size + 1
    if min(n, batch_size) > 1:
        assert min(sizes) > 1


def test_last_batch_of_one_row_joins_the_one_before():
    sizes = {n: [len(b) for b in Batches(n, 4, generator())] for n in (1, 8, 9, 10)}
    assert sizes == {1: [1], 8: [4, 4], 9: [4, 5], 10: [4, 4, 2]}


@every_size
def test_number_of_batches_is_the_real_one(n, batch_size):
    batches = Batches(n, batch_size, generator())
    assert n_batches(n, batch_size) == len(batches) == len(list(batches))


@every_size
def test_epochs_make_the_steps_and_one_less_would_not(n, batch_size):
    batches = Batches(n, batch_size, generator())
    for n_steps in (1, 7, 400):
        epochs = batches.epochs("auto", n_steps)
        assert 2 <= epochs <= 200
        if epochs > 2:
            assert n_steps > (epochs - 1) * len(batches)
        if epochs < 200:
            assert epochs * len(batches) >= n_steps


def test_shuffles_depend_on_the_generator_alone():
    def order(rng):
        return torch.cat(list(Batches(50, 8, rng)))

    before = torch.get_rng_state()
    rng = generator(3)
    first, second = order(rng), order(rng)
    assert torch.equal(first, order(generator(3)))
    assert not torch.equal(first, second)
    assert not torch.equal(first, order(generator(4)))
    assert not torch.equal(first, torch.arange(50))
    assert torch.equal(before, torch.get_rng_state())


# epochs


@pytest.mark.parametrize(("n", "batch_size"), [(1, 4), (9, 4), (10, 4), (10, 100)])
def test_epoch_returns_the_mean_of_each_loss_over_the_rows(n, batch_size, device):
    values = torch.randn(n, generator=generator(1)).to(device)
    seen = []

    def step(index):
        seen.append(index)
        batch = values[index]
        return {"loss": batch.mean().requires_grad_(), "square": batch.square().mean()}

    losses = train_epoch(step, Batches(n, batch_size, generator()))
    assert len(seen) == n_batches(n, batch_size)
    assert list(losses) == ["loss", "square"]
    assert all(type(value) is float for value in losses.values())
    assert losses["loss"] == pytest.approx(float(values.mean()), abs=1e-6)
    assert losses["square"] == pytest.approx(float(values.square().mean()), rel=1e-5)


def test_loss_that_is_not_finite_is_returned_as_such():
    def step(index):
        return {"loss": torch.tensor(float("nan") if 3 in index else 1.0)}

    assert math.isnan(train_epoch(step, Batches(10, 2, generator()))["loss"])


def test_no_loss_of_a_batch_is_held_while_the_next_is_read():
    held = weakref.WeakSet()

    def step(index):
        assert not held
        loss = index.double().mean().requires_grad_() * 2
        held.add(loss)
        return {"loss": loss}

    losses = train_epoch(step, Batches(10, 3, generator()))
    assert losses == {"loss": pytest.approx(9.0)}


def test_train_records_an_entry_an_epoch():
    class Epochs:
        max_iter = 3

        def __init__(self):
            self.records = []

        def __iter__(self):
            return iter(range(self.max_iter))

        def record(self, losses):
            self.records.append(losses)

    orders = []

    def step(index):
        orders.append(index)
        return {"loss": torch.tensor(float(len(orders)))}

    phase = Epochs()
    train(step, Batches(6, 10, generator()), phase)
    assert phase.records == [{"loss": 1.0}, {"loss": 2.0}, {"loss": 3.0}]
    assert not torch.equal(orders[0], orders[1])


# learning rate


def learning_rates(n_steps, peak=0.5):
    optimizer = Adam([MLP([2, 1])], learning_rate=peak)
    schedule = OneCycle(optimizer, n_steps)
    rates = []
    for _ in range(n_steps + 3):
        schedule.advance()
        rates.append(optimizer.learning_rate)
    return rates[:n_steps], rates[n_steps:]


@pytest.mark.parametrize("n_steps", [2, 3, 10, 99, 1000])
def test_learning_rate_warms_up_for_a_tenth_and_anneals_to_zero(n_steps):
    rates, after = learning_rates(n_steps)
    warm_up = max(1, n_steps // 10)
    assert rates[0] == pytest.approx(0.5 / 25)
    assert max(rates) == rates[warm_up] == pytest.approx(0.5)
    assert rates[: warm_up + 1] == sorted(rates[: warm_up + 1])
    assert rates[warm_up:] == sorted(rates[warm_up:], reverse=True)
    assert all(rate > 0 for rate in rates)
    assert after == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)


@pytest.mark.parametrize("n_steps", [2, 10, 99])
def test_a_tenth_of_the_steps_warms_up(n_steps):
    schedule = OneCycle(Adam([MLP([2, 1])], learning_rate=1.0), n_steps)
    warms_up = []
    for _ in range(n_steps):
        warms_up.append(schedule.warms_up)
        schedule.advance()
    n_warm_up = max(1, n_steps // 10)
    assert warms_up == [True] * n_warm_up + [False] * (n_steps - n_warm_up)


def test_learning_rate_follows_half_cosines():
    rates, _ = learning_rates(100)
    assert rates[5] == pytest.approx(0.5 * (1 + 1 / 25) / 2)  # half way up
    assert rates[55] == pytest.approx(0.5 / 2)  # half way down
    assert rates[-1] < 0.5 * 1e-3


def test_one_step_is_made_at_a_finite_rate():
    rates, _ = learning_rates(1)
    assert 0 < rates[0] <= 0.5
