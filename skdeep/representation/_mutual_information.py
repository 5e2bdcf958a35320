"""Mutual information of two arrays, from a critic that is trained to tell pairs apart.

Symbols of this file: T is the score of a row x with a row y. *Positive* pairs belong
together, *negative* ones were put together from different rows.
"""

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.utils import (
    Bunch,
    check_array,
    check_consistent_length,
    check_random_state,
)
from torch import Generator, Tensor

from skdeep._compat import (
    Interval,
    StrOptions,
    checks_parameters,
    raise_advised,
)
from skdeep.base import (
    NUMBERS,
    RUN_CONSTRAINTS,
    STEP_CONSTRAINTS,
    flat_rows,
    torch_device,
)
from skdeep.nn import MLP, initialized
from skdeep.objectives.adversarial import discriminator_loss
from skdeep.objectives.mutual_information import (
    dv_corrected_loss,
    infonce_bound,
    log_mean_exp,
    nwj_bound,
    nwj_of_pairs,
    positives_and_negatives,
)
from skdeep.parameters import positive_integers
from skdeep.scaling import fitted_scaling, of_moderate_size
from skdeep.training import (
    Adam,
    Batches,
    OneCycle,
    Rows,
    learning,
    train_epoch,
)

N_STEPS = 1000
"""Gradient steps that max_iter="auto" aims at."""

N_SHUFFLES = 4
"""Negative pairs of each row in a gradient step of the joint critic."""

N_EMBEDDED = 32
"""Width in which the two networks of the separable critic meet."""

MOST_ROWS = 8192
"""Rows of each half of the held-out part that are scored, at most."""

FACTORS = np.linspace(0, 1, 21)
"""By which the scores of a critic may be shrunk on rows that it has not seen."""

QUANTITIES = {
    "dv": "Donsker-Varadhan lower bound in nats",
    "nwj": "Nguyen-Wainwright-Jordan lower bound in nats",
    "infonce": "InfoNCE lower bound in nats, at most log(rows compared)",
    "jsd": "Donsker-Varadhan lower bound in nats, of a Jensen-Shannon critic",
}

CONSTRAINTS: dict[str, list[Any]] = {
    "estimator": [StrOptions(set(QUANTITIES))],
    "max_iter": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    **STEP_CONSTRAINTS,
    "batch_size": [Interval(Integral, 2, None, closed="left")],
    "test_size": [Interval(Real, 0, 1, closed="neither")],
    "precision": RUN_CONSTRAINTS["precision"],
}


class MutualInformation(Bunch):
    """What `mutual_information` returns; prints as one line."""

    def __repr__(self) -> str:
        limit = "" if math.isinf(self.limit) else f", limit {self.limit:.3f}"
        return (
            f"{self.value:.3f} nats on held-out rows, {self.training_value:.3f} on "
            f"training rows{limit} ({self.quantity})"
        )


# critics


class JointCritic:
    r"""One network on both rows, side by side: :math:`T(x, y) = h([x, y])`.

    It finds narrow ridges such as y = x, but all pairs of n rows cost n² passes:
    training takes a few shuffles of each batch instead.
    """

    block_rows = 256

    def __init__(self, n_x: int, n_y: int, hidden: list[int], rng: Generator) -> None:
        self.networks = [initialized(MLP, rng, sizes=[n_x + n_y, *hidden, 1])]

    def shuffled_scores(
        self, x: Tensor, y: Tensor, rng: Generator
    ) -> tuple[Tensor, Tensor]:
        """Scores ``(n,)`` of positive pairs and ``(k * n,)`` of negative ones."""
        n = len(x)
        # A roll is a shuffle that leaves no row in its place.
        shifts = (torch.randperm(n - 1, generator=rng)[:N_SHUFFLES] + 1).tolist()
        partners = torch.cat([y, *(y.roll(shift, 0) for shift in shifts)])
        pairs = torch.cat([x.repeat(1 + len(shifts), 1), partners], 1)
        scores = self.networks[0](pairs).squeeze(1)
        return scores[:n], scores[n:]

    def scores(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores ``(n, n)`` of all pairs."""
        n = len(x)
        pairs = torch.cat([x.repeat_interleave(n, 0), y.repeat(n, 1)], 1)
        return self.networks[0](pairs).view(n, n)


class SeparableCritic:
    r"""A network on each row: :math:`T(x, y) = f(x)^\top g(y) + a(x) + b(y)`.

    All pairs of n rows cost n passes and one product.
    """

    block_rows = 2048

    def __init__(self, n_x: int, n_y: int, hidden: list[int], rng: Generator) -> None:
        self.networks = [
            initialized(MLP, rng, sizes=[n, *hidden, N_EMBEDDED + 1])
            for n in (n_x, n_y)
        ]

    def scores(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores ``(n, n)`` of all pairs."""
        f, g = self.networks[0](x), self.networks[1](y)
        return f[:, 1:] @ g[:, 1:].T + f[:, :1] + g[:, 0]


Critic = JointCritic | SeparableCritic

Pair = tuple[Rows, Rows]
"""Rows of X and the same ones of Y."""


# what training minimises, from the scores of positive and of negative pairs


def nwj_loss(positive: Tensor, negative: Tensor) -> Tensor:
    """Minus the bound of Nguyen, Wainwright and Jordan, linear beyond 20 nats."""
    return -nwj_of_pairs(positive, negative)


class CorrectedDVLoss:
    """Minus the Donsker-Varadhan bound, with the gradient that MINE corrects."""

    def __init__(self) -> None:
        self.running: Tensor | None = None

    def __call__(self, positive: Tensor, negative: Tensor) -> Tensor:
        """Loss of a batch, which moves the running mean on."""
        loss, self.running = dv_corrected_loss(positive, negative, self.running)
        return loss


# what is reported, from scores of all pairs in blocks, (m, n, n)


def pooled_dv_bound(scores: Tensor) -> Tensor:
    """Donsker-Varadhan bound with the negatives of all blocks in one mean."""
    positive, negative = positives_and_negatives(scores)
    return positive.mean() - log_mean_exp(negative.flatten())


def symmetric_infonce_bound(scores: Tensor) -> Tensor:
    """Mean of the InfoNCE bounds that tell the rows of X and those of Y apart."""
    return (infonce_bound(scores) + infonce_bound(scores.mT)) / 2


def best_factor(bound: Callable[[Tensor], Tensor], scores: Tensor) -> float:
    """Factor of the scores with the largest bound."""
    values = [float(bound(factor * scores)) for factor in FACTORS]
    return float(FACTORS[np.argmax(values)])


def bound_on(estimator: str, scores: Tensor, others: Tensor) -> float:
    """Bound from scores that are scaled as is best for the scores of other rows."""
    if estimator == "infonce":
        factor = best_factor(symmetric_infonce_bound, others)
        return float(symmetric_infonce_bound(factor * scores))
    factor = best_factor(pooled_dv_bound, others)
    if estimator == "nwj":
        # The offset with the largest NWJ bound, which then is the DV bound.
        _, negative = positives_and_negatives(factor * others)
        return float(nwj_bound(factor * scores + 1 - log_mean_exp(negative.flatten())))
    return float(pooled_dv_bound(factor * scores))


def plain_bound(estimator: str, scores: Tensor) -> float:
    """Bound from scores as they are."""
    bounds = {"infonce": symmetric_infonce_bound, "nwj": nwj_bound}
    return float(bounds.get(estimator, pooled_dv_bound)(scores))


@torch.inference_mode()
def block_scores(critic: Critic, x: Rows, y: Rows, most_rows: int) -> Tensor:
    """Scores ``(m, n, n)`` of all pairs within each of m blocks of equal size."""
    n_rows = min(len(x), most_rows)
    count = math.ceil(n_rows / critic.block_rows)
    size = n_rows // count
    blocks = [slice(i * size, (i + 1) * size) for i in range(count)]
    return torch.stack([critic.scores(x[block], y[block]) for block in blocks])


@checks_parameters(CONSTRAINTS)
def mutual_information(
    X: Any,
    Y: Any,
    *,
    estimator: str = "dv",
    hidden_layer_sizes: tuple[int, ...] = (128, 128),
    max_iter: int | str = "auto",
    batch_size: int = 512,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.3,
    test_size: float = 0.25,
    device: str = "auto",
    precision: str = "auto",
    random_state: Any = None,
) -> MutualInformation:
    r"""Estimate the mutual information of two sets of columns by a trained critic.

    A network, the critic T, learns to tell pairs of rows (x, y) that belong together
    from pairs put together at random. How well it does so on rows that it has not seen
    is a lower bound of the mutual information, whatever the form of the dependence
    (MINE [1]_). With P the joint distribution and Q the product of the marginals,

    .. math::

        I(X; Y) \; \ge \; \mathbb E_P[T] - \log \mathbb E_Q[e^T]
        \qquad \text{(Donsker-Varadhan, "dv").}

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features_x) or (n_samples,)
        One set of columns.
    Y : array-like of shape (n_samples, n_features_y) or (n_samples,)
        The other set: the same rows, in the same order.
    estimator : {"dv", "nwj", "infonce", "jsd"}, default="dv"
        Bound that trains the critic, and what is read off it. ``"dv"``: the bound
        above, with MINE's corrected gradient. ``"nwj"``: that of Nguyen, Wainwright
        and Jordan. ``"infonce"``: of how many candidates the partner is told, which
        varies little and ends at `limit`. ``"jsd"``: trains by the Jensen-Shannon
        score, which is calm but not in nats, and reports the bound above.
    hidden_layer_sizes : tuple of int, default=(128, 128)
        Widths of the critic's hidden layers.
    max_iter : int or "auto", default="auto"
        Epochs. ``"auto"``: as many as make 1000 gradient steps, between 2 and 200.
    batch_size : int, default=512
        Rows of a gradient step.
    learning_rate : float, default=1e-3
        Largest step size of Adam; it warms up over a tenth of the steps and then
        anneals to zero.
    weight_decay : float, default=0.3
        Decoupled decay of the weights per unit of step size. More of it helps with
        many columns and few rows, less of it with two columns that nearly determine
        each other.
    test_size : float in (0, 1), default=0.25
        Share of the rows held out. The value is computed on two halves of these, of
        at most 8192 rows each.
    device : str, default="auto"
        Torch device. ``"auto"``: the GPU if there is one.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Number type of the matrix products in training. ``"auto"`` takes bfloat16 for
        large networks on hardware that multiplies it natively.
    random_state : int, RandomState instance or None, default=None
        Seed of the split, the initial weights, shuffles and negative pairs.

    Returns
    -------
    result : MutualInformation
        A `sklearn.utils.Bunch` that prints as one line, and holds

        - ``value``: the estimate on held-out rows, in nats;
        - ``training_value``: that on training rows, by the critic as it is. Far above
          `value`, it tells that the critic has learned rows by heart, and that `value`
          is too low;
        - ``quantity``: what `value` is;
        - ``limit``: the largest value the estimator can report; infinity but for
          ``"infonce"``, where it is the logarithm of the number of rows compared;
        - ``history``: dict with ``"loss"``, one value an epoch.

    Raises
    ------
    ValueError
        If X and Y are not as many rows of finite numbers, a parameter is out of its
        range, or `test_size` leaves fewer than four rows to train on or to judge.
    FloatingPointError
        If the loss turns infinite or NaN.

    See Also
    --------
    sklearn.feature_selection.mutual_info_regression : Of single columns with a target,
        from nearest neighbours.
    skdeep.representation.AutoencoderTransformer : Code of a table, of which this can
        tell what it keeps.

    Notes
    -----
    Columns are standardised, so that their units do not matter. Mutual information is
    the same after any increasing map of a column: give heavy tails to a
    `sklearn.preprocessing.QuantileTransformer` first.

    No critic is selected: that of the last step, at which the learning rate is zero, is
    the one that counts. Its scores are multiplied by a factor between 0 and 1 (and for
    ``"nwj"`` shifted) before they are read, since a critic that has learned rows by
    heart is too sure of itself on others. The factor that is best on one half of the
    held-out rows is used on the other half and the other way round, and the value is
    the mean of both. It is thus no larger on average than the mutual information, apart
    from the logarithm of a mean of negative pairs, by which ``"dv"`` and ``"jsd"`` come
    out too large where these are few for :math:`e^I`. Independent sets give a value
    around 0, which may be slightly negative.

    Bounds are too low where there are many columns or few rows for what is to be
    learned. Those other than ``"infonce"`` vary the more the larger the mutual
    information, by about :math:`e^{I/2} / \sqrt n` for n held-out rows [2]_.

    ``"infonce"`` scores all pairs of a batch by a product of two networks, one of X
    and one of Y. The others have one network on both rows, side by side, and four
    shuffles of each batch.

    References
    ----------
    .. [1] M. I. Belghazi et al., "MINE: mutual information neural estimation", ICML
       2018, arXiv:1801.04062.
    .. [2] J. Song, S. Ermon, "Understanding the limitations of variational mutual
       information estimators", ICLR 2020, arXiv:1910.06222.

    Examples
    --------
    >>> import numpy as np
    >>> from skdeep.representation import mutual_information
    >>> rng = np.random.RandomState(0)
    >>> x, noise = rng.randn(2, 1000)
    >>> result = mutual_information(x, x**2 + noise, max_iter=30, random_state=0)
    >>> bool(result.value > 0.2)
    True
    """
    if not positive_integers(hidden_layer_sizes):
        raise ValueError(
            "The 'hidden_layer_sizes' parameter of mutual_information must hold "
            f"positive integers. Got {hidden_layer_sizes!r} instead."
        )
    home = torch_device(device, "mutual_information")
    X, Y = checked_columns(X, "X"), checked_columns(Y, "Y")
    check_consistent_length(X, Y)
    split_seed, weight_seed, shuffle_seed = map(
        int, check_random_state(random_state).randint(2**31 - 1, size=3)
    )

    parts = held_out_parts(len(X), test_size, split_seed)
    with learning(home):
        x, *held_out_x = scaled_parts(X, parts, home)
        y, *held_out_y = scaled_parts(Y, parts, home)

        # Build the critic and its optimiser.
        critic = (SeparableCritic if estimator == "infonce" else JointCritic)(
            x.n_features,
            y.n_features,
            [int(size) for size in hidden_layer_sizes],
            Generator().manual_seed(weight_seed),
        )
        optimizer = Adam(
            [network.to(home) for network in critic.networks],
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            precision=precision,
        )
        shuffle = Generator().manual_seed(shuffle_seed)
        losses = trained(
            batch_loss(estimator, critic, x, y, shuffle),
            optimizer,
            Batches(len(x), batch_size, shuffle, home),
            max_iter,
        )
        halves = zip(held_out_x, held_out_y, strict=True)
        return judged(estimator, critic, losses, (x, y), *halves)


def held_out_parts(
    n_rows: int, test_size: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut row numbers into a part to train on and two halves that judge."""
    n_half = math.ceil(test_size * n_rows) // 2
    if n_half < 2 or n_rows - 2 * n_half < 4:
        raise ValueError(
            f"test_size={test_size} of {n_rows} rows leaves {n_rows - 2 * n_half} to "
            f"train on and {2 * n_half} held out. At least 4 of each are needed."
        )
    order = np.random.RandomState(seed).permutation(n_rows)
    return order[2 * n_half :], order[:n_half], order[n_half : 2 * n_half]


def batch_loss(
    estimator: str, critic: Critic, x: Rows, y: Rows, rng: Generator
) -> Callable[[Tensor], Tensor]:
    """Make the function of row numbers that training minimises."""
    if isinstance(critic, SeparableCritic):
        return lambda index: -symmetric_infonce_bound(critic.scores(x[index], y[index]))
    losses: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "dv": CorrectedDVLoss(),
        "nwj": nwj_loss,
        "jsd": discriminator_loss,
    }
    loss = losses[estimator]
    return lambda index: loss(*critic.shuffled_scores(x[index], y[index], rng))


def trained(
    loss_of: Callable[[Tensor], Tensor],
    optimizer: Adam,
    batches: Batches,
    max_iter: int | str,
) -> list[float]:
    """Minimise a loss of batches, and return its mean in each epoch."""
    n_epochs = batches.epochs(max_iter, N_STEPS)
    schedule = OneCycle(optimizer, n_epochs * len(batches))

    def step(index: Tensor) -> dict[str, Tensor]:
        loss = loss_of(index)
        schedule.advance()
        optimizer.step(loss)
        return {"loss": loss}

    with optimizer.training():
        return [
            finite_loss(train_epoch(step, batches), number)
            for number in range(1, 1 + n_epochs)
        ]


def judged(
    estimator: str,
    critic: Critic,
    losses: list[float],
    training: Pair,
    *halves: Pair,
) -> MutualInformation:
    """Read the value off two halves, each with the scale that suits the other."""
    n_judged = min(len(halves[0][0]), MOST_ROWS)
    first, second = (block_scores(critic, *half, n_judged) for half in halves)
    values = bound_on(estimator, first, second), bound_on(estimator, second, first)
    limited = estimator == "infonce"
    return MutualInformation(
        value=sum(values) / 2,
        training_value=plain_bound(
            estimator, block_scores(critic, *training, n_judged)
        ),
        quantity=QUANTITIES[estimator],
        limit=math.log(first.shape[-1]) if limited else math.inf,
        history={"loss": losses},
    )


def finite_loss(means: dict[str, float], epoch: int) -> float:
    """Loss of an epoch, if training has not diverged."""
    if not math.isfinite(means["loss"]):
        raise FloatingPointError(
            f"mutual_information diverged: the loss became {means['loss']} in epoch "
            f"{epoch}. Try a smaller learning_rate, or look for extreme values in X "
            "and Y."
        )
    return means["loss"]


def checked_columns(X: Any, name: str) -> np.ndarray:
    """Check X and return its rows; one dimension is one column."""
    X = flat_rows(X)
    if np.ndim(X) == 1:
        X = np.asarray(X).reshape(-1, 1)
    try:
        return check_array(X, dtype=NUMBERS, input_name=name)
    except (TypeError, ValueError) as error:
        raise_advised(error, f"{name} of mutual_information must hold numbers alone.")
        raise


def scaled_parts(
    X: np.ndarray, parts: tuple[np.ndarray, ...], device: torch.device
) -> list[Rows]:
    """Rows of each part, in units of the deviations of the first one."""
    X, _ = of_moderate_size(X)
    offset, scale = fitted_scaling(X[parts[0]], "standard")
    return [Rows(X[part], offset, scale, device, resident=True) for part in parts]
