"""How far decoded rows move while their codes move a little.

Symbols of this file: a and b are the codes at the ends of paths, t is the place on the
path, from 0 to 1, and g is the decoder.
"""

from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils import check_array, check_random_state, gen_batches

from skdeep._compat import HasMethods, Interval, StrOptions, checks_parameters
from skdeep.metrics._rows import features_of
from skdeep.sampling import PATHS
from skdeep.tables import n_rows, numpy_of

_ROWS_AT_ONCE = 1024


@checks_parameters(
    {
        "decoder": [callable, HasMethods("inverse_transform")],
        "interpolation": [StrOptions(set(PATHS))],
        "epsilon": [Interval(Real, 0, 1, closed="right")],
        "distance": [callable, None],
    }
)
def perceptual_path_length(
    decoder: Any,
    codes: Any,
    end_codes: Any = None,
    *,
    interpolation: str = "spherical",
    epsilon: float = 1e-4,
    features: Any = None,
    distance: Any = None,
    random_state: Any = None,
) -> float:
    r"""Mean speed, squared, of decoded rows on paths between codes.

    .. math::
        \mathrm{PPL} = \frac1n \sum_i \frac{1}{\epsilon^2}
            d\left(g(z_i(t_i)), g(z_i(t_i + \epsilon))\right), \qquad
            t_i \sim U(0, 1),

    where :math:`g` is the decoder, :math:`z_i(t)` the path from one code to another and
    :math:`d` a squared distance. It is small where equal steps of the code are equal
    steps of the row, and large where rows jump in between.

    Parameters
    ----------
    decoder : callable or object
        What maps codes to rows: a function, or an estimator with `inverse_transform`,
        fitted already.
    codes : array-like of shape (n_paths, n_components)
        Where paths start: draws from the distribution that the decoder was trained for,
        or what `transform` makes of rows.
    end_codes : array-like of shape (n_paths, n_components) or None, default=None
        Where they end. None takes the same codes in another, random order.
    interpolation : {"spherical", "linear"}, default="spherical"
        Paths along the great circle, the length of the codes going from one to the
        other, or straight. High-dimensional Gaussian codes lie near a sphere, and
        straight paths between them lead where there are none.
    epsilon : float, default=1e-4
        Step along the path, of which the whole is 1.
    features : callable, object or None, default=None
        What maps decoded rows to the numbers that are compared: a function of the rows,
        or an estimator with `transform`, fitted already. None compares the rows
        themselves.
    distance : callable or None, default=None
        Function of two arrays of features that returns the distance of each row from
        the other, of the order of its square. None is the squared Euclidean distance.
    random_state : int, RandomState instance or None, default=None
        Seed of the order of the ends and of the places on the paths.

    Returns
    -------
    length : float
        Zero or more, smaller is smoother; 0 for a decoder that always returns the same.

    Raises
    ------
    TypeError
        If `decoder` cannot decode, or `features` cannot map, or `distance` cannot be
        called.
    ValueError
        If another argument is outside its range, if the codes differ in shape, or if
        there is one code and no end.

    See Also
    --------
    frechet_distance : A smooth path says nothing about what rows look like.

    Notes
    -----
    The length is in units of the features, and grows with the distance of the codes:
    compare decoders of codes with the same distribution. One that collapses scores
    best.

    Float32 decoders round at 1e-7, which a step of 1e-4 stands clear of and one of
    1e-8 does not. Where a column lies some thousand times its spread from zero, they
    round by as much as the rows move: take steps of 1e-2 there. A decoder that rounds
    its rows to categories or integers moves by jumps, and has no length.

    All pairs count, where the code of the paper [1]_ leaves the extreme hundredths out.

    References
    ----------
    .. [1] T. Karras, S. Laine, T. Aila, "A style-based generator architecture for
       generative adversarial networks", CVPR 2019, arXiv:1812.04948, section 4.1.
    .. [2] T. White, "Sampling generative networks", 2016, arXiv:1609.04468.

    Examples
    --------
    >>> import numpy as np
    >>> from skdeep.metrics import perceptual_path_length
    >>> codes = np.random.RandomState(0).normal(size=(500, 3))
    >>> def straight(z):
    ...     return 2 * z
    >>> def with_a_jump(z):
    ...     return 2 * z + 10 * np.tanh(100 * z)
    >>> smooth = perceptual_path_length(straight, codes, random_state=0)
    >>> 0 < smooth < perceptual_path_length(with_a_jump, codes, random_state=0)
    True
    """
    decode, path = getattr(decoder, "inverse_transform", decoder), PATHS[interpolation]
    distance = _squared_distances if distance is None else distance
    rng = check_random_state(random_state)
    a, b = _ends(codes, end_codes, rng)
    t = rng.uniform(size=(len(a), 1))

    def features_at(rows: slice, t: np.ndarray) -> Any:
        decoded = decode(path(a[rows], b[rows], t))
        if n_rows(decoded) != len(t):
            raise ValueError(
                f"The decoder made {n_rows(decoded)} rows of {len(t)} codes."
            )
        return features_of(decoded, features, "perceptual_path_length", "decoded rows")

    total = 0.0
    for rows in gen_batches(len(a), _ROWS_AT_ONCE):
        moved = distance(
            features_at(rows, t[rows]), features_at(rows, t[rows] + epsilon)
        )
        moved = np.asarray(numpy_of(moved), dtype=np.float64)
        if moved.shape != (len(t[rows]),):
            raise ValueError(
                "The distance must return one number for each row, of shape "
                f"({len(t[rows])},). Got shape {moved.shape}."
            )
        total += moved.sum()
    return float(total / epsilon**2 / len(a))


def _ends(
    codes: Any, end_codes: Any, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    a = check_array(numpy_of(codes), dtype=np.float64, input_name="codes")
    if end_codes is not None:
        b = check_array(numpy_of(end_codes), dtype=np.float64, input_name="end_codes")
        if a.shape != b.shape:
            raise ValueError(
                "codes and end_codes must have the same shape. Got "
                f"{a.shape} and {b.shape}."
            )
        return a, b
    if len(a) < 2:
        raise ValueError(
            "perceptual_path_length needs two codes at least, or end_codes. Got one."
        )
    # In a cycle no code is its own end.
    order = rng.permutation(len(a))
    return a[order], a[np.roll(order, 1)]


def _squared_distances(F: np.ndarray, G: np.ndarray) -> np.ndarray:
    # In float64, since float32 would round the squares of small steps again.
    difference = F.astype(np.float64) - G
    return np.einsum("ij,ij->i", difference, difference)
