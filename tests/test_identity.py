"""Parameters are told apart by what they do, in whatever process."""

import os
import subprocess
import sys
import threading
from functools import partial

import numpy as np
import pytest
import torch

from skdeep import identity
from skdeep.cluster import AEKMeans
from skdeep.identity import (
    described,
    described_code,
    described_parameters,
    description_of,
)

IS_KNOWN = "name in {'one', 'two', 'three', 'four'}"
"""Code that holds a frozenset."""


def doubled(x, _):
    return 2 * x


def times(factor):
    return lambda x: x * factor


def test_functions_are_known_by_what_they_do():
    assert described(times(2)) == described(times(2))
    assert described(times(2)) != described(times(3))
    assert described(lambda x: x * 2) != described(lambda x: x * 3)
    assert described(lambda x: abs(x)) != described(lambda x: len(x))
    assert described(lambda x, by=2: x * by) != described(lambda x, by=3: x * by)
    nested = [lambda x: (lambda y: y + 1)(x), lambda x: (lambda y: y + 2)(x)]
    assert described(nested[0]) != described(nested[1])
    assert described(doubled).startswith(f"{__name__}.doubled ")
    assert described(len) != described(abs)
    assert described(np.abs) != described(np.sqrt)


def test_functions_that_hold_themselves_are_known():
    def power(by):
        def own(x, n=2):
            return x if n == 1 else by * own(x, n - 1)

        return own

    assert described(power(2)) == described(power(2))
    assert described(power(2)) != described(power(3))


def test_functions_are_known_in_another_process():
    # The module alone: the package around it would import torch.
    program = f"""
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location({identity.__name__!r}, {identity.__file__!r})
module = module_from_spec(spec)
spec.loader.exec_module(module)
print(module.described(module.described))
names = {{"one", "two", "three", "four"}}
held = module.partial(module.described, within=(module.np.abs, names, frozenset(names)))
print(module.described(held))
print(module.described_code(compile({IS_KNOWN!r}, "", "eval"))[-1])
"""
    command = [sys.executable, "-c", program]
    surroundings = os.environ | {"PYTHONHASHSEED": "1"}
    printed = subprocess.check_output(command, env=surroundings)
    names = {"one", "two", "three", "four"}
    held = partial(described, within=(np.abs, names, frozenset(names)))
    constants = described_code(compile(IS_KNOWN, "", "eval"))[-1]
    expected = described(described), described(held), constants
    assert printed.decode() == "".join(f"{line}\n" for line in expected)


def test_keyword_only_defaults_tell_functions_apart():
    assert described(lambda x, *, by=2: x * by) != described(lambda x, *, by=3: x * by)


class Scaling:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x, _):
        return self.factor * x


def test_methods_are_known_by_their_object():
    assert described(Scaling(2).__call__) == described(Scaling(2).__call__)
    assert described(Scaling(2).__call__) != described(Scaling(3).__call__)


def test_networks_are_known_by_their_weights():
    def network(weight):
        layer = torch.nn.Linear(2, 2)
        torch.nn.init.constant_(layer.weight, weight)
        torch.nn.init.zeros_(layer.bias)
        return layer

    assert described(network(1)) == described(network(1))
    assert described(network(1)) != described(network(2))


def test_partials_are_known_by_what_they_fix():
    assert described(partial(doubled, _=1)) == described(partial(doubled, _=1))
    assert described(partial(doubled, _=1)) != described(partial(doubled, _=2))
    assert described(partial(doubled, _=1)) != described(partial(abs, _=1))


def script(text):
    """Return what the text of a script defines."""
    defined = {"__name__": "__main__"}
    exec(text, defined)
    return defined


FUNCTION = """
import numpy as np
def change(x, rng):
    return helper(x)
def helper(x):
    return np.abs(x) * FACTOR if len(x) else change(x, None)
"""


def test_functions_of_a_script_are_known_by_its_globals():
    twice, again = (script(f"FACTOR = 2{FUNCTION}")["change"] for _ in range(2))
    assert described(twice) == described(again)
    assert described(twice) != described(script(f"FACTOR = 3{FUNCTION}")["change"])
    twice.__globals__["unused"] = threading.Lock()
    assert described(twice) == described(again)


OBJECT = """
class Base:
    def __call__(self, x, rng):
        return x * self.factor()
class Change(Base):
    FACTOR = 2
    @staticmethod
    def factor():
        return 5
    @property
    def share(self):
        return 1 - 7
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [("x *", "x /"), ("= 2", "= 3"), ("return 5", "return 6"), ("7", "8")],
)
def test_objects_of_a_script_are_known_by_their_classes(old, new):
    first, again = (script(OBJECT)["Change"]() for _ in range(2))
    assert described(first) == described(again)
    assert described(first) != described(script(OBJECT.replace(old, new))["Change"]())
    again.strength = 1
    assert described(first) != described(again)


def test_what_cannot_be_known_again_is_named():
    lock = threading.Lock()
    model = AEKMeans(3, init=lambda: lock)
    with pytest.raises(ValueError, match="'init' parameter of AEKMeans holds what"):
        described_parameters(model, {"memory"})


def test_precision_is_known_by_what_it_comes_to_on_the_device(monkeypatch):
    model = AEKMeans(random_state=0)
    found = []
    for native in (True, False):
        monkeypatch.setattr(identity, "multiplies_bfloat16", lambda _, is_=native: is_)
        found.append(description_of(model, np.eye(3), None, set())["surroundings"])
    assert [each["products"] for each in found] == ["bfloat16", "float32"]
    given = description_of(model.set_params(precision="bfloat16"), None, None, set())
    assert given["surroundings"] == found[0]


ENCODER = """
from skdeep import AutoencoderTransformer
class Mine(AutoencoderTransformer):
    def __init__(self, n_components=2, *, random_state=None):
        super().__init__(
            n_components, hidden_layer_sizes=(SIZE,), random_state=random_state
        )
    def helper(self):
        return HELP
"""


def test_what_a_class_settles_by_itself_counts():
    def known(size, text):
        code = ENCODER.replace("SIZE", str(size)).replace("HELP", text)
        clusterer = AEKMeans(autoencoder=script(code)["Mine"]())
        return described_parameters(clusterer, set())

    assert known(16, "1") == known(16, "1")
    assert known(16, "1")["autoencoder__hidden_layer_sizes"] == [16]
    assert known(16, "1") != known(32, "1")
    assert known(16, "1") != known(16, "2")


ODD = """
import abc
import threading
from functools import cached_property
from skdeep import AutoencoderTransformer, DECClusterer
LOCK = threading.Lock()
class Abstract(AutoencoderTransformer, abc.ABC):
    pass
class Locked(AutoencoderTransformer):
    def helper(self):
        with LOCK:
            return 1
    @cached_property
    def cached(self):
        return 1
class Any(AutoencoderTransformer):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
class Leaf(Any):
    def __init__(self, n_components=3):
        super().__init__(n_components)
class Nested(DECClusterer):
    def __init__(self, n_clusters=3):
        super().__init__(n_clusters, autoencoder=AutoencoderTransformer(max_iter=TIMES))
"""


@pytest.mark.parametrize("name", ["Abstract", "Locked", "Leaf"])
def test_classes_of_any_make_are_known(name):
    known = [
        described_parameters(
            AEKMeans(autoencoder=script(f"TIMES = 1{ODD}")[name]()), set()
        )
        for _ in range(2)
    ]
    assert known[0] == known[1]


def test_estimators_that_a_class_settles_count_with_their_parameters():
    first, second = (
        described_parameters(script(f"TIMES = {n}{ODD}")["Nested"](), set())
        for n in (1, 2)
    )
    assert first["autoencoder__max_iter"] == 1
    assert first != second
