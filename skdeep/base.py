"""The boundary between scikit-learn's arrays and torch: input, device, seeds, state.

There is no fit here, no hook and no loss.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.validation import validate_data
from torch import Tensor

from skdeep._compat import CallbackSupportMixin, Interval, StrOptions, raise_advised
from skdeep._version import __version__
from skdeep.nn import NETWORKS, Network
from skdeep.parameters import (
    ImageShape,
    require_same_image_shape,
    warn_of_channels_last,
)
from skdeep.scaling import still_constant
from skdeep.tables import added_up, is_lazy, numpy_of
from skdeep.training import Rows
from skdeep.warning import warn

NUMBERS = [
    np.float64,
    np.float32,
    np.float16,
    np.uint8,
    np.uint16,
    np.uint32,
    np.int8,
    np.int16,
    np.int32,
    np.int64,
    np.bool_,
]
"""Types that are read as they are; all others become the first of them."""

STEP_CONSTRAINTS: dict[str, list[Any]] = {
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
}
"""What the parameters of gradient steps may be."""

RUN_CONSTRAINTS: dict[str, list[Any]] = {
    "device": [str],
    "precision": [StrOptions({"auto", "float32", "bfloat16"})],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}
"""What the parameters of any fit may be."""

ROOT = Path(__file__).parents[1]

PAGES = ROOT / "docs" / "_build" / "html"
"""Documentation that `make docs` built beside the package."""

PAGE = (
    f"{PAGES.as_uri()}/generated/{{estimator_module}}.{{estimator_name}}.html"
    if PAGES.is_dir() and (ROOT / "pyproject.toml").is_file()
    else ""
)
"""Address of the page of an estimator, empty if there is none."""


class BaseDeepEstimator(CallbackSupportMixin, BaseEstimator):
    """What every skdeep estimator does at its borders.

    It turns what users pass into checked arrays and tensors, resolves the device,
    draws seeds, and keeps fitted networks as NumPy arrays whenever it is pickled or
    copied. The contract of fitting (attributes, history, reproducibility) is held by
    the common tests, not by inheritance.
    """

    # The HTML representation links to the pages that were built, if they were.
    _doc_link_module = "skdeep"
    _doc_link_template = PAGE

    _defaults: ClassVar[dict[str, type]] = {}
    """What None stands for in the parameter that holds an estimator, if there is."""

    whitening_: np.ndarray | None = None
    """Matrix by which scaled rows are multiplied, of those that have one."""

    constants_: np.ndarray | None = None
    """Value of each column that no training saw vary, of those that note it: there a
    network has learned nothing, and other values would be noise to it. NaN of others.
    """

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "history_")

    def set_params(self, **params: Any) -> Self:
        """Set the parameters of this estimator and of those inside it.

        Parameters
        ----------
        **params : dict
            Names and values; ``inner__name`` reaches into the estimator `inner`.

        Returns
        -------
        self : estimator instance

        Raises
        ------
        ValueError
            If there is no such parameter, or `inner` is None.
        """
        own = self.get_params(deep=False)
        for name in params:
            inner, nested, _ = name.partition("__")
            left_open = inner in own and params.get(inner, own[inner]) is None
            if nested and left_open and inner in self._defaults:
                raise ValueError(
                    f"{name!r} sets a parameter of {inner!r}, which is None. Give the "
                    f"estimator itself first, for example "
                    f"{type(self).__name__}({inner}={self._defaults[inner].__name__}())."
                )
        return super().set_params(**params)

    # input

    def _validated(
        self, X: Any, *, reset: bool, min_samples: int = 1
    ) -> np.ndarray | sparse.csr_matrix:
        """Check X and return its rows as a 2-D array or CSR matrix of real numbers.

        Tensors are brought to the CPU, images of shape (n, C, H, W) are flattened. What
        lies on disk stays there, and no numbers are converted that torch can read.
        """
        if reset:
            given = getattr(self, "image_shape", None)
            warn_of_channels_last(given, "image_shape=")
            if given is None:
                source = "The shape of the images in X, "
                warn_of_channels_last(image_shape_of(X), source)
        else:
            fitted_on = f"{type(self).__name__} was fitted on"
            require_same_image_shape(image_shape_of(X), self._image_shape(), fitted_on)
        require_no_times(X)
        X = flat_rows(X)
        with self._noting(reset):
            try:
                X = validate_data(
                    self,
                    X,
                    reset=reset,
                    accept_sparse="csr",
                    dtype=NUMBERS,
                    ensure_min_samples=min_samples,
                )
                X = added_up(X)
                require_float32(X)
            except (TypeError, ValueError) as error:
                raise_advised(error, TEXT_COLUMNS)
                n_clusters = getattr(self, "n_clusters", 0)
                advice = advice_on(str(error), min_samples, n_clusters)
                if advice:
                    raise ValueError(f"{error} {advice}") from error
                raise
        return X

    @contextmanager
    def _noting(self, reset: bool = True) -> Iterator[None]:
        """Take back the names and the width of X, noted as it is read, if refused."""
        before = {name: vars(self)[name] for name in NOTED if name in vars(self)}
        try:
            yield
        except (TypeError, ValueError):
            if reset:
                for name in NOTED:
                    self.__dict__.pop(name, None)
                self.__dict__.update(before)
            raise

    def _image_shape(self) -> ImageShape | None:
        """(C, H, W) of the images that the fit was of; None after one of a table."""
        return getattr(self, "image_shape_", None)

    # device and seeds

    def _device(self) -> torch.device:
        return torch_device(self.device, type(self).__name__)

    def _home(self) -> torch.device:
        """Resolve the device and bring the fitted networks to it."""
        device = self._device()
        for value in [*vars(self).values()]:  # another thread may fit it
            if isinstance(value, Network):
                value.to(device)
        return device

    def _seeds(self, n_seeds: int) -> list[int]:
        """One seed a phase, drawn before anything else."""
        rng = check_random_state(self.random_state)
        return [int(seed) for seed in rng.randint(2**31 - 1, size=n_seeds)]

    def _scaled_rows(
        self,
        X: np.ndarray | sparse.csr_matrix,
        *,
        resident: bool = False,
        as_in_fit: bool = True,
    ) -> Rows:
        """Rows of X on the device of the networks, scaled as in `fit`.

        And with the values of `fit` in columns that did not vary there, if `as_in_fit`.
        """
        scaling, home = (self.offset_, self.scale_), self._home()
        constants = self.constants_ if as_in_fit else None
        return Rows(X, *scaling, home, resident, self.whitening_, FARTHEST, constants)

    def _free_what_varies(self, X: np.ndarray | sparse.csr_matrix) -> None:
        """Note which columns vary in rows of X, on which the networks train on."""
        if self.constants_ is not None:
            self.constants_ = still_constant(X, self.constants_)

    def _code_rows(self, Z: Any, n_components: int) -> Rows:
        """Codes on the device of the networks, if they have as many components."""
        Z = check_array(flat_rows(Z), dtype=np.float32)
        if Z.shape[1] != n_components:
            raise ValueError(
                f"X has {Z.shape[1]} columns, but the codes of this "
                f"{type(self).__name__} have {n_components} components."
            )
        return Rows(Z, np.zeros(n_components), np.ones(n_components), self._home())

    # state

    def _forget(self) -> None:
        """Drop every fitted attribute."""
        for name in [n for n in vars(self) if n.endswith("_") and n[:2] != "__"]:
            delattr(self, name)

    def __getstate__(self) -> dict[str, Any]:
        state = {
            name: network_to_state(value) if isinstance(value, Network) else value
            for name, value in super().__getstate__().items()
        }
        return {**state, "_skdeep_version": __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        version = state.pop("_skdeep_version", "unknown")
        if version != __version__:
            warn(
                InconsistentVersionWarning(
                    estimator_name=type(self).__name__,
                    current_sklearn_version=f"skdeep {__version__}",
                    original_sklearn_version=f"skdeep {version}",
                ),
            )
        for name, value in state.items():
            if isinstance(value, dict) and NETWORK_KEYS == value.keys():
                state[name] = network_from_state(value)
        super().__setstate__(state)


def require_float32(X: np.ndarray | sparse.csr_matrix) -> None:
    """Raise if values of float64 are too large for float32."""
    values = X if isinstance(X, np.ndarray) else X.data
    if values.dtype == np.float64 and values.size:
        if max(-values.min(), values.max()) > np.finfo(np.float32).max:
            raise ValueError(
                "Input X contains infinity or a value too large for dtype('float32')."
            )


def advice_on(message: str, min_samples: int, n_clusters: int) -> str:
    """Say what to do about an error of scikit-learn that does not say so itself."""
    if "sample(s)" in message and min_samples == n_clusters:
        return f"Each of n_clusters={min_samples} needs a row."
    if "Found array with dim 3" in message:
        return IMAGES
    if "Found array with dim 4" in message:  # nested lists have no shape
        return "Pass images as an array: np.asarray(X)."
    return ""


FARTHEST = 2.0**50
"""Units of a column from its middle, beyond which rows are taken to be that far: their
squares are numbers of float32 still.
"""

NETWORK_KEYS = {"network", "arguments", "weights"}

NOTED = "n_features_in_", "feature_names_in_"
"""What scikit-learn notes of X as it checks it."""

TEXT_COLUMNS = (
    "skdeep reads numbers. Turn text, categories and dates into columns of numbers "
    "first:\n"
    "    make_sampler_pipeline(TabularEncoder(), FlowSampler())\n"
    "    make_pipeline(\n"
    "        TabularEncoder(categorical='onehot', numeric=StandardScaler()),\n"
    "        DECClusterer(),\n"
    "    )\n"
    "The documentation has more in its recipes, under 'Mixed tables'."
)

TIMES = {"date", "time", "dura"}
"""How the names of types of times begin, in pandas, Arrow and polars."""

IMAGES = (
    "Images have the shape (n, channels, height, width): X[:, None] if they are grey."
)


def torch_device(name: str, owner: str) -> torch.device:
    """Device of that name; the GPU for ``"auto"`` if there is one.

    The error names the owner of the parameter.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        # Not all of them have this type, and that of the name "meta" has no numbers.
        torch.zeros((), dtype=torch.float64, device=device).item()
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(
            f"The 'device' parameter of {owner} names a device that torch cannot use "
            f"here. Got {name!r}; 'cpu' always works. "
            f"({str(error).splitlines()[0]})"
        ) from error
    return device


def image_shape_of(X: Any) -> ImageShape | None:
    """(C, H, W) of an array or tensor of images, None of anything else."""
    shape = getattr(X, "shape", ())
    if len(shape) != 4:
        return None
    _, channels, height, width = map(int, shape)
    return channels, height, width


def require_no_times(X: Any, name: str = "X", advice: str = TEXT_COLUMNS) -> None:
    """Raise if columns hold dates, times or durations.

    As numbers they would depend on their unit, which is not the same in all files.
    """
    has_types = hasattr(type(X), "columns") and hasattr(type(X), "dtypes")
    is_frame = has_types and not is_lazy(X)
    columns = zip(X.columns, X.dtypes, strict=True) if is_frame else ()
    of_time = [name for name, dtype in columns if str(dtype)[:4].lower() in TIMES]
    if of_time or getattr(getattr(X, "dtype", None), "kind", "") in ("m", "M"):
        where = f" in column {of_time[0]!r}" if of_time else ""
        raise ValueError(
            f"Input {name} holds dates, times or durations{where}. {advice}"
        )


def flat_rows(X: Any) -> Any:
    """Bring tensors to NumPy or SciPy, and images of shape (n, C, H, W) to rows."""
    X = numpy_of(X)
    if image_shape_of(X) is not None:
        X = X.reshape(len(X), math.prod(X.shape[1:]))
    return X


def varying_columns(constants: np.ndarray, device: torch.device) -> Tensor | slice:
    """Index of the columns that vary; of all as a slice, which copies nothing.

    Samples repeat the other ones, and densities leave them out.
    """
    varies = np.isnan(constants)
    if varies.all():
        return slice(None)
    return torch.from_numpy(np.flatnonzero(varies)).to(device)


def network_to_state(network: Network) -> dict[str, Any]:
    """Class name, arguments and weights of a network, as plain values and arrays."""
    return {
        "network": type(network).__name__,
        "arguments": network.arguments,
        "weights": {
            name: weight.detach().cpu().numpy().copy()
            for name, weight in network.state_dict().items()
        },
    }


def network_from_state(state: dict[str, Any]) -> Network:
    """Build a network, on the CPU, from what `network_to_state` returned."""
    with torch.inference_mode(False):  # its weights shall take gradients
        with torch.device("meta"):  # builds shapes and draws nothing
            network = NETWORKS[state["network"]](**state["arguments"])
        given = state["weights"].items()
        weights = {name: torch.tensor(w, device="cpu") for name, w in given}
    network.load_state_dict(weights, assign=True)
    return network.requires_grad_(True).eval()


def network_copy(network: Network) -> Network:
    """Copy a network, even one in training, as one that infers."""
    return network_from_state(network_to_state(network))
