"""Files of arrays and plain values: safetensors and JSON, written whole or not at all.

To read a file builds numbers, texts, lists, tuples, dicts and arrays, and calls
`rebuild` for the rest: nothing in a file is imported, looked up or run.
"""

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

MOST_TEXT = 2**20
"""Characters of JSON in a file, at most: numbers and texts by the thousand are arrays.

It bounds what can be made of a file before its arrays are looked at.
"""

LONG = 16
"""Length from which a list of floats, or of texts, is kept as an array."""

PLAIN_KINDS = "biufUO"
"""Kinds of the NumPy types that may be named in a file."""

Arrays = dict[str, np.ndarray]
Disassemble = Callable[[Any], tuple[str, Any]]
Rebuild = Callable[[str, Any], Any]


class InvalidFileError(ValueError):
    """A file that was damaged, made up, or is of another kind."""


def no_objects(value: Any) -> tuple[str, Any]:
    """Refuse whatever is no plain value."""
    raise TypeError(f"Cannot keep a {type(value).__name__} in a file: {value!r}.")


def no_classes(name: str, _: Any) -> Any:
    """Refuse whatever is no plain value."""
    raise InvalidFileError(f"it names a {name!r}, but holds plain values alone")


def write_file(
    path: Path,
    kind: str,
    value: Any,
    disassemble: Disassemble = no_objects,
    rebuild: Rebuild | None = None,
) -> None:
    """Write a value to a file, which replaces another in one instant.

    Whenever the process or the machine stops, the path has the old file or the new
    one, whole.

    Parameters
    ----------
    path : Path
    kind : str
        What kind of file it is.
    value : plain values and arrays
    disassemble : callable
        Name and plain state of any other object.
    rebuild : callable or None
        Tries first whether what is written could be read.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If the path is a device, a folder or the like.
    InvalidFileError
        If `rebuild` refuses the value; nothing is written then.
    """
    path = path.resolve()  # a link goes on pointing to the file
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(path.parent)!r}.")
    if path.exists() and not path.is_file():
        raise ValueError(f"{str(path)!r} is there already, and no regular file.")
    arrays: Arrays = {}
    document = json.dumps(encoded(value, "", arrays, disassemble), allow_nan=False)
    if len(document) > MOST_TEXT:
        raise ValueError(f"The text in {path} would exceed {MOST_TEXT} characters.")
    if rebuild is not None:
        decoded(json_of(document), arrays, set(arrays), rebuild)
    data = safetensors("numpy").save(
        arrays,
        {
            "kind": kind,
            "document": document,
            "sha256": digest(kind, document, arrays),
        },
    )
    part = path.with_name(f".{path.name[:100]}.{uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            part.chmod(stat.S_IMODE(path.stat().st_mode))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    if os.name == "posix":  # elsewhere directories cannot be opened
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def read_file(path: Path, kind: str, rebuild: Rebuild = no_classes) -> Any:
    """Read what `write_file` wrote.

    Raises
    ------
    InvalidFileError
        If it is not such a file, of this kind, bit by bit.
    """
    try:
        document, arrays = checked_contents(path, kind)
        unused = set(arrays)
        value = decoded(json_of(document), arrays, unused, rebuild)
        if unused:
            raise InvalidFileError(f"nothing refers to its arrays {sorted(unused)}")
    except OSError:
        raise
    except RecursionError as error:
        raise InvalidFileError(
            f"{path} is no valid {kind} file: its values are nested too deeply."
        ) from error
    except InvalidFileError as error:
        raise InvalidFileError(f"{path} is no valid {kind} file: {error}.") from error
    return value


def safetensors(part: str = "") -> Any:
    """Import safetensors, an optional dependency, or a part of it."""
    try:
        return import_module("safetensors" + f".{part}" * bool(part))
    except ImportError as error:
        raise ImportError(
            "Files of models and checkpoints need safetensors: pip install safetensors."
        ) from error


def checked_contents(path: Path, kind: str) -> tuple[str, Arrays]:
    """Document and arrays of a file, if its digest is theirs."""
    library = safetensors()
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    try:
        with library.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if set(metadata) != {"kind", "document", "sha256"}:
                raise InvalidFileError("something else wrote it")
            document = metadata["document"]
            if metadata["kind"] != kind:
                raise InvalidFileError(f"it is a {metadata['kind']!r} file")
            if len(document) > MOST_TEXT:
                raise InvalidFileError(f"it has {len(document)} characters of text")
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except InvalidFileError:
        raise
    except (library.SafetensorError, TypeError, ValueError, AttributeError) as error:
        raise InvalidFileError(str(error)) from error
    if digest(kind, document, arrays) != metadata["sha256"]:
        raise InvalidFileError("its digest differs: it was damaged")
    return document, arrays


def digest(kind: str, document: str, arrays: Arrays) -> str:
    """Digest of all that a file holds."""
    sha = hashlib.sha256(json.dumps([kind, document]).encode())
    for name, array in sorted(arrays.items()):
        sha.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        sha.update(np.atleast_1d(array).data)
    return sha.hexdigest()


def json_of(document: str) -> Any:
    """Parse JSON, without NaN and without depths that exhaust the stack."""

    def refuse(constant: str) -> Any:
        raise InvalidFileError(f"it holds {constant}")

    try:
        return json.loads(document, parse_constant=refuse)
    except RecursionError as error:
        raise InvalidFileError("its values are nested too deeply") from error
    except ValueError as error:  # also of numbers with too many digits
        raise InvalidFileError(str(error)) from error


def encoded(value: Any, path: str, arrays: Arrays, disassemble: Disassemble) -> Any:
    """Turn a value into JSON; its arrays go to `arrays`, named by their paths.

    Numbers, texts, lists and None are themselves; all else is ``{tag: what it holds}``.
    """

    def inner(value: Any, name: Any) -> Any:
        step = name if isinstance(name, str | int) else "key"
        return encoded(
            value, f"{path}.{step}" if path else str(step), arrays, disassemble
        )

    if isinstance(value, np.ndarray | np.generic):
        return encoded_array(value, path, arrays)
    if isinstance(value, np.dtype) and value.kind in PLAIN_KINDS:
        return {"dtype": value.str}
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, list):
        if len(value) >= LONG and all(type(v) is float for v in value):
            return {"floats": stored(np.array(value), path, arrays)}
        if len(value) >= LONG and all(type(v) is str for v in value):
            text = "".join(value).encode("utf-8", "surrogatepass")
            lengths = np.array([len(v) for v in value], dtype=np.int64)
            parts = np.frombuffer(text, np.uint8), lengths
            return {"texts": [stored(part, path, arrays) for part in parts]}
        return [inner(v, i) for i, v in enumerate(value)]
    if type(value) is tuple:
        return {"tuple": [inner(v, i) for i, v in enumerate(value)]}
    if type(value) is dict:
        return {"dict": [[inner(k, "key"), inner(v, k)] for k, v in value.items()]}
    name, state = disassemble(value)
    return {"object": [name, encoded(state, path, arrays, disassemble)]}


def encoded_array(value: Any, path: str, arrays: Arrays) -> Any:
    """Name of an array; texts become numbers, one a character."""
    array = np.asarray(value)
    if array.dtype == object or array.dtype.kind == "U":
        if not all(isinstance(text, str) for text in array.flat):
            no_objects(value)
        codes = np.array(array, dtype=np.str_, order="C")
        codes = codes.astype(f"<U{max(1, codes.dtype.itemsize // 4)}")
        is_object = array.dtype == object
        codes = codes.reshape(*array.shape, 1).view("<u4")
        return {"text": [stored(codes, path, arrays), is_object]}
    if array.dtype.kind in "mM" and isinstance(value, np.ndarray):
        times = array.astype(array.dtype.newbyteorder("<"))
        return {"times": [stored(times.view("<i8"), path, arrays), times.dtype.str]}
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        no_objects(value)
    tag = "array" if isinstance(value, np.ndarray) else "scalar"
    return {tag: stored(array, path, arrays)}


def stored(array: np.ndarray, path: str, arrays: Arrays) -> str:
    """Put an array among the others under its path, and return its name there."""
    name = path or "value"
    while name in arrays:
        name += "'"
    native = array.dtype.newbyteorder("=")
    arrays[name] = np.array(array, dtype=native, order="C")
    return name


def decoded(node: Any, arrays: Arrays, unused: set[str], rebuild: Rebuild) -> Any:
    """Value of what `encoded` returned; what it refers to is no longer `unused`."""

    def inner(node: Any) -> Any:
        return decoded(node, arrays, unused, rebuild)

    def array(name: Any) -> np.ndarray:
        if not isinstance(name, str) or name not in unused:
            raise InvalidFileError(f"it has no array {name!r}, or it is used twice")
        unused.remove(name)
        return arrays[name]

    if isinstance(node, list):
        return [inner(value) for value in node]
    if not isinstance(node, dict):
        return node
    if len(node) != 1:
        raise InvalidFileError(f"a value has the tags {sorted(node)}")
    [(tag, content)] = node.items()
    try:
        match tag, content:
            case "float", "nan" | "inf" | "-inf":
                return float(content)
            case "dtype", str():
                return dtype_of(content)
            case "array", _:
                return array(content)
            case "scalar", _:
                return array(content)[()]
            case "floats", _:
                return array(content).tolist()
            case "texts", [characters, lengths]:
                return texts_of(array(characters), array(lengths))
            case "times", [name, str(dtype)]:
                return times_of(array(name), dtype)
            case "text", [name, bool(is_object)]:
                return text_of(array(name), is_object)
            case "tuple", list():
                return tuple(inner(value) for value in content)
            case "dict", list():
                return {inner(key): inner(value) for key, value in content}
            case "object", [str(name), state]:
                return rebuild(name, inner(state))
    except (TypeError, KeyError, IndexError, OverflowError) as error:
        raise InvalidFileError(f"{tag!r} holds no such thing ({error})") from error
    raise InvalidFileError(f"it has an unknown tag {tag!r}")


def dtype_of(name: str) -> np.dtype:
    """Type of that name, if it is one of numbers, text or objects."""
    if not re.fullmatch(r"\|O|[<>|][biuf][1248]|[<>]U\d{1,6}", name):
        raise InvalidFileError(f"it names an unknown type {name!r}")
    return np.dtype(name)


def times_of(numbers: np.ndarray, name: str) -> np.ndarray:
    """Dates or durations in a unit from their numbers of it."""
    units = "Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as"
    if not re.fullmatch(rf"<[mM]8\[([1-9]\d{{0,8}})?({units})\]", name):
        raise InvalidFileError(f"it names an unknown type {name!r}")
    if numbers.dtype != np.int64:
        raise InvalidFileError("dates hold no numbers")
    return numbers.view(name[1:])


def texts_of(characters: np.ndarray, lengths: np.ndarray) -> list[str]:
    """Texts of given lengths, from the bytes of all of them."""
    if characters.dtype != np.uint8 or lengths.dtype != np.int64 or lengths.ndim != 1:
        raise InvalidFileError("texts hold no characters")
    try:
        text = characters.tobytes().decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise InvalidFileError("texts hold no characters") from error
    ends = [0, *lengths.cumsum().tolist()]
    if lengths.min(initial=0) < 0 or ends[-1] != len(text):
        raise InvalidFileError("texts are not as long as they should be")
    return [text[start:end] for start, end in pairwise(ends)]


def text_of(codes: np.ndarray, is_object: bool) -> np.ndarray:
    """Array of texts from the numbers of their characters."""
    if codes.dtype != np.uint32 or codes.ndim < 1 or codes.shape[-1] < 1:
        raise InvalidFileError("a text holds no characters")
    if codes.size and codes.max() > 0x10FFFF:
        raise InvalidFileError("a text holds no characters")
    width = codes.shape[-1]
    texts = np.ascontiguousarray(codes).view(f"<U{width}").reshape(codes.shape[:-1])
    return texts.astype(object) if is_object else texts
