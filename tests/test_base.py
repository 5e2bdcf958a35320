import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

from skdeep import (
    AEKMeans,
    AutoencoderTransformer,
    DECClusterer,
    NClustersSearch,
    SCANClusterer,
)
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


def test_times_are_refused_as_their_numbers_depend_on_the_unit():
    days = pd.Series(pd.date_range("2020", periods=40))
    dates = pd.DataFrame({"start": days, "end": days + pd.Timedelta("1D")})
    lasting = pd.DataFrame({"size": np.arange(40.0), "span": days - days[0]})
    mixed = dates.assign(start=1.0)
    frames = [dates, lasting, mixed]
    for rows in [*frames, *map(pl.from_pandas, frames), dates.to_numpy()]:
        with pytest.raises(ValueError, match=r"holds dates(.|\n)*TabularEncoder"):
            SMALL.fit(rows)


def test_sparse_tensors_are_rows_as_sparse_matrices_are():
    model, rows = clone(SMALL).fit(X), X * (X > 0)
    np.testing.assert_array_equal(
        model.transform(torch.tensor(rows).to_sparse()),
        model.transform(csr_matrix(rows)),
    )


def test_column_or_row_of_a_frame_is_told_from_a_frame():
    frame = pd.DataFrame(X)
    for part in (frame[0], frame.iloc[0]):
        with pytest.raises(ValueError, match="Expected a 2-dimensional container"):
            SMALL.fit(part)


def test_device_without_numbers_is_refused():
    with pytest.raises(ValueError, match="'device' parameter of AutoencoderTransf"):
        clone(SMALL).set_params(device="meta").fit(X)


def test_refused_rows_do_not_disturb_those_who_predict_meanwhile():
    model, refused = clone(SMALL).fit(X), np.full_like(X, np.nan)
    ended = Event()

    def predict():
        while not ended.is_set():
            assert model.encoder_ is not None

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor() as pool:
            other = pool.submit(predict)
            for _ in range(300):
                with pytest.raises(ValueError, match="NaN"):
                    model.transform(refused)
            ended.set()
            other.result()
    finally:
        ended.set()
        sys.setswitchinterval(interval)


def test_too_few_rows_for_the_clusters_are_refused_by_name():
    with pytest.raises(ValueError, match="Each of n_clusters=61 needs a row"):
        DECClusterer(61).fit(X)


def test_class_in_place_of_an_autoencoder_is_refused_by_name():
    with pytest.raises(TypeError, match="'autoencoder' parameter of AEKMeans must be"):
        AEKMeans(2, autoencoder=type(SMALL)).fit(X)


def test_encoder_of_a_class_with_few_parameters_is_pretrained():
    class Narrow(AutoencoderTransformer):
        def __init__(self, n_components=2):
            super().__init__(n_components, hidden_layer_sizes=(8,), max_iter=1)

    model = AEKMeans(3, autoencoder=Narrow(), random_state=0).fit(X)
    assert model.transform(X).shape == (60, 2)


def test_encoder_that_is_frozen_twice_is_taken():
    frozen = FrozenEstimator(FrozenEstimator(clone(SMALL).fit(X)))
    model = DECClusterer(3, autoencoder=frozen, max_iter=1, random_state=0).fit(X)
    model.partial_fit(X)
    assert model.predict(X).shape == (60,)


def test_device_that_is_gone_is_blamed_on_the_estimator_that_names_it():
    model = AEKMeans(3, autoencoder=SMALL, random_state=0).fit(X)
    with pytest.raises(ValueError, match="'device' parameter of AEKMeans"):
        model.set_params(device="quantum").predict(X)
