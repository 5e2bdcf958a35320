"""Mixed tables as real numbers, and back."""

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import Tags, check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from skdeep._compat import (
    CallbackSupportMixin,
    HasMethods,
    Interval,
    StrOptions,
    feature_names_in,
    fit_context,
)
from skdeep.base import PAGE
from skdeep.compose._column_codes import CategoryCodes, NumberCodes
from skdeep.compose._columns import Column, columns_of, table_of
from skdeep.compose._table_format import TableFormat, container_of
from skdeep.tables import numpy_of

MANY_ROWS = 50
"""Rows from which categories that are all different are taken for names of the rows."""


class TabularEncoder(CallbackSupportMixin, TransformerMixin, BaseEstimator):
    r"""Encode a table of mixed columns as real numbers, from which it can be rebuilt.

    Each column becomes normal scores: with :math:`F(x)` the share of training values
    below x and half of those equal to it,

    .. math:: z = \Phi^{-1}(F(x))

    so that any column, however skewed, has about the shape that samplers are good at,
    and samples come back to the values that it had.
    Times are numbers, and categories are counted by their frequency, the most frequent
    one first, or by their levels if these have an order. Missing cells are a category
    of their own, or an indicator beside the score of a number.

    The inverse, which a ColumnTransformer lacks, takes any numbers for codes. Rows come
    back in the container, the columns and the types of X in `fit`; numbers stay in the
    range of the training values and on their grid, be they integers, multiples of 50 or
    rounded to cents.

    Parameters
    ----------
    categorical_features : array-like of {str, int, bool} or None, default=None
        Names, positions or mask of columns of numbers or times whose values are
        categories, such as codes. All columns of other types are categories anyway.

    categorical : {"normal", "onehot"}, default="normal"
        What is made of categories: one column of scores, of which samplers learn more,
        or an indicator for each, of which the largest wins on the way back. Distances
        mean something between indicators only: clusterers want these.

    numeric : {"normal", "passthrough"} or transformer, default="normal"
        What is made of numbers and times: scores, nothing, or what an invertible
        transformer makes of a single column, such as
        :class:`sklearn.preprocessing.StandardScaler`; each column has its own clone,
        fitted on the cells that are not missing. Times that are not scored are counted
        in steps of their grid from the first one.

    max_categories : int or None, default=None
        Most categories of a column that are told apart. If there are more, the rarest
        are one, and come back as the most frequent of them. None: no limit.

    handle_unknown : {"error", "ignore"}, default="error"
        What to do in `transform` about categories that were not there in `fit`, and
        about missing cells if there were none: raise, or encode categories as zeros and
        missing numbers as the median.

    Attributes
    ----------
    codes_ : list
        How the cells of each column are encoded, as `CategoryCodes` or `NumberCodes`.

    columns_ : list
        What each column holds, and its type, as a `Column`.

    format_ : TableFormat
        Container of X in `fit`, and the names of its columns.

    n_features_in_ : int
        Number of columns of X in `fit`.

    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X in `fit` has names that are all text.

    See Also
    --------
    SamplerPipeline : Draws rows through it.
    sklearn.compose.ColumnTransformer : Has more freedom, and no way back.

    Notes
    -----
    Cells that are equal, such as 1 and True among objects, are one category: the one
    that comes first. Missing floats of polars come back as NaN if all of them were, and
    else as nulls.

    Integers may be of any kind, those of pandas with missing cells included. Columns of
    objects hold numbers if all their cells are numbers, or all are decimals. Times are
    dates, moments with or without a time zone, durations, and times of day of polars.
    Those of a zone are counted as its clocks show them, or in UTC if there are some
    that clocks show twice. Periods and intervals of pandas are categories.

    Training rows come back exactly, but for the rounding error of floats with more than
    six decimals, integers and times that are more than 2**40 steps of their grid apart,
    and rare categories. New values outside the range or off the grid become the nearest
    on it: a grid is the coarsest on which all training values lie.

    Most of a column may be one value, such as zero: its scores have one place for it,
    to which all that samplers draw around it comes back. Samplers that blur the codes,
    such as a single Gaussian or a VAE, draw categories, values and gaps of less than a
    tenth of the rows too rarely. Of a flow, diffusion, a GAN and a mixture of many
    Gaussians shares of columns of few values are off by some hundredths, which may be
    most of a rare gap or truth value.
    Tried, and of no use to the samplers of skdeep: further indicators for frequent
    values, scores that are drawn at random for equal ones, and borders between
    categories by the deviation of their scores.

    Rows of categories have probabilities, not densities: a `SamplerPipeline` with this
    step has no `score_samples` in units of the input.

    References
    ----------
    .. [1] A. Kotelnikov et al., "TabDDPM: Modelling Tabular Data with Diffusion
       Models", ICML 2023, arXiv:2209.15421 (normal scores of numbers).
    .. [2] G. Blom, "Statistical Estimates and Transformed Beta-Variables", Wiley 1958
       (normal scores).

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.mixture import GaussianMixture
    >>> from skdeep.compose import TabularEncoder, make_sampler_pipeline
    >>> X = pd.DataFrame({"age": [31, 45, 62], "town": ["north", "south", "south"]})
    >>> TabularEncoder().fit(X).get_feature_names_out().tolist()
    ['age', 'town']
    >>> model = make_sampler_pipeline(TabularEncoder(), GaussianMixture()).fit(X)
    >>> model.sample(5, random_state=0)["town"].isin(["north", "south"]).all()
    np.True_
    """

    _doc_link_module = "skdeep"
    _doc_link_template = PAGE

    _parameter_constraints = {
        "categorical_features": ["array-like", None],
        "categorical": [StrOptions({"normal", "onehot"})],
        "numeric": [
            StrOptions({"normal", "passthrough"}),
            HasMethods(["fit", "transform", "inverse_transform"]),
        ],
        "max_categories": [Interval(Integral, 2, None, closed="left"), None],
        "handle_unknown": [StrOptions({"error", "ignore"})],
    }

    def __init__(
        self,
        categorical_features=None,
        *,
        categorical="normal",
        numeric="normal",
        max_categories=None,
        handle_unknown="error",
    ):
        self.categorical_features = categorical_features
        self.categorical = categorical
        self.numeric = numeric
        self.max_categories = max_categories
        self.handle_unknown = handle_unknown

    @fit_context
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn what each column holds, and how its cells are encoded.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows, of pandas, polars or NumPy. Columns of text, categories, truth values,
            numbers, times; with missing cells or without.
        y : object, default=None
            Ignored.

        Returns
        -------
        self : TabularEncoder

        Raises
        ------
        ValueError
            If a column has no cell that is not missing, an infinite number, or, of more
            than 50 rows, another category in each; if two have one name; or if X is
            empty.
        TypeError
            If cells are neither text nor numbers nor anything that can be a category,
            or X is a table of another package.
        """
        task = self._init_callback_context()
        with unchanged_if_refused(self):
            task.call_on_fit_task_begin(estimator=self, X=X, y=y)
            rows = self._validated(X, reset=True)
            layout: Any = TableFormat.of(rows)  # which knows all that was validated
            container, chosen = layout.container, self._chosen(layout)
            columns, codes, names = [], [], self._names()
            for j, series in enumerate(columns_of(rows, container)):
                with naming(names[j]):
                    column = Column.of(series, container, is_category=j in chosen)
                    cells = column.cells(series, container)
                    codes.append(self._codes_of(column, *cells))
                columns.append(column)
            self.format_, self.columns_, self.codes_ = layout, columns, codes
            task.call_on_fit_task_end(
                estimator=self, X=X, y=y, reconstruction_attributes=dict
            )
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Encode rows.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows with the columns of those in `fit`, in the same kind of container.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_codes)
            Codes, as float64.

        Raises
        ------
        ValueError
            If a cell is unknown and `handle_unknown` is ``"error"``; if a number is
            infinite, or what was a number is none.
        TypeError
            If what were times are none, or have a time zone now and had none in `fit`,
            or the other way round.
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        container: Any = container_of(X)
        names, n_codes = self._names(), self._n_codes()
        Z = np.empty((len(X), sum(n_codes)))
        parts = np.split(Z, np.cumsum(n_codes)[:-1], axis=1)
        for j, series in enumerate(columns_of(X, container)):
            with naming(names[j]):
                values, missing = self.columns_[j].cells(series, container)
                if self.handle_unknown == "error":
                    require_known(self.codes_[j].unknown(values, missing))
                parts[j][:] = self.codes_[j].encoded(values, missing)
        return Z

    def inverse_transform(self, X: Any) -> Any:
        """Rebuild rows from codes, or from any numbers in their place.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_codes)
            Codes, as `transform` returns them or a sampler draws them.

        Returns
        -------
        X_original : DataFrame or ndarray of shape (n_samples, n_features)
            Rows in the container, columns and types of X in `fit`; an array of a list.

        Raises
        ------
        ValueError
            If X has other than `n_codes` columns, or numbers that are not finite.
        """
        check_is_fitted(self)
        X = numpy_of(X)
        X = check_array(X, dtype=np.float64, estimator=self, input_name="X")
        n_codes = self._n_codes()
        if X.shape[1] != sum(n_codes):
            raise ValueError(
                f"X has {X.shape[1]} columns, but {type(self).__name__} has "
                f"{sum(n_codes)} codes: those of get_feature_names_out."
            )
        parts = np.split(X, np.cumsum(n_codes)[:-1], axis=1)
        rows = [
            column.series(*codes.decoded(part))
            for column, codes, part in zip(
                self.columns_, self.codes_, parts, strict=True
            )
        ]
        return table_of(rows, self.format_)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the codes: those of the columns, and what tells their codes apart.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the columns, if those of X in `fit` are not known.

        Returns
        -------
        feature_names_out : ndarray of shape (n_codes,)
            Such as ``age``, ``age_missing`` and, of indicators, ``town_north``. What
            would repeat another name ends with an underscore.
        """
        check_is_fitted(self)
        names = feature_names_in(self, input_features)
        pairs = [*zip(names, self.codes_, strict=True)]
        taken = {name for name, codes in pairs if "" in codes.suffixes()}
        found = []
        for name, codes in pairs:
            for suffix in codes.suffixes():
                code = f"{name}{suffix}"
                while suffix and code in taken:
                    code += "_"
                taken.add(code)
                found.append(code)
        return np.array(found, dtype=object)

    def _n_codes(self) -> list[int]:
        """Codes of each column."""
        return [len(codes.suffixes()) for codes in self.codes_]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags

    def _names(self) -> list[Any]:
        """Names of columns for errors."""
        return feature_names_in(self, None)

    def _validated(self, X: Any, *, reset: bool) -> Any:
        """Array or DataFrame of X, whose columns are those of `fit`."""
        X = numpy_of(X)
        if container_of(X) in ("pandas", "polars"):
            require_not_empty(X, type(self).__name__)
            X = validate_data(self, X, reset=reset, skip_check_array=True)
        else:
            if hasattr(X, "__dataframe__"):
                raise TypeError(
                    f"{type(self).__name__} takes DataFrames of pandas or polars, and "
                    f"arrays. Got a {type(X).__module__}.{type(X).__name__}: pass what "
                    "its to_pandas() returns, for example."
                )
            if not hasattr(X, "dtype") and np.asarray(X).dtype.kind in "US":
                X = np.asarray(X, dtype=object)  # numbers among text would become text
            X = validate_data(
                self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan"
            )
        return X

    def _chosen(self, layout: Any) -> set[int]:
        """Positions of the columns that are categories by parameter."""
        names = layout.columns or []
        position_of = {j: j for j in range(self.n_features_in_)}
        position_of |= {name: j for j, name in enumerate(names)}
        given = self.categorical_features
        features = [] if given is None else list(given)
        if features and all(isinstance(chosen, bool | np.bool_) for chosen in features):
            if len(features) != self.n_features_in_:
                raise ValueError(
                    f"The 'categorical_features' parameter of {type(self).__name__} is "
                    f"a mask of {len(features)} columns, but X has "
                    f"{self.n_features_in_}."
                )
            return set(np.flatnonzero(features).tolist())
        unknown = [feature for feature in features if feature not in position_of]
        if unknown:
            raise ValueError(
                f"The 'categorical_features' parameter of {type(self).__name__} names "
                f"columns that X does not have: {unknown}."
            )
        return {position_of[feature] for feature in features}

    def _codes_of(
        self, column: Column, values: np.ndarray, missing: np.ndarray
    ) -> CategoryCodes | NumberCodes:
        """Codes of the cells of a column."""
        if missing.all():
            raise ValueError("all cells are missing. Drop it: it tells nothing.")
        if column.kind == "category":
            codes = CategoryCodes.of(
                values,
                missing,
                levels=column.levels if column.ordered else None,
                max_categories=self.max_categories,
                as_scores=self.categorical == "normal",
            )
            if len(codes.categories) == len(values) > MANY_ROWS:
                raise ValueError(
                    "each row has a category of its own, so that it names rows and "
                    "tells nothing of others. Drop it; or give it a type of numbers or "
                    "times, if it holds these."
                )
            return codes
        scaler = self.numeric
        if isinstance(scaler, str):
            scaler = None if scaler == "normal" else FunctionTransformer()
        is_time = column.kind == "time"
        return NumberCodes.of(values, missing, is_time, scaler and clone(scaler))


@contextmanager
def unchanged_if_refused(estimator: Any) -> Iterator[None]:
    """Leave an estimator as it was before a fit that raises."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        # Names and number of columns are noted before the columns are read.
        for name in vars(estimator).keys() - before.keys():
            delattr(estimator, name)
        estimator.__dict__.update(before)
        raise


@contextmanager
def naming(column: Any) -> Iterator[None]:
    """Have errors say which column they are about."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"Column {column!r}: {error}") from error


def require_known(unknown: list[Any]) -> None:
    """Raise if there are cells that `fit` met none like."""
    if unknown:
        found = ", ".join("missing cells" if u is None else repr(u) for u in unknown)
        raise ValueError(
            f"found unknown categories during transform: {found}. Fit on rows that "
            "have them, or use handle_unknown='ignore'."
        )


def require_not_empty(frame: Any, owner: str) -> None:
    """Raise as scikit-learn does if a DataFrame has no rows or columns."""
    for size, what in zip(frame.shape, ["sample", "feature"], strict=True):
        if size == 0:
            raise ValueError(
                f"Found array with 0 {what}(s) (shape={frame.shape}) while a minimum "
                f"of 1 is required by {owner}."
            )
