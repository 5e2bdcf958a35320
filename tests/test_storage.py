import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from safetensors.numpy import save

from skdeep.storage import MOST_TEXT, InvalidFileError, digest, read_file, write_file

KIND = "values"

VALUES = [
    None,
    [True, 3, -(2**70), 1.5, "text", "\u0000 \U0001f600"],
    (1, (2.5, [()])),
    {"a": {1: "number", None: "none", (1, 2): "tuple"}, "b": []},
    [float("inf"), -float("inf")],
    [0.1 * n for n in range(40)],
    ["", "\u00fc", "end\u0000", "\udc80\U0001f600", *"many columns of a frame".split()]
    * 3,
    np.arange(6, dtype=">i2").reshape(2, 3),
    [np.float32(0.1), np.int8(-3), np.bool_(True)],
    np.array(["x", "", "\u00fc\U0001f600"]),
    np.array([["2020-01-01", "NaT"]], dtype="datetime64[ns]"),
    np.array([3, -1], dtype="timedelta64[25s]"),
    np.arange(3).astype(">M8[s]"),
    np.arange(2).astype("M8[as]"),
    np.array([["x"], ["longer"]], dtype=object),
    np.zeros((0, 3)),
    [np.dtype(np.float32), np.dtype(object), np.dtype("<U5")],
    np.array([], dtype=str),
    {"a.b": np.arange(2), "a": {"b": np.arange(3)}},  # of one path
    {1: np.arange(2), "1": np.arange(3)},
]


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype.newbyteorder("=")
        np.testing.assert_array_equal(a, b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        assert_same(list(a.values()), list(b.values()))
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for first, second in zip(a, b, strict=True):
            assert_same(first, second)
    else:
        assert a == b


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_values_come_back_as_they_were(value, tmp_path):
    write_file(tmp_path / "file", KIND, value)
    assert_same(read_file(tmp_path / "file", KIND), value)


def test_what_is_no_number_comes_back(tmp_path):
    write_file(tmp_path / "file", KIND, [float("nan")])
    (found,) = read_file(tmp_path / "file", KIND)
    assert type(found) is float
    assert np.isnan(found)


@pytest.mark.parametrize(
    "value",
    [
        len,
        {1, 2},
        np.array(["text", 3], dtype=object),
        np.zeros(2, complex),
        np.zeros(2, np.longdouble),
        np.datetime64("2020-01-01"),
        np.zeros(2, [("a", int)]),
        np.dtype([("a", int)]),
    ],
    ids=repr,
)
def test_what_is_no_plain_value_is_not_written(value, tmp_path):
    with pytest.raises(TypeError, match=r"Cannot keep a .* in a file"):
        write_file(tmp_path / "file", KIND, {"a": [value]})
    assert list(tmp_path.iterdir()) == []


def test_text_that_could_not_be_read_is_not_written(tmp_path):
    with pytest.raises(ValueError, match=f"exceed {MOST_TEXT} characters"):
        write_file(tmp_path / "file", KIND, "a" * MOST_TEXT)
    assert list(tmp_path.iterdir()) == []


def test_objects_in_a_file_of_plain_values_are_refused(tmp_path):
    write_file(tmp_path / "file", KIND, [len], lambda _: ("os.system", ["true"]))
    with pytest.raises(InvalidFileError, match=r"names a 'os\.system'"):
        read_file(tmp_path / "file", KIND)


@pytest.mark.parametrize(
    "codes",
    [
        np.zeros((2, 3), np.float32),
        np.zeros((2, 0), np.uint32),
        np.array(7, np.uint32),
        np.full((2, 1), 0x110000, np.uint32),
    ],
    ids=["floats", "no width", "no axis", "beyond Unicode"],
)
def test_numbers_that_are_no_characters_are_refused(codes, tmp_path):
    document, arrays = '{"text": ["value", false]}', {"value": codes}
    sha = digest(KIND, document, arrays)
    data = save(arrays, {"kind": KIND, "document": document, "sha256": sha})
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(InvalidFileError, match="a text holds no characters"):
        read_file(tmp_path / "file", KIND)


def test_many_texts_have_room(tmp_path):
    names = [f"gene {number}" for number in range(200_000)]
    write_file(tmp_path / "file", KIND, {"columns": names})
    assert read_file(tmp_path / "file", KIND) == {"columns": names}


@pytest.mark.parametrize(
    ("characters", "lengths", "text"),
    [
        (np.zeros(3), np.array([3]), "no characters"),
        (np.frombuffer(b"abc", np.uint8), np.array([3.0]), "no characters"),
        (np.frombuffer(b"abc", np.uint8), np.array([[3]]), "no characters"),
        (np.frombuffer(b"ab\xff", np.uint8), np.array([3]), "no characters"),
        (np.frombuffer(b"abc", np.uint8), np.array([2]), "not as long"),
        (np.frombuffer(b"abc", np.uint8), np.array([5, -2]), "not as long"),
    ],
)
def test_bytes_that_are_no_texts_are_refused(characters, lengths, text, tmp_path):
    document, arrays = '{"texts": ["a", "b"]}', {"a": characters, "b": lengths}
    sha = digest(KIND, document, arrays)
    data = save(arrays, {"kind": KIND, "document": document, "sha256": sha})
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(InvalidFileError, match=text):
        read_file(tmp_path / "file", KIND)


def test_missing_library_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match="pip install safetensors"):
        read_file(tmp_path / "file", KIND)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no folder '.*/models'"):
        write_file(tmp_path / "models" / "file", KIND, 1)


def test_link_goes_on_pointing_to_the_file(tmp_path):
    target = tmp_path / "model-3"
    link = tmp_path / "latest"
    link.symlink_to(target.name)
    for value in (1, 2):
        write_file(link, KIND, value)
        assert link.is_symlink()
        assert read_file(target, KIND) == value


def test_what_is_no_regular_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ValueError, match="no regular file"):
            write_file(path, KIND, 1)
    assert (tmp_path / "pipe").is_fifo()


def test_file_that_is_replaced_keeps_its_permissions(tmp_path):
    path = tmp_path / ("a" * 240)  # nearly as long as names may be
    write_file(path, KIND, 1)
    path.chmod(0o600)
    write_file(path, KIND, 2)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [*tmp_path.iterdir()] == [path]


def test_threads_may_write_one_file_at_once(tmp_path):
    path = tmp_path / "file"
    with ThreadPoolExecutor(3) as pool:
        written = [pool.submit(write_file, path, KIND, n) for n in range(30)]
    for each in written:
        each.result()
    assert read_file(path, KIND) in range(30)


@pytest.mark.parametrize(
    "document", ["1" * 5000, '{"tuple":[' * 400 + "1" + "]}" * 400]
)
def test_what_the_parser_cannot_take_is_refused(document, tmp_path):
    digest_of_it = digest(KIND, document, {})
    metadata = {"kind": KIND, "document": document, "sha256": digest_of_it}
    path = tmp_path / "file"
    path.write_bytes(save({}, metadata))
    with pytest.raises(InvalidFileError, match=r"digits|deeply"):
        read_file(path, KIND)


@pytest.mark.parametrize(
    ("numbers", "dtype"),
    [
        (np.zeros(3), "<M8[ns]"),
        (np.zeros(3, np.int64), "<f8"),
        (np.zeros(3, np.int64), "<M8[eons]"),
        (np.zeros(3, np.int64), "<M8"),
        (np.zeros(3, np.int64), "<M8[0s]"),
        (np.zeros(3, np.int64), ">M8[s]"),
    ],
)
def test_numbers_that_are_no_dates_are_refused(numbers, dtype, tmp_path):
    document, arrays = json.dumps({"times": ["a", dtype]}), {"a": numbers}
    metadata = {"kind": KIND, "document": document}
    metadata["sha256"] = digest(KIND, document, arrays)
    (tmp_path / "file").write_bytes(save(arrays, metadata))
    with pytest.raises(InvalidFileError, match=r"dates hold no numbers|unknown type"):
        read_file(tmp_path / "file", KIND)
