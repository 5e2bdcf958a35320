import base64
import json
import os
import pickle
import struct
import sys
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import skops.io
from numpydoc.docscrape import FunctionDoc
from numpydoc.validate import validate
from safetensors.numpy import load, load_file, save
from scipy.sparse import csr_array, csr_matrix
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import skdeep
import skdeep.io
from skdeep.callbacks import MetricMonitor
from skdeep.cluster import (
    AEKMeans,
    DECClusterer,
    IDECClusterer,
    SCANClusterer,
    VaDEClusterer,
)
from skdeep.compose import make_sampler_pipeline
from skdeep.generative import FlowSampler, VAESampler
from skdeep.io import InvalidFileError
from skdeep.nn.augmentation import ImageAugmentation, MarginalCorruption
from skdeep.representation import (
    AutoencoderTransformer,
    DeepInfoMaxTransformer,
    FineTunedClassifier,
    SimCLRTransformer,
)
from skdeep.storage import digest, write_file
from tests.estimators import (
    BRIEF_FITS_WARN,
    ESTIMATORS,
    PIPELINES,
    SMALL,
    SMALL_SAMPLER,
    name_of,
)
from tests.test_common import assert_equal_outputs
from tests.test_docstrings import ENFORCED_AT_THE_TOP

pytestmark = BRIEF_FITS_WARN

X = np.random.RandomState(0).rand(40, 4).astype(np.float32)
y = np.arange(40) % 3

IMAGES = {"image_shape": (1, 2, 2), "max_iter": 2}

VARIANTS = [
    make_sampler_pipeline(StandardScaler(), FlowSampler(**SMALL_SAMPLER)),
    PIPELINES[1],
    make_pipeline(StandardScaler(), AEKMeans(3, autoencoder=SMALL)),
    VAESampler(2, conditional=True, random_state=np.random.RandomState(0)).set_params(
        **SMALL_SAMPLER
    ),
    AutoencoderTransformer(2, augment=MarginalCorruption(0.2), **IMAGES),
    SimCLRTransformer(2, augment=ImageAugmentation(shift=0.2), **IMAGES),
    DeepInfoMaxTransformer(2, n_units=8, **IMAGES),
    AEKMeans(3, autoencoder=DeepInfoMaxTransformer(2, n_units=8, max_iter=2)),
]

every_estimator = pytest.mark.parametrize(
    "estimator", [*ESTIMATORS, *VARIANTS], ids=name_of
)


def fitted(estimator):
    model = clone(estimator)
    if "random_state" in model.get_params() and model.random_state is None:
        model.set_params(random_state=0)
    return model.fit(X, y)


def round_trip(model, tmp_path):
    path = tmp_path / "model.safetensors"
    skdeep.io.save(model, path)
    return skdeep.io.load(path)


def assert_same(a, b, path=""):
    """Hold all that two values hold against each other, with its types."""
    assert type(a) is type(b), path
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype, path
        np.testing.assert_array_equal(a, b, err_msg=path)
    elif isinstance(a, dict):
        assert list(a) == list(b), path
        for name in a:
            assert_same(a[name], b[name], f"{path}.{name}")
    elif isinstance(a, list | tuple):
        for i, (first, second) in enumerate(zip(a, b, strict=True)):
            assert_same(first, second, f"{path}.{i}")
    elif hasattr(a, "get_params"):
        assert_same(a.__getstate__(), b.__getstate__(), path)
    elif isinstance(a, np.random.RandomState):
        assert_same(a.get_state(), b.get_state(), path)
    else:
        assert a == b or (a != a and b != b), path


# what is kept


@every_estimator
def test_loaded_model_does_the_same(estimator, tmp_path):
    model = fitted(estimator)
    loaded = round_trip(model, tmp_path)
    assert type(loaded) is type(model)
    if not getattr(model, "conditional", False):
        assert_equal_outputs(model, loaded, X)
    assert_same(model, loaded)


@pytest.mark.slow
@every_estimator
def test_loaded_model_fits_again(estimator, tmp_path):
    loaded = round_trip(fitted(estimator), tmp_path)
    again = round_trip(clone(loaded), tmp_path)
    again.fit(X, y)


def test_frame_comes_back_out_of_a_loaded_pipeline(tmp_path):
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = clone(VARIANTS[0]).fit(frame)
    drawn = round_trip(model, tmp_path).sample(3, random_state=0)
    pd.testing.assert_frame_equal(drawn, model.sample(3, random_state=0))


def test_names_classes_and_output_survive(tmp_path):
    from skdeep.representation import FineTunedClassifier

    frame = pd.DataFrame(X, columns=["a", "b", "ü", "long name"])
    names = np.array(["x", "yy", "z"], dtype=object)[y]
    encoder = clone(SMALL).set_params(max_iter=1)
    model = FineTunedClassifier(encoder, max_iter=1, frozen_iter=1).fit(frame, names)
    loaded = round_trip(model, tmp_path)
    assert loaded.feature_names_in_.tolist() == [*frame.columns]
    assert loaded.feature_names_in_.dtype == object
    assert loaded.classes_.tolist() == ["x", "yy", "z"]
    assert (loaded.predict(frame) == model.predict(frame)).all()
    table = clone(encoder).set_output(transform="pandas").fit(frame)
    assert list(round_trip(table, tmp_path).transform(frame)) == [
        "autoencodertransformer0",
        "autoencodertransformer1",
    ]


@pytest.mark.parametrize("encoder", [SMALL, DeepInfoMaxTransformer(2, max_iter=1)])
def test_frozen_encoder_comes_along(tmp_path, encoder):
    frozen = FrozenEstimator(fitted(encoder))
    model = fitted(DECClusterer(3, autoencoder=frozen, max_iter=2))
    loaded = round_trip(model, tmp_path)
    assert isinstance(loaded.autoencoder, FrozenEstimator)
    assert_equal_outputs(model, loaded, X)


def test_callbacks_and_cache_are_left_behind(tmp_path):
    from skdeep.callbacks import EarlyStopping

    model = AEKMeans(
        3, autoencoder=SMALL, memory=str(tmp_path / "cache"), random_state=0
    )
    model.set_callbacks(EarlyStopping()).fit(X)
    loaded = round_trip(model, tmp_path)
    assert loaded.memory is None
    assert "_skl_callbacks" not in vars(loaded)
    assert model.memory is not None


def test_requests_of_metadata_are_left_behind(tmp_path):
    with config_context(enable_metadata_routing=True):
        model = make_sampler_pipeline(
            StandardScaler().set_fit_request(sample_weight=True),
            FlowSampler(n_couplings=2, max_iter=1),
        ).fit(X, sample_weight=np.ones(len(X)))
        scaler = model[0]
        loaded = round_trip(model, tmp_path)
        assert "_metadata_request" in vars(scaler)
        assert "_metadata_request" not in vars(loaded[0])
        np.testing.assert_array_equal(loaded.score_samples(X), model.score_samples(X))
        classifier = FineTunedClassifier(SMALL).set_score_request(sample_weight=True)
        assert "_metadata_request" not in vars(round_trip(classifier, tmp_path))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda model: model.set_params(n_clusters=5), "cluster_centers_ is no"),
        (lambda model: model.set_params(init="gmm"), "'init' parameter"),
        (lambda model: setattr(model, "note_", "mine"), "note_"),
    ],
)
def test_what_would_not_load_is_not_written(change, text, tmp_path):
    model = AEKMeans(3, autoencoder=SMALL, random_state=0).fit(X)
    path = tmp_path / "model"
    skdeep.io.save(model, path)
    before = path.read_bytes()
    change(model)
    with pytest.raises(ValueError, match=f"AEKMeans would not load again: .*{text}"):
        skdeep.io.save(model, path)
    assert path.read_bytes() == before


def test_weights_can_be_read_by_others(tmp_path):
    model = fitted(SMALL)
    skdeep.io.save(model, tmp_path / "model")
    arrays = load_file(tmp_path / "model")
    weight = model.encoder_.layers[0].weight.detach().numpy()
    np.testing.assert_array_equal(arrays["encoder_.weights.layers.0.weight"], weight)


def test_saving_again_replaces_and_failing_leaves_what_was(tmp_path):
    path = tmp_path / "model"
    skdeep.io.save(fitted(SMALL), path)
    first = path.read_bytes()
    skdeep.io.save(fitted(clone(SMALL).set_params(n_components=3)), path)
    second = path.read_bytes()
    assert first != second
    with pytest.raises(TypeError):
        skdeep.io.save(make_pipeline(FunctionTransformer(len)), path)
    assert path.read_bytes() == second
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize(
    ("unknown", "text"),
    [
        (LogisticRegression(), r"knows no sklearn\.linear_model.*LogisticRegression"),
        (AutoencoderTransformer(augment=lambda x, _: x), "knows no builtins.function"),
        (PIPELINES[0], "KernelDensity"),
        (3, "must be an estimator. Got int"),
    ],
)
def test_what_cannot_be_kept_is_said(unknown, text, tmp_path):
    if unknown is PIPELINES[0]:
        unknown = clone(unknown).fit(X)
    with pytest.raises(TypeError, match=text):
        skdeep.io.save(unknown, tmp_path / "model")
    assert os.listdir(tmp_path) == []


def test_other_version_is_named(tmp_path, monkeypatch):
    model = fitted(SMALL)
    monkeypatch.setattr("skdeep.base.__version__", "0.0.1")
    skdeep.io.save(model, tmp_path / "model")
    monkeypatch.undo()
    text = f"skdeep 0.0.1 when using version skdeep {skdeep.__version__}"
    with pytest.warns(InconsistentVersionWarning, match=text):
        skdeep.io.load(tmp_path / "model")


def test_model_of_a_device_that_is_not_here_is_brought_home(tmp_path):
    model = fitted(SMALL)
    model.device = "cuda:7"
    loaded = round_trip(model, tmp_path)
    with pytest.raises(ValueError, match="'cpu' always works"):
        loaded.transform(X)
    loaded.set_params(device="cpu").transform(X)


@pytest.mark.parametrize(
    "estimator",
    [
        DECClusterer(3, autoencoder=SMALL, max_iter=1),
        VaDEClusterer(3, autoencoder=SMALL, max_iter=1),
        SCANClusterer(3, encoder=SMALL, max_iter=1, self_label_iter=0),
        FineTunedClassifier(SMALL, max_iter=1),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_networks_inside_go_where_their_owner_goes(estimator, tmp_path):
    y = np.arange(len(X)) % 3
    model = clone(estimator).set_params(random_state=0).fit(X, y)
    expected = model.predict_proba(X)
    inner = getattr(model, "autoencoder_", None) or model.encoder_
    assert inner.device == "auto"
    inner.device = model.device = "cuda:7"  # as if it had been fitted there
    loaded = round_trip(model, tmp_path)
    with pytest.raises(ValueError, match="'cpu' always works"):
        loaded.predict_proba(X)
    loaded.set_params(device="cpu")
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    if hasattr(loaded, "sample"):
        loaded.sample(2)


@pytest.mark.parametrize("container", [np.asarray, csr_matrix, csr_array])
@pytest.mark.parametrize("Clusterer", [DECClusterer, IDECClusterer])
def test_stream_goes_on_after_its_model_was_kept(Clusterer, container, tmp_path):
    rows = container(X)
    model = Clusterer(3, autoencoder=SMALL, n_init=2, max_iter=1, random_state=0)
    model.partial_fit(rows[:30])
    loaded = round_trip(model, tmp_path)
    trusted = skops.io.loads(skops.io.dumps(model), trusted=skdeep.io.TRUSTED_TYPES)
    expected = model.partial_fit(rows[30:]).predict_proba(X)
    for kept in (loaded, trusted):
        kept.partial_fit(rows[30:])
        np.testing.assert_array_equal(kept.predict_proba(X), expected)
        assert kept.reservoir_.n_seen == len(X)


# skops


@every_estimator
def test_skops_needs_trust_in_documented_types_alone(estimator):
    data = skops.io.dumps(fitted(estimator))
    untrusted = set(skops.io.get_untrusted_types(data=data))
    own = {name for name in untrusted if name.startswith("skdeep")}
    assert own <= set(skdeep.io.TRUSTED_TYPES)
    others = {name for name in untrusted - own if "random" not in name}
    assert others == set()


def test_every_public_estimator_can_be_kept():
    public = {
        name
        for name in skdeep.__all__
        if isinstance(getattr(skdeep, name), type)
        and issubclass(getattr(skdeep, name), BaseEstimator)
    }
    assert public <= set(skdeep.io.CLASSES)
    assert public <= {name.rpartition(".")[2] for name in skdeep.io.TRUSTED_TYPES}


INSTANCES = {
    "FrozenEstimator": FrozenEstimator(StandardScaler()),
    "Pipeline": make_pipeline(StandardScaler()),
}


@pytest.mark.parametrize("name", skdeep.io.OTHERS)
def test_every_class_of_others_can_be_kept(name, tmp_path):
    found = skdeep.io.OTHERS[name]
    model = INSTANCES.get(found.__name__) or found()
    if "n_quantiles" in model.get_params():
        model.set_params(n_quantiles=10)
    inner = getattr(model, "estimator", model)
    inner.fit(X)
    loaded = round_trip(model, tmp_path)
    assert_same(model, loaded)
    method = "transform" if hasattr(model, "transform") else "predict_proba"
    found, expected = getattr(loaded, method)(X), getattr(model, method)(X)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_imputers_of_text_and_with_an_indicator_can_be_kept(tmp_path):
    table = np.array([["a", None], ["a", "b"], [None, "b"]], dtype=object)
    imputer = SimpleImputer(
        missing_values=None, strategy="most_frequent", add_indicator=True
    ).fit(table)
    loaded = round_trip(imputer, tmp_path)
    assert loaded.transform(table).tolist() == imputer.transform(table).tolist()


# what is refused


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("io") / "model.safetensors"
    skdeep.io.save(fitted(AEKMeans(3, autoencoder=SMALL)), path)
    return path.read_bytes()


def parts_of(data):
    """Arrays and JSON of a file, free to be changed."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    document = json.loads(header.pop("__metadata__")["document"])
    return load(data), document


def forged(arrays, document, kind="skdeep model", **metadata):
    """Write a file with a right digest."""
    text = document if isinstance(document, str) else json.dumps(document)
    sha = digest(kind, text, arrays)
    return save(arrays, {"kind": kind, "document": text, "sha256": sha, **metadata})


def refused(data, tmp_path, match=None):
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(InvalidFileError, match=match):
        skdeep.io.load(path)


def entry(document, *names):
    """Find the pair of a name in the nested dicts of a document."""
    for name in names:
        node = document["object"][1] if "object" in document else document
        (pair,) = [pair for pair in node["dict"] if pair[0] == name]
        document = pair[1]
    return pair


def test_forged_file_that_is_right_is_read(model_file, tmp_path):
    (tmp_path / "model").write_bytes(forged(*parts_of(model_file)))
    skdeep.io.load(tmp_path / "model")


def damaged(data):
    """200 ways to damage a file: name -> bytes."""
    rng = np.random.RandomState(0)
    files = {}
    for n in [0, 1, 7, 8, 9, *np.linspace(10, len(data) - 1, 65).astype(int)]:
        files[f"cut at {n}"] = data[:n]
    header = 8 + int.from_bytes(data[:8], "little")
    places = [
        *range(8),
        *rng.randint(8, header, 40),
        *rng.randint(header, len(data), 40),
    ]
    for place in places:
        bit = 1 << rng.randint(8)
        flipped = data[place] ^ bit
        files[f"bit {bit} of {place}"] = (
            data[:place] + bytes([flipped]) + data[place + 1 :]
        )
    for size in (2**20, 2**32, 2**62, 2**64 - 1, 100_000_001):
        files[f"header of {size}"] = struct.pack("<Q", size) + data[8:]
    for extra in (1, 8, 1000):
        files[f"{extra} bytes more"] = data + bytes(extra)
    for _ in range(30):
        start, stop = sorted(rng.randint(0, len(data), 2))
        files[f"without {start} to {stop}"] = data[:start] + data[stop + 1 :]
    files |= {
        "text": b"not a model",
        "pickle": pickle.dumps({"a": 1}),
        "zeros": bytes(1000),
        "ones": b"\xff" * 1000,
        "zip": b"PK\x03\x04" + bytes(100),
        "json": b"{}",
    }
    return files


def test_200_damaged_files_are_refused(model_file, tmp_path, record_property):
    files = damaged(model_file)
    assert len(files) >= 200
    record_property("damaged files refused", len(files))
    for name, data in files.items():
        assert data != model_file, name
        path = tmp_path / "model.safetensors"
        path.write_bytes(data)
        tracemalloc.start()
        try:
            with pytest.raises(InvalidFileError):
                skdeep.io.load(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 2 * len(model_file) + 100_000, name


CODE = "import os; os.environ['SKDEEP_WAS_HERE'] = '1'"


class Bomb:
    def __reduce__(self):
        return exec, (CODE,)


FORGERIES = {
    "unknown class": lambda f: f.document["object"].__setitem__(0, "os.system"),
    "function": lambda f: f.document["object"].__setitem__(0, "save"),
    "other class": lambda f: f.document["object"].__setitem__(0, "DECClusterer"),
    "metaclass": lambda f: f.document["object"].__setitem__(0, "__builtins__"),
    "unknown tag": lambda f: entry(f.document, "n_clusters").__setitem__(
        1, {"eval": "1"}
    ),
    "two tags": lambda f: entry(f.document, "n_clusters").__setitem__(
        1, {"float": "nan", "tuple": []}
    ),
    "no such float": lambda f: entry(f.document, "alpha").__setitem__(
        1, {"float": "1e5"}
    ),
    "type of records": lambda f: entry(f.document, "alpha").__setitem__(
        1, {"dtype": "f8,f8"}
    ),
    "type too wide": lambda f: entry(f.document, "alpha").__setitem__(
        1, {"dtype": "<U99999999999"}
    ),
    "extra key": lambda f: f.document["object"][1]["dict"].append(["evil_", 1]),
    "hidden method": lambda f: f.document["object"][1]["dict"].append(["predict", 1]),
    "dunder": lambda f: f.document["object"][1]["dict"].append(["__class__", "Bomb"]),
    "missing key": lambda f: f.document["object"][1]["dict"].remove(
        entry(f.document, "alpha")
    ),
    "missing weights": lambda f: f.document["object"][1]["dict"].remove(
        entry(f.document, "cluster_centers_")
    ),
    "key that is no name": lambda f: f.document["object"][1]["dict"].append([3, 1]),
    "unhashable key": lambda f: f.document["object"][1]["dict"].append([[1], 1]),
    "parameter out of range": lambda f: entry(f.document, "n_clusters").__setitem__(
        1, -3
    ),
    "parameter of another type": lambda f: entry(f.document, "alpha").__setitem__(
        1, "x"
    ),
    "more clusters": lambda f: entry(f.document, "n_clusters").__setitem__(1, 4),
    "folder of pickles": lambda f: entry(f.document, "memory").__setitem__(
        1, "/tmp/evil"
    ),
    "array of nothing": lambda f: entry(f.document, "labels_").__setitem__(
        1, {"array": "../../etc/passwd"}
    ),
    "array twice": lambda f: entry(f.document, "labels_").__setitem__(
        1, {"array": "cluster_centers_"}
    ),
    "array too many": lambda f: f.arrays.__setitem__("../evil", np.zeros(3)),
    "array too few": lambda f: f.arrays.pop("cluster_centers_"),
    "array of another shape": lambda f: f.arrays.__setitem__(
        "cluster_centers_", np.zeros((3, 1), np.float32)
    ),
    "array of another type": lambda f: f.arrays.__setitem__(
        "cluster_centers_", f.arrays["cluster_centers_"].astype(np.float64)
    ),
    "labels of floats": lambda f: f.arrays.__setitem__("labels_", np.zeros(40)),
    "other features": lambda f: f.arrays.__setitem__(
        "autoencoder_.offset_", np.zeros(5)
    ),
    "weights of another shape": lambda f: f.arrays.__setitem__(
        "autoencoder_.encoder_.weights.layers.0.weight", np.zeros((16, 5), np.float32)
    ),
    "weights of another type": lambda f: f.arrays.__setitem__(
        "autoencoder_.encoder_.weights.layers.0.weight", np.zeros((16, 4), np.int32)
    ),
    "text for a number": lambda f: entry(f.document, "n_iter_").__setitem__(1, "9"),
    "text for a network": lambda f: entry(
        f.document, "autoencoder_", "encoder_"
    ).__setitem__(1, "MLP"),
    "dict for an estimator": lambda f: entry(f.document, "autoencoder_").__setitem__(
        1, entry(f.document, "autoencoder_")[1]["object"][1]
    ),
    "unknown network": lambda f: entry(
        f.document, "autoencoder_", "encoder_", "network"
    ).__setitem__(1, "Sequential"),
    "huge network": lambda f: entry(
        f.document, "autoencoder_", "encoder_", "arguments", "sizes"
    ).__setitem__(1, [4, 10**12, 2]),
    "deep network": lambda f: entry(
        f.document, "autoencoder_", "encoder_", "arguments", "sizes"
    ).__setitem__(1, [4] * 5000),
    "unknown arguments": lambda f: entry(
        f.document, "autoencoder_", "encoder_", "arguments"
    )[1]["dict"].append(["evil", 1]),
    "no dict": lambda f: f.document["object"].__setitem__(1, [1, 2]),
    "no object": lambda f: f.document.__setitem__("object", ["AEKMeans"]),
    "a list": lambda _: [1, 2, 3],
    "a number": lambda _: 3,
    "nan": lambda _: "NaN",
    "no json": lambda _: "{",
    "deep": lambda _: "[" * 100_000 + "]" * 100_000,
    "long": lambda _: "[" + "1," * 600_000 + "1]",
    "pickle": lambda _: json.dumps(
        {"pickle": base64.b64encode(pickle.dumps(Bomb())).decode()}
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_forged_file_is_refused(forgery, model_file, tmp_path):
    os.environ.pop("SKDEEP_WAS_HERE", None)
    before = set(sys.modules)
    arrays, document = parts_of(model_file)
    changed = forgery(SimpleNamespace(arrays=arrays, document=document))
    if not isinstance(changed, str | list | int):
        changed = document
    refused(forged(arrays, changed), tmp_path)
    assert "SKDEEP_WAS_HERE" not in os.environ
    assert not {"antigravity", "this"} & (set(sys.modules) - before)


def test_file_of_another_kind_is_refused(model_file, tmp_path):
    arrays, document = parts_of(model_file)
    refused(forged(arrays, document, "skdeep checkpoint"), tmp_path, "checkpoint")
    refused(forged(arrays, document, more="1"), tmp_path, "something else wrote it")
    refused(save(arrays), tmp_path, "something else wrote it")
    refused(forged(arrays, document, sha256="0" * 64), tmp_path, "digest")


@pytest.mark.parametrize("value", [3, [1, 2], np.random.RandomState(0)], ids=type)
def test_file_without_an_estimator_is_refused(value, tmp_path):
    write_file(tmp_path / "model", "skdeep model", value, skdeep.io.disassembled)
    refused((tmp_path / "model").read_bytes(), tmp_path, "holds no estimator")


def test_flow_that_claims_to_be_long_is_refused(tmp_path):
    path = tmp_path / "flow"
    skdeep.io.save(fitted(FlowSampler(n_couplings=2, **SMALL_SAMPLER)), path)
    arrays, document = parts_of(path.read_bytes())
    entry(document, "flow_", "arguments", "n_couplings")[1] = 900
    refused(forged(arrays, document), tmp_path, "fewer weights than its layers")


def test_table_of_an_unknown_package_is_refused(tmp_path):
    path = tmp_path / "pipeline"
    frame = pd.DataFrame(X, columns=list("abcd"))
    skdeep.io.save(clone(VARIANTS[0]).fit(frame), path)
    arrays, document = parts_of(path.read_bytes())
    entry(document, "format_", "container")[1] = "antigravity"
    path.write_bytes(forged(arrays, document))
    with pytest.raises(ValueError, match="antigravity"):
        skdeep.io.load(path).sample(1)
    assert "antigravity" not in sys.modules


def test_only_files_are_read(tmp_path):
    for path in (tmp_path, tmp_path / "missing", "/dev/null"):
        with pytest.raises(FileNotFoundError, match="There is no file"):
            skdeep.io.load(path)
    with pytest.raises(FileNotFoundError):
        skdeep.io.save(SMALL, tmp_path / "missing" / "model")


def test_docstrings_strip_away_says_why(monkeypatch):
    monkeypatch.setattr(AEKMeans, "__doc__", None)
    monkeypatch.setattr("inspect.getdoc", lambda _: None)
    skdeep.io.documented.cache_clear()
    with pytest.raises(RuntimeError, match="without -OO"):
        skdeep.io.documented(AEKMeans)
    skdeep.io.documented.cache_clear()


@pytest.mark.parametrize("name", ["save", "load"])
def test_docstrings_are_complete(name):
    found = validate(f"skdeep.io.{name}")["errors"]
    assert [e for e in found if e[0] in ENFORCED_AT_THE_TOP] == []
    assert FunctionDoc(getattr(skdeep.io, name))["Examples"]


def test_classes_that_are_dates_come_back(tmp_path):
    dates = np.resize(pd.date_range("2020", periods=2).to_numpy(), len(X))
    model = FlowSampler(**SMALL_SAMPLER, conditional=True, random_state=0)
    skdeep.io.save(model.fit(X, dates), tmp_path / "model")
    again = skdeep.io.load(tmp_path / "model")
    assert again.classes_.dtype == dates.dtype
    np.testing.assert_array_equal(again.classes_, model.classes_)
    scores = [found.score_samples(X, dates) for found in (model, again)]
    np.testing.assert_array_equal(*scores)


def test_models_that_monitors_see_can_be_kept(tmp_path):
    def keep(model, X, y=None):  # noqa: ARG001
        skdeep.io.save(model, tmp_path / "model")
        return 0.0

    monitor = MetricMonitor({"kept": keep})
    model = DECClusterer(3, autoencoder=SMALL, max_iter=2, n_init=2, random_state=0)
    model.set_callbacks(monitor).fit(X)
    kept = skdeep.io.load(tmp_path / "model")
    assert kept.predict(X).shape == (len(X),)
    assert kept.partial_fit(X).reservoir_.n_seen == len(X)
