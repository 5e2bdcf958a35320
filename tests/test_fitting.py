import numpy as np
import pytest
import torch

from skdeep import VAESampler
from skdeep.fitting import Fitting, Validation
from skdeep.nn import MLP, initialized
from skdeep.training import AveragedWeights, FitTask

X = np.random.RandomState(0).randn(50, 3).astype(np.float32)


def fitting_of(X, max_iter=5, fraction=0.2, patience=1000, batch_size=16):
    estimator = VAESampler(
        max_iter=max_iter,
        batch_size=batch_size,
        learning_rate=0.05,
        validation_fraction=fraction,
        n_iter_no_change=patience,
    )
    return Fitting(estimator, X, None, [0, 1, 2], n_steps=10, holds_out=True)


def linear(fitting):
    return initialized(MLP, fitting.weight_rng, sizes=(3, 1))


def trained(fitting, loss_of, averaged=False):
    """Fit a line to ones, and return estimator, validation and what was stepped on."""
    network = linear(fitting)
    optimizer, schedule = fitting.optimizer([network])
    validation = Validation(fitting, optimizer, lambda index: loss_of(network, index))
    average = AveragedWeights(optimizer, 0.5) if averaged else None
    seen = []

    def step(index):
        seen.append(index.clone())
        loss = (network(fitting.rows[index]) - 1).square().mean()
        schedule.advance()
        optimizer.step(loss)
        if average is not None:
            average.update()
        return {"loss": loss}

    estimator = fitting.estimator
    with FitTask(estimator, X, None, max_subtasks=1) as task:
        kept = {"encoder_": network, "names_": ["a"]}
        fitting.train(
            task,
            "train",
            step,
            [optimizer],
            kept,
            validation=validation,
            averaged=average,
        )
    return estimator, validation, torch.cat(seen)


def squared_error(fitting):
    return lambda network, index: (network(fitting.rows[index]) - 1).square().mean()


def test_rows_held_out_are_never_stepped_on():
    fitting = fitting_of(X)
    estimator, validation, seen = trained(fitting, squared_error(fitting))
    assert len(validation.held_out) == 10
    assert set(seen.tolist()) == set(validation.training.tolist())
    assert set(seen.tolist()).isdisjoint(validation.held_out.tolist())
    assert len(estimator.history_["validation_loss"]) == estimator.n_iter_ == 5


def test_weights_with_the_smallest_loss_are_kept():
    fitting = fitting_of(X, max_iter=20)
    loss_of = squared_error(fitting)
    estimator, validation, _ = trained(fitting, loss_of)
    kept = loss_of(estimator.encoder_, validation.held_out).item()
    assert kept == pytest.approx(min(estimator.history_["validation_loss"]), rel=1e-5)


def test_weights_before_the_first_step_are_kept_if_all_others_are_worse():
    fitting = fitting_of(X)
    start = linear(fitting_of(X))
    # The loss of rows held out grows with the distance from the start.
    estimator, _, _ = trained(
        fitting,
        lambda network, _: sum(
            (w - v).square().sum()
            for w, v in zip(network.parameters(), start.parameters(), strict=True)
        ),
    )
    x = torch.ones(1, 3)
    assert torch.equal(estimator.encoder_(x), start(x))


def test_training_stops_when_none_was_better_for_long():
    fitting = fitting_of(X, max_iter=50, patience=3)
    estimator, _, _ = trained(fitting, lambda *_: torch.tensor(1.0))
    assert estimator.n_iter_ == 3


def test_one_row_trains_and_validates():
    fitting = fitting_of(X[:1])
    _, validation, seen = trained(fitting, squared_error(fitting))
    assert validation.held_out.tolist() == validation.training.tolist() == [0]
    assert set(seen.tolist()) == {0}


def vector_of(network):
    return torch.cat([w.detach().flatten() for w in network.parameters()])


def test_averages_are_what_stays(monkeypatch):
    path = []
    update = AveragedWeights.update

    def watched(average):
        (network,) = average.optimizer.networks
        path.append(vector_of(network))
        update(average)

    monkeypatch.setattr(AveragedWeights, "update", watched)
    fitting = fitting_of(X)
    expected = vector_of(linear(fitting_of(X)))
    estimator, _, _ = trained(fitting, squared_error(fitting), averaged=True)
    for t, weights in enumerate(path):
        decay = min(0.5, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * weights
    torch.testing.assert_close(vector_of(estimator.encoder_), expected)


def test_other_values_are_kept_as_they_are():
    fitting = fitting_of(X)
    estimator, _, _ = trained(fitting, squared_error(fitting))
    assert estimator.names_ == ["a"]
