import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

from skdeep import AEKMeans, DECClusterer, NClustersSearch, SCANClusterer
from tests.estimators import SMALL

X, _ = make_blobs(60, 4, centers=3, random_state=0)


@pytest.mark.parametrize(
    ("estimator", "parameter", "advised"),
    [
        (DECClusterer(), "autoencoder__max_iter", "autoencoder=AutoencoderTransformer"),
        (SCANClusterer(), "encoder__max_iter", "encoder=SimCLRTransformer"),
        (NClustersSearch(), "clusterer__n_init", "clusterer=DECClusterer"),
    ],
)
def test_parameters_of_none_name_what_can_be_given(estimator, parameter, advised):
    with pytest.raises(ValueError, match=advised):
        estimator.set_params(**{parameter: 3})


def test_no_estimator_is_advised_for_parameters_that_hold_none():
    with pytest.raises(AttributeError):
        DECClusterer().set_params(memory__folder="x")


@pytest.mark.parametrize("value", [1e300, np.nan, "text"])
def test_refused_rows_leave_an_earlier_fit_as_it_was(value):
    table = pd.DataFrame(X, columns=list("abcd"))
    model = clone(SMALL).fit(table)
    before = model.transform(table)
    refused = table[list("dcba")].astype(object)
    refused.iloc[0, 0] = value
    for rows in (refused, refused[["d", "c"]]):
        with pytest.raises(ValueError, match=r"too large|NaN|convert string"):
            model.fit(rows)
    np.testing.assert_array_equal(model.transform(table), before)
    assert list(model.feature_names_in_) == list("abcd")


def test_refused_rows_leave_nothing_of_a_first_fit():
    model = clone(SMALL)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(pd.DataFrame({"a": [1.0, np.nan]}))
    assert not hasattr(model, "feature_names_in_")
    assert not hasattr(model, "n_features_in_")


def test_refit_that_fails_later_leaves_the_estimator_unfitted():
    model = clone(SMALL).fit(X)
    with pytest.raises(ValueError, match="image_shape"):
        model.set_params(image_shape=(1, 3, 3)).fit(X[:, :2])
    with pytest.raises(NotFittedError):
        model.transform(X)
    model.set_params(image_shape=None).fit(X[:, :2]).transform(X[:, :2])


def test_networks_that_are_read_in_inference_mode_take_gradients():
    data = pickle.dumps(clone(SMALL).fit(X))
    with torch.inference_mode():
        model = pickle.loads(data)
    x = torch.zeros(3, X.shape[1])
    model.encoder_(x).sum().backward()
    for weight in model.encoder_.parameters():
        assert not weight.is_inference()
        assert weight.grad is not None


def test_wrong_range_of_a_search_leaves_it_as_it_was():
    search = NClustersSearch(AEKMeans(autoencoder=SMALL), max_clusters=3).fit(X)
    with pytest.raises(ValueError, match="'max_clusters' parameter"):
        search.set_params(max_clusters=1).fit(X[:, :2])
    assert len(search.predict(X)) == len(X)


def test_frozen_encoders_take_the_columns_that_they_know():
    frame = pd.DataFrame(X, columns=[*"abcd"])
    frozen = FrozenEstimator(clone(SMALL).fit(frame))
    model = AEKMeans(3, autoencoder=frozen)
    assert len(model.fit(frame).labels_) == len(X)
    with pytest.raises(
        ValueError, match=r"'d' for 'a', 'c' for 'b', 'b' for 'c', \.\.\."
    ):
        model.fit(frame[frame.columns[::-1]])


def test_no_images_are_refused_in_words():
    images = X.reshape(-1, 1, 2, 2)
    model = clone(SMALL).set_params(max_iter=1).fit(images)
    with pytest.raises(ValueError, match="0 sample"):
        model.transform(images[:0])


def test_images_whose_channels_seem_to_come_last_are_told_how_to_lie():
    images = np.random.RandomState(0).rand(20, 5, 6, 3)
    model = clone(SMALL).set_params(max_iter=0)
    with pytest.warns(UserWarning, match=r"np\.moveaxis\(X, -1, 1\)"):
        model.fit(images)
    model.fit(np.moveaxis(images, -1, 1))
    with pytest.warns(UserWarning, match=r"image_shape=\(5, 6, 3\) is read as"):
        model.set_params(image_shape=(5, 6, 3)).fit(images.reshape(20, -1))


def test_missing_dates_are_refused():
    days = pd.Series(pd.date_range("2020", periods=40)).where(np.arange(40) % 2 == 0)
    frame = pd.DataFrame({"start": days, "end": days + pd.Timedelta("1D")})
    model = AEKMeans(2, autoencoder=SMALL)
    for rows in (frame, frame.to_numpy(), pl.from_pandas(frame)):
        with pytest.raises(ValueError, match="Input X contains NaT"):
            model.fit(rows)
    assert len(model.fit(frame.dropna()).labels_) == 20


def test_too_few_rows_for_the_clusters_are_refused_by_name():
    with pytest.raises(ValueError, match="Each of n_clusters=61 needs a row"):
        DECClusterer(61).fit(X)


def test_class_in_place_of_an_autoencoder_is_refused_by_name():
    with pytest.raises(TypeError, match="'autoencoder' parameter of AEKMeans must be"):
        AEKMeans(2, autoencoder=type(SMALL)).fit(X)
