"""A pipeline from which rows can be drawn, in the units and columns of its input."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from inspect import signature
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import Tags, check_scalar, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skdeep.base import PAGE
from skdeep.compose._inverses import undone, unrolled, why_not_invertible
from skdeep.compose._jacobians import NoJacobianError, is_outside, log_stretches
from skdeep.compose._table_format import TableFormat, container_of
from skdeep.sampling import drawn_rows
from skdeep.tables import n_rows, numpy_of
from skdeep.wrapping import thawed


def last_step_has(*methods: str) -> Callable[[Pipeline], bool]:
    """Check for `available_if`: whether the sampler has one of the methods."""

    def check(pipeline: Pipeline) -> bool:
        steps = pipeline.steps
        return are_pairs(steps) and any(hasattr(steps[-1][1], m) for m in methods)

    return check


def are_pairs(steps: Any) -> bool:
    """Whether steps are what they should be, which is not checked before `fit`."""
    return (
        isinstance(steps, list | tuple)
        and len(steps) > 0
        and all(isinstance(pair, tuple) and len(pair) == 2 for pair in steps)
    )


class SamplerPipeline(Pipeline):
    r"""Transformers and a sampler, whose samples come back through all of them.

    A :class:`sklearn.pipeline.Pipeline` whose last step draws rows. With
    :math:`f = f_k \circ \dots \circ f_1` the transformers and :math:`p_Z` the density
    of the sampler, `sample` returns :math:`f^{-1}(z)` of drawn z, in the columns of
    the input, and `score_samples` is the density of the input itself:

    .. math::

        \log p_X(x) = \log p_Z(f(x))
        + \sum_i \log \left| \det \frac{\partial f_i}{\partial x_{i - 1}} \right|,
        \qquad x_i = f_i(x_{i - 1}), \quad x_0 = x

    whereas that of a plain pipeline leaves the sum out, so that pipelines with
    different transformers cannot be compared. All else is as in
    :class:`sklearn.pipeline.Pipeline`.

    Parameters
    ----------
    steps : list of tuples
        Pairs of a name and an estimator. The last is a sampler, of skdeep or
        scikit-learn (:class:`sklearn.neighbors.KernelDensity`,
        :class:`sklearn.mixture.GaussianMixture`), or any other estimator with `fit`
        and `sample`. The others have `transform` and `inverse_transform`, or are
        ``"passthrough"``.

    transform_input : list of str or None, default=None
        Metadata that is transformed like X before a step gets it: see
        :class:`sklearn.pipeline.Pipeline`.

    memory : str, object with the joblib.Memory interface or None, default=None
        Where fitted transformers are kept; the sampler is not.

    verbose : bool, default=False
        Whether to print how long each step took.

    Attributes
    ----------
    format_ : TableFormat or None
        Kind of X in `fit`, and names and number types of its columns. None if X was
        neither an array nor a DataFrame.

    n_features_in_ : int
        Number of columns of X in `fit`, if the first step notes it.

    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if the first step notes them.

    named_steps : Bunch
        Name -> step.

    See Also
    --------
    make_sampler_pipeline : Names the steps by itself.
    TabularEncoder : A first step for tables of mixed columns.
    sklearn.pipeline.Pipeline : Has no `sample`, and scores transformed rows.

    Notes
    -----
    Samples take the container, the columns and the number types of X in `fit`: an
    array, or a DataFrame of pandas or polars. Floats are cast. Integers and truth
    values are rounded to the nearest that their type can hold; such a column stays
    float if a sample of it is missing. Columns of other types are as the first
    transformer gives them back. Lists, tensors and sparse matrices become arrays of
    float64.

    The inverse of a transformer that drops dimensions, such as a PCA with few
    components or a feature selection, fills in what it knows, and such a pipeline can
    sample, but it has no density. Densities are known of StandardScaler, MinMaxScaler,
    MaxAbsScaler, RobustScaler, PowerTransformer, QuantileTransformer unless it met
    equal values, PCA and IncrementalPCA with all components, and FunctionTransformer of
    log, log1p, arcsinh and logit; with others, `score_samples` raises
    NotImplementedError. Outside of the training rows of a QuantileTransformer, and
    where a logarithm or Box-Cox transform is not defined, the density is zero. What a
    sampler draws beyond the quantiles ends on the least or the largest training row,
    and its share is missing from the integral of the density. Where
    the inverse of a PowerTransformer does not reach, samples are NaN, with its warning.
    Constant columns, which skdeep's samplers leave out of their densities, add nothing
    there either; those of scikit-learn count them. A PCA that mixes them into others
    leaves no density.

    `score` is a mean over rows, also of KernelDensity, whose own is a sum.

    References
    ----------
    .. [1] G. Papamakarios et al., "Normalizing Flows for Probabilistic Modeling and
       Inference", JMLR 2021, arXiv:1912.02762 (section 2: change of variables).

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.neighbors import KernelDensity
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skdeep.compose import SamplerPipeline
    >>> X = pd.DataFrame({"age": [31, 45, 62], "height": [1.6, 1.9, 1.7]})
    >>> steps = [("scaler", StandardScaler()), ("sampler", KernelDensity())]
    >>> SamplerPipeline(steps).fit(X).sample(2, random_state=0).dtypes.tolist()
    [dtype('int64'), dtype('float64')]
    """

    _doc_link_module = "skdeep"
    _doc_link_template = PAGE

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        with suppress(AttributeError, IndexError, TypeError, ValueError):
            # Which `fit` raises, if steps are not what they should be.
            tags.target_tags.required = get_tags(self.steps[-1][1]).target_tags.required
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return not vars(self).get("_is_half_fitted") and super().__sklearn_is_fitted__()

    def __getitem__(self, ind: Any) -> Any:
        """Step of a number or name, or the pipeline of some of them.

        Without its sampler it is a plain pipeline.
        """
        part = super().__getitem__(ind)
        if isinstance(ind, slice) and not last_step_has("sample")(part):
            return Pipeline(part.steps, memory=self.memory, verbose=self.verbose)
        return part

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Fit the transformers one after the other, and the sampler on their output.

        A fit that fails between its steps leaves the pipeline unfitted.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows, as the first step takes them.
        y : array-like of shape (n_samples,) or None, default=None
            Given to all steps; a conditional sampler takes the classes of rows.
        **params : dict
            Further arguments of the steps: see :class:`sklearn.pipeline.Pipeline`.

        Returns
        -------
        self : SamplerPipeline

        Raises
        ------
        TypeError
            If samples could not come back through a step.
        """
        with whole_fit(self, X):
            super().fit(numpy_of(X), numpy_of(y), **params)
        return self

    @available_if(last_step_has("transform", "fit_transform"))
    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Fit all steps, and return the codes of the rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or None, default=None
            As in `fit`.
        **params : dict
            As in `fit`.

        Returns
        -------
        Z : array-like of shape (n_samples, n_components)
        """
        with whole_fit(self, X):
            return super().fit_transform(numpy_of(X), numpy_of(y), **params)

    @available_if(last_step_has("fit_predict"))
    def fit_predict(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Fit all steps, and return what the sampler predicts of the rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or None, default=None
            As in `fit`.
        **params : dict
            As in `fit`.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
        """
        with whole_fit(self, X):
            return super().fit_predict(numpy_of(X), numpy_of(y), **params)

    @available_if(last_step_has("sample"))
    def sample(
        self, n_samples: int = 1, *, y: Any = None, random_state: Any = None
    ) -> Any:
        """Draw rows from the sampler, and bring them back through all steps.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        y : class, array-like of shape (n_samples,) or None, default=None
            Of a conditional sampler: the class of all rows or of each.
        random_state : int, RandomState instance or None, default=None
            An int gives the same rows at each call. It counts for samplers, too, that
            draw by the seed of their constructor when used alone, as GaussianMixture
            does.

        Returns
        -------
        X : ndarray or DataFrame of shape (n_samples, n_features)
            Rows in the container, columns and number types of X in `fit`. Those of
            mixtures are shuffled: they come in the order of their components.

        Raises
        ------
        TypeError
            If the sampler takes no classes, or no seed, but is given some.
        ValueError
            If `n_samples` is less than 1.
        """
        check_is_fitted(self)
        check_can_sample(self)
        n_samples = int(check_scalar(n_samples, "n_samples", Integral, min_val=1))
        X = drawn(self.steps[-1][1], n_samples, numpy_of(y), random_state)
        X = undone(self.steps[:-1], X)
        # Slices, and pipelines of fitted steps, were never fitted themselves.
        table_format = vars(self).get("format_")
        return X if table_format is None else table_format.restored(X)

    @available_if(last_step_has("score_samples"))
    def score_samples(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Log-density of each row in units of the input, in nats.

        A bound of it if that of the sampler is one.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or None, default=None
            Of a conditional sampler: the classes of rows, for their densities in them.
            Ignored without.
        **params : dict
            Further arguments of the `score_samples` of the sampler, such as `method`.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
        std : ndarray of shape (n_samples,)
            Only with ``return_std=True``, where the sampler takes it: standard errors,
            NaN where the log-density is -inf.

        Raises
        ------
        NotImplementedError
            If a step has no density, or none that is known.
        """
        check_is_fitted(self)
        X, y = numpy_of(X), numpy_of(y)
        n_samples = n_rows(X)
        sampler = self.steps[-1][1]
        takes_classes = "y" in signature(sampler.score_samples).parameters
        classes = None if y is None or not takes_classes else np.asarray(y)
        if classes is not None and classes.ndim and len(classes) != n_samples:
            raise ValueError(
                f"y has {len(classes)} classes, but there are {n_samples} rows."
            )
        log_density, std = np.full(n_samples, -np.inf), np.full(n_samples, np.nan)
        results = (log_density, std) if params.get("return_std") else log_density
        rows = np.arange(n_samples)  # still in X: steps leave out what they cannot take
        log_stretch = np.zeros((n_samples, 1))
        for name, step in unrolled(self.steps[:-1]):
            try:
                found = log_stretches(step, X)
            except NoJacobianError as error:
                raise NotImplementedError(
                    f"There is no density in units of the input: the step {name!r} "
                    f"({type(step).__name__}) {error} For that of transformed rows "
                    "score pipeline[:-1].transform(X) by pipeline[-1]."
                ) from error
            log_stretch = log_stretch + found
            outside = is_outside(found, X)
            if outside.any():
                X = of_rows(X, ~outside)
                rows, log_stretch = rows[~outside], log_stretch[~outside]
                if not rows.size:
                    return results
            # Some steps can be told to write into what they are given.
            X = step.transform(X if getattr(step, "copy", True) else deepcopy(X))
        if classes is not None:
            given = classes[rows] if classes.ndim else y
            found = sampler.score_samples(X, given, **params)
        else:
            found = sampler.score_samples(X, **params)
        if isinstance(found, tuple):
            found, std[rows] = found
        log_det = np.where(has_density(sampler), log_stretch, 0.0).sum(axis=1)
        log_density[rows] = found + log_det
        return results

    @available_if(last_step_has("score_samples", "score"))
    def score(self, X: Any, y: Any = None, **params: Any) -> float:
        """Mean of `score_samples`, or the score of a sampler that has no density.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or None, default=None
            As in `score_samples`.
        **params : dict
            As in `score_samples`.

        Returns
        -------
        score : float
            Nats a row.
        """
        if not hasattr(self.steps[-1][1], "score_samples"):
            return super().score(numpy_of(X), numpy_of(y), **params)
        found = self.score_samples(X, y, **params)
        return float(np.mean(found[0] if isinstance(found, tuple) else found))

    @available_if(last_step_has("transform"))
    def transform(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Codes of rows, by all steps.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows.
        y : class, array-like of shape (n_samples,) or None, default=None
            Of a conditional sampler, which needs it: the class of all rows or of each.
        **params : dict
            Further arguments of the steps: see :class:`sklearn.pipeline.Pipeline`.

        Returns
        -------
        Z : array-like of shape (n_samples, n_components)
        """
        X, y = numpy_of(X), numpy_of(y)
        if y is None:
            return super().transform(X, **params)
        check_is_fitted(self)
        X = before_last(self).transform(X, **params)
        return self.steps[-1][1].transform(X, y)

    @available_if(last_step_has("inverse_transform"))
    def inverse_transform(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Rows of codes, by the inverses of all steps.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes.
        y : class, array-like of shape (n_samples,) or None, default=None
            Of a conditional sampler, which needs it: the class of all rows or of each.
        **params : dict
            Further arguments of the steps: see :class:`sklearn.pipeline.Pipeline`.

        Returns
        -------
        X : array-like of shape (n_samples, n_features)
            As the first step gives them back, without the columns of `sample`.
        """
        X, y = numpy_of(X), numpy_of(y)
        if params and y is None:
            return super().inverse_transform(X, **params)
        check_is_fitted(self)
        invert = self.steps[-1][1].inverse_transform
        X = invert(X) if y is None else invert(X, y)
        if params:
            return before_last(self).inverse_transform(X, **params)
        return undone(self.steps[:-1], X)


def make_sampler_pipeline(
    *steps: Any, transform_input: Any = None, memory: Any = None, verbose: bool = False
) -> SamplerPipeline:
    """Build a `SamplerPipeline` whose steps are named after their classes.

    Parameters
    ----------
    *steps : list of estimators
        Transformers, and a sampler at the end.
    transform_input : list of str or None, default=None
        As in `SamplerPipeline`.
    memory : str, object with the joblib.Memory interface or None, default=None
        As in `SamplerPipeline`.
    verbose : bool, default=False
        As in `SamplerPipeline`.

    Returns
    -------
    pipeline : SamplerPipeline
        Not fitted yet.

    See Also
    --------
    SamplerPipeline : Takes the names of steps.

    Examples
    --------
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.mixture import GaussianMixture
    >>> from skdeep.compose import make_sampler_pipeline
    >>> pipeline = make_sampler_pipeline(PCA(whiten=True), GaussianMixture(2))
    >>> list(pipeline.named_steps)
    ['pca', 'gaussianmixture']
    """
    return SamplerPipeline(
        make_pipeline(*steps).steps,
        transform_input=transform_input,
        memory=memory,
        verbose=verbose,
    )


@contextmanager
def whole_fit(pipeline: SamplerPipeline, X: Any) -> Iterator[None]:
    """Fit all steps and note the columns; a fit that fails leaves none.

    Its first steps may be of the new rows, and the others of those before.
    """
    check_can_sample(pipeline)
    pipeline._is_half_fitted = True
    yield
    pipeline.format_ = TableFormat.of(X)
    del pipeline._is_half_fitted


def before_last(pipeline: Pipeline) -> Pipeline:
    """Pipeline that ends before the sampler, whose place it keeps."""
    return Pipeline([*pipeline.steps[:-1], (pipeline.steps[-1][0], "passthrough")])


def drawn(sampler: Any, n_samples: int, y: Any, random_state: Any) -> np.ndarray:
    """Rows that any sampler draws, as float64.

    The last bits of float32 count as soon as a scaler adds a large mean.
    """
    X = drawn_rows(
        thawed(sampler),
        n_samples,
        random_state,
        y=y,
        needs_seed=random_state is not None,
        keeps_seed=False,
    )
    return np.asarray(X, dtype=np.float64)


def of_rows(X: Any, kept: np.ndarray) -> Any:
    """Rows of an array, a list, a sparse matrix or a DataFrame."""
    if container_of(X) == "polars":
        return X.filter(kept)
    return X[kept] if hasattr(X, "shape") else np.asarray(X)[kept]


def has_density(sampler: Any) -> np.ndarray | bool:
    """Whether columns count in the density: skdeep's samplers leave out constants.

    Bernoulli likelihoods are probabilities, and have none.
    """
    sampler = thawed(sampler)
    if getattr(sampler, "noise_variance_", 1) is None:
        return False
    if getattr(sampler, "constants_", None) is not None:
        return np.isnan(sampler.constants_)
    return True


def check_can_sample(pipeline: Pipeline) -> None:
    """Raise if the last step draws nothing, or another has no inverse.

    Raises
    ------
    TypeError
        Which names the step.
    """
    if not are_pairs(pipeline.steps):
        return  # the pipeline itself says what is wrong with them
    name, sampler = pipeline.steps[-1]
    if not hasattr(sampler, "sample"):
        raise TypeError(
            f"The last step of {type(pipeline).__name__} must have the method `sample`,"
            f" as skdeep's samplers and KernelDensity do. {name!r} "
            f"({type(sampler).__name__}) has none."
        )
    for name, step in unrolled(pipeline.steps[:-1]):
        reason = why_not_invertible(step)
        if reason is not None:
            raise TypeError(
                f"Samples cannot come back through the step {name!r}: {reason}"
            )
