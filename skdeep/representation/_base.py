"""What every representation estimator does alike: the half that has no objective."""

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skdeep._compat import Interval, StrOptions
from skdeep.base import RUN_CONSTRAINTS, STEP_CONSTRAINTS, BaseDeepEstimator
from skdeep.fitting import Fitting
from skdeep.nn import ImageEncoder, initialized
from skdeep.nn.augmentation import MarginalCorruption
from skdeep.parameters import ImageShape, checked_sizes
from skdeep.training import Rows, in_chunks

TensorMap = Callable[[Tensor], Tensor]


class BaseRepresentation(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseDeepEstimator
):
    """Transformation of rows, or of images, by `encoder_`.

    A second class above the estimators, beside `BaseDeepEstimator`.
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": [StrOptions({"auto"}), tuple, list],
        "image_shape": [tuple, list, None],
        "scale": [StrOptions({"auto", "standard", "minmax"}), None],
        "augment": [StrOptions({"auto"}), callable, MarginalCorruption, None],
        "max_iter": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        **STEP_CONSTRAINTS,
        **RUN_CONSTRAINTS,
    }

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def transform(self, X: Any) -> np.ndarray:
        """Representation of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or images of shape (n_samples, C, H, W).

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components), float32
            Of a hidden layer, where `layer` asks for it, as wide as that.
        """
        check_is_fitted(self)
        rows = self._scaled_rows(self._validated(X, reset=False))
        return in_chunks(self._output(), rows)

    pixel_shape_: ImageShape | None = None
    """Shape of images that were recognised in flat rows, of those that look."""

    layer = "code"
    """What `transform` returns; a parameter of those that have a wider layer."""

    def _output(self) -> TensorMap:
        """Part of the encoder that `transform` returns."""
        return self.encoder_ if self.layer == "code" else self.encoder_.hidden_layer

    @property
    def _n_features_out(self) -> int:
        encoder = self.encoder_
        return encoder.n_outputs if self.layer == "code" else encoder.n_hidden

    def _encode(self, rows: Rows) -> np.ndarray:
        return in_chunks(self.encoder_, rows)


def image_encoder(estimator: BaseRepresentation, fitting: Fitting) -> ImageEncoder:
    """Build the convolutional encoder with the sizes that an estimator asks for."""
    sizes = checked_sizes(estimator, (32, 64, 128, 256))
    if len(sizes) != 4:
        raise ValueError(
            f"The 'hidden_layer_sizes' parameter of {type(estimator).__name__} must "
            "hold three channels and one width for images. Got "
            f"{estimator.hidden_layer_sizes!r} instead."
        )
    return initialized(
        ImageEncoder,
        fitting.weight_rng,
        image_shape=fitting.image_shape,
        channels=sizes[:3],
        n_hidden=sizes[3],
        n_components=int(estimator.n_components),
    )
