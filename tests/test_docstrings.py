"""What the documentation says, held against what the code does."""

import ast
import inspect
import re

import numpy as np
import pandas as pd
import pytest
from numpydoc.docscrape import FunctionDoc, NumpyDocString
from numpydoc.validate import validate
from sklearn.base import clone
from sklearn.utils import Bunch

import skdeep
from skdeep.compose._table_format import TableFormat
from tests.estimators import BRIEF_FITS_WARN, ENCODERS, ESTIMATORS, PIPELINES, name_of

pytestmark = BRIEF_FITS_WARN

PUBLIC = {name: getattr(skdeep, name) for name in skdeep.__all__}
DISPLAYS = {name: found for name, found in PUBLIC.items() if hasattr(found, "plot")}
MODELS = {name: found for name, found in PUBLIC.items() if hasattr(found, "fit")}
CLASSES = {**MODELS, **DISPLAYS}
FUNCTIONS = {name: f for name, f in PUBLIC.items() if inspect.isfunction(f)}


def public_methods(found):
    """Methods of a class that skdeep wrote, its own and those of its bases."""
    for name in dir(found):
        method = inspect.getattr_static(found, name)
        module = getattr(method, "__module__", None) or getattr(
            getattr(found, name), "__module__", ""
        )
        if name[0] != "_" and module.startswith("skdeep"):
            yield name


METHODS = [
    f"{name}.{method}"
    for name, found in CLASSES.items()
    for method in public_methods(found)
]

every_class = pytest.mark.parametrize("name", CLASSES)
every_model = pytest.mark.parametrize("name", MODELS)
every_top_level = pytest.mark.parametrize("name", [*CLASSES, *FUNCTIONS])

# Codes of numpydoc.validate that everything public obeys: form (GL), summary (SS),
# parameters (PR), returns (RT), See Also (SA). Left out are
# - ES01: a summary may say it all;
# - SS02: "k-means" begins a sentence as it is written;
# - SS05: it takes "Rows" and "Minus" for verbs in the third person;
# - PR08: as SS02, for the description of a parameter;
# - RT02: returned values have names, as scikit-learn's have;
# - RT04: as SS02, for the description of a returned value.
ENFORCED = {
    *["GL01", "GL02", "GL03", "GL05", "GL06", "GL07", "GL08", "GL09", "GL10"],
    *["SS01", "SS03", "SS04", "SS06"],
    *["PR01", "PR02", "PR03", "PR04", "PR05", "PR06", "PR07", "PR09", "PR10"],
    *["RT01", "RT05", "YD01"],
    *["SA02", "SA03", "SA04"],
}
# Of methods "labels : ndarray of shape (n_samples,)" is enough, and the example of the
# class shows them; functions describe what they return, show it and point further.
ENFORCED_AT_THE_TOP = ENFORCED | {"RT03", "SA01", "EX01"}


def errors(name, enforced):
    found = validate(f"skdeep.{name}")["errors"]
    return [f"{code}: {text}" for code, text in found if code in enforced]


def test_all_that_is_public_is_looked_at():
    assert set(PUBLIC) - set(CLASSES) - set(FUNCTIONS) == {
        "CLUSTERING_SCORERS",
        "InvalidFileError",
        "SAMPLER_SCORERS",
        "TRUSTED_TYPES",
        "__version__",
        *skdeep.callbacks.__all__,
    }
    for name in CLASSES:
        methods = {m.split(".")[1] for m in METHODS if m.startswith(f"{name}.")}
        assert ("plot" if name in DISPLAYS else "fit") in methods
        assert methods & {"transform", "predict", "sample", "from_estimator"} or (
            name == "NClustersDisplay"
        )


@every_top_level
def test_docstring_is_complete(name):
    assert errors(name, ENFORCED_AT_THE_TOP) == []


@pytest.mark.parametrize("name", METHODS)
def test_docstring_of_a_method_is_complete(name):
    assert errors(name, ENFORCED) == []


@every_class
def test_class_has_references_and_an_example(name):
    sections = NumpyDocString(inspect.getdoc(CLASSES[name]))
    assert sections["References"] or name in DISPLAYS
    text = "\n".join(sections["Examples"])
    assert re.search(rf"^>>> from skdeep\.\w+ import .*\b{name}\b", text, re.MULTILINE)
    prompts = [line for line in text.splitlines() if line.startswith((">>>", "..."))]
    assert len(prompts) < 10


@every_top_level
def test_references_are_numbered_from_one(name):
    text = inspect.getdoc(PUBLIC[name])
    numbers = re.findall(r"^\.\. \[(\d+)\]", text, re.MULTILINE)
    assert numbers == [str(i + 1) for i in range(len(numbers))]
    assert set(re.findall(r"\[(\d+)\]_", text)) <= set(numbers)


# parameters


def documented_defaults(parameters):
    """Name -> default that the text states, as a Python value."""
    for parameter in parameters:
        stated = re.search(r"\bdefault=(.+)$", parameter.type)
        if stated:
            for name in parameter.name.split(", "):
                yield name, ast.literal_eval(stated[1])


def assert_documented_defaults_are_real(parameters, function):
    real = inspect.signature(function).parameters
    for name, stated in documented_defaults(parameters):
        assert stated == real[name].default, name
        assert type(stated) is type(real[name].default), name


@every_class
def test_defaults_of_the_constructor_are_the_documented_ones(name):
    parameters = NumpyDocString(inspect.getdoc(CLASSES[name]))["Parameters"]
    assert_documented_defaults_are_real(parameters, CLASSES[name])
    real = inspect.signature(CLASSES[name]).parameters
    optional = [p.name for p in real.values() if p.default is not p.empty]
    assert list(dict(documented_defaults(parameters))) == optional
    assert [p.name for p in parameters] == list(real)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_defaults_of_a_function_are_the_documented_ones(name):
    parameters = FunctionDoc(FUNCTIONS[name])["Parameters"]
    assert_documented_defaults_are_real(parameters, FUNCTIONS[name])
    real = inspect.signature(FUNCTIONS[name]).parameters.values()
    # Scorers have a y that is None where there are no labels.
    unstated = "y" if name.endswith("_scorer") else None
    stated = [p.name for p in real if p.default is not p.empty and p.name != unstated]
    assert list(dict(documented_defaults(parameters))) == stated


@pytest.mark.parametrize("name", METHODS)
def test_defaults_of_a_method_are_the_documented_ones(name):
    found, method = name.split(".")
    function = getattr(CLASSES[found], method)
    parameters = FunctionDoc(function)["Parameters"]
    assert_documented_defaults_are_real(parameters, function)
    ignored = [p.name for p in parameters if p.type == "None"]
    real = inspect.signature(function).parameters.values()
    optional = [p.name for p in real if p.default is not p.empty]
    stated = [*dict(documented_defaults(parameters)), *ignored]
    assert sorted(stated) == sorted(optional)


@every_model
def test_options_of_a_parameter_are_the_accepted_ones(name):
    found = CLASSES[name]
    for parameter in NumpyDocString(inspect.getdoc(found))["Parameters"]:
        constraints = found._parameter_constraints[parameter.name]
        accepted = {
            option for c in constraints for option in getattr(c, "options", set())
        }
        documented = set(re.findall(r'"(\w+)"', parameter.type.split("default=")[0]))
        assert documented == accepted, parameter.name
        assert ("None" in parameter.type) == (
            None in constraints or "random_state" in constraints
        )


# attributes


# Objectives of which every term has a weight.
ALL_TERMS = {
    "DCNClusterer": {"pseudo_label_weight": 1},
    "DECClusterer": {"pseudo_label_weight": 1},
    "IDECClusterer": {"pseudo_label_weight": 1},
    "AutoencoderTransformer": {"corruption": 0.3, "mask_weight": 1},
    "DeepInfoMaxTransformer": {"global_weight": 1, "prior_weight": 1},
    "DiffusionSampler": {"conditional": True},
    "FlowSampler": {"conditional": True},
    "GANSampler": {"conditional": True},
    "VAESampler": {"conditional": True},
}


@pytest.fixture(scope="module")
def fitted():
    X = pd.DataFrame(np.random.RandomState(0).randn(40, 3), columns=list("abc"))
    y = np.arange(40) % 3
    models = {}
    for estimator in [*ESTIMATORS, *ENCODERS, PIPELINES[0]]:
        brief = {
            name: 2 for name in estimator.get_params() if name.endswith("max_iter")
        }
        model = clone(estimator).set_params(
            **brief, **ALL_TERMS.get(name_of(estimator), {})
        )
        models[name_of(estimator)] = model.fit(X, y)
    return models


def documented_attributes(name):
    attributes = NumpyDocString(inspect.getdoc(CLASSES[name]))["Attributes"]
    return {
        name: attribute.type
        for attribute in attributes
        for name in attribute.name.split(", ")
    }


@every_model
def test_fitted_attributes_are_the_documented_ones(name, fitted):
    existing = {
        attribute
        for attribute in vars(fitted[name])
        if attribute.endswith("_") and not attribute.startswith("_")
    }
    documented = set(documented_attributes(name))
    of_steps = {  # which a pipeline asks for them
        attribute
        for attribute in documented
        if isinstance(getattr(CLASSES[name], attribute, None), property)
    }
    assert documented - of_steps == existing


@every_model
def test_fitted_attributes_have_the_documented_types(name, fitted):
    model = fitted[name]
    sizes = {
        "n_samples": 40,
        "n_features": 3,
        "n_features_in_": 3,
        "n_components": 2,
        "n_clusters": getattr(model, "n_clusters_", None)
        or getattr(model, "n_clusters", None),
        "n_timesteps": getattr(model, "n_timesteps", None),
        "n_classes": 3,
    }
    types = {
        "int": int,
        "float": float,
        "bool": bool,
        "dict": dict,
        "list": list,
        "Bunch": Bunch,
        "TableFormat": TableFormat,
        "dict of str to list of float": dict,
        "dict of str to ndarray": dict,
        "AutoencoderTransformer": skdeep.AutoencoderTransformer,
    }
    for attribute, text in documented_attributes(name).items():
        value = getattr(model, attribute)
        array = re.fullmatch(r"ndarray of shape \((.+?),?\)(?:, (\w+))?", text)
        if array:
            shape = tuple(sizes[size] for size in array[1].split(", "))
            assert value.shape == shape, attribute
            assert array[2] is None or value.dtype == array[2], attribute
        elif text in types:
            assert type(value) is types[text], attribute
        elif text == "estimator":
            assert hasattr(value, "get_params"), attribute
        elif text == "torch.nn.Module":
            assert hasattr(value, "state_dict"), attribute
        else:
            assert text.endswith(" or None"), f"unknown type of {attribute}: {text}"


@pytest.mark.parametrize("name", [name_of(e) for e in ESTIMATORS])
def test_history_has_the_documented_keys(name, fitted):
    attributes = NumpyDocString(inspect.getdoc(CLASSES[name]))["Attributes"]
    (history,) = [a for a in attributes if a.name == "history_"]
    keys = set(re.findall(r'``"(\w+)"``', " ".join(history.desc)))
    if keys:  # else it is that of another estimator, and says so
        assert keys == set(fitted[name].history_)
    else:
        assert "autoencoder" in " ".join(history.desc)
