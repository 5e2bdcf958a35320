"""What keeps skdeep the way it was designed, read from its source."""

import ast
import importlib
import inspect
import re
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

import skdeep

PACKAGE = Path(skdeep.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}

# Topic -> what it may import: topics of skdeep, and packages beside the standard
# library. A new topic needs a line.
MAY_IMPORT = {
    "__init__": {"_version", "callbacks", "cluster", "compose", "generative"}
    | {"inspection", "io", "metrics", "representation"},
    "_compat": {"concurrency", "sklearn"},
    "_version": set(),
    "base": {"_compat", "_version", "nn", "parameters", "scaling", "tables"}
    | {"training", "warning", "numpy", "scipy", "sklearn", "torch"},
    "callbacks": {"_compat", "identity", "training", "warning", "sklearn"},
    "cluster": {"_compat", "base", "cluster", "metrics", "nn", "objectives"}
    | {"parameters", "representation", "scaling", "tables", "training", "warning"}
    | {"wrapping", "numpy", "scipy", "sklearn", "torch"},
    "concurrency": set(),
    "compose": {"_compat", "base", "compose", "sampling", "tables", "wrapping"}
    | {"numpy", "scipy", "sklearn"},
    "fitting": {"base", "nn", "parameters", "scaling", "training"}
    | {"numpy", "scipy", "torch"},
    "generative": {"_compat", "base", "fitting", "generative", "nn", "objectives"}
    | {"parameters", "sampling", "scaling", "training", "warning"}
    | {"numpy", "scipy", "sklearn", "torch"},
    "io": {"base", "cluster", "compose", "generative", "nn", "representation"}
    | {"storage", "numpy", "scipy", "sklearn", "torch"},
    "identity": {"_version", "training", "joblib", "numpy", "scipy", "sklearn"}
    | {"torch"},
    "inspection": {"_compat", "base", "inspection", "metrics", "parameters"}
    | {"sampling", "tables", "wrapping", "matplotlib", "numpy", "scipy", "sklearn"},
    "metrics": {"_compat", "metrics", "sampling", "tables", "warning", "wrapping"}
    | {"numpy", "scipy", "sklearn"},
    "nn": {"nn", "torch"},
    "objectives": {"objectives", "torch"},
    "parameters": {"warning", "numpy"},
    "representation": {
        "_compat",
        "_version",
        "base",
        "fitting",
        "identity",
        "nn",
        "objectives",
    }
    | {"parameters", "representation", "scaling", "training", "warning"}
    | {"wrapping", "joblib", "numpy", "scipy", "sklearn", "torch"},
    "sampling": {"numpy", "sklearn"},
    "scaling": {"numpy", "scipy", "sklearn"},
    "storage": {"numpy"},
    "tables": {"_compat", "numpy", "scipy", "torch"},
    "training": {"nn", "storage", "training", "warning"} | {"numpy", "scipy", "torch"},
    "warning": set(),
    "wrapping": {"sklearn"},
}

FAMILIES = {"cluster", "compose", "generative", "inspection", "metrics"} | {
    "representation"
}

# Extras that part of skdeep imports, inside functions.
OPTIONAL = {"matplotlib": "plot"}

every_file = pytest.mark.parametrize(
    "path", FILES, ids=[str(path.relative_to(PACKAGE)) for path in FILES]
)


def topic_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(tree):
    """Dotted names of all that a file imports, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_topics(tree):
    for name in imported_modules(tree):
        root, *parts = name.split(".")
        yield parts[0] if root == "skdeep" and parts else root


def dotted(node):
    """``a.b.c`` of an expression of names and attributes, else an empty string."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def calls(tree):
    return {dotted(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}


# imports


def test_every_topic_has_a_line_in_the_table():
    assert {topic_of(path) for path in FILES} == set(MAY_IMPORT)


@every_file
def test_imports_go_one_way(path):
    found = set(imported_topics(TREES[path])) - sys.stdlib_module_names
    assert found - MAY_IMPORT[topic_of(path)] == set()


def test_table_allows_nothing_that_no_file_imports():
    found = {topic: {topic} for topic in MAY_IMPORT}
    for path in FILES:
        found[topic_of(path)] |= set(imported_topics(TREES[path]))
    assert [t for t, allowed in MAY_IMPORT.items() if not allowed <= found[t]] == []


def test_table_allows_no_circles():
    topics = {t: allowed & set(MAY_IMPORT) - {t} for t, allowed in MAY_IMPORT.items()}
    while topics:
        free = [topic for topic, needed in topics.items() if not needed]
        assert free, f"a circle among {set(topics)}"
        topics = {t: needed - set(free) for t, needed in topics.items() if needed}


def test_what_others_keep_private_is_imported_in_one_place():
    for path in FILES:
        private = {
            name
            for name in imported_modules(TREES[path])
            if name.startswith("sklearn.callback")
            or (
                name.startswith("sklearn.")
                and any(part.startswith("_") for part in name.split("."))
            )
        }
        assert bool(private) == (path.name == "_compat.py"), (path, private)


def test_every_package_that_is_imported_is_declared():
    with (PACKAGE.parent / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    names = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]}
    declared = {name.replace("scikit-learn", "sklearn") for name in names}
    imported = {topic for tree in TREES.values() for topic in imported_topics(tree)}
    third_party = imported - sys.stdlib_module_names - set(MAY_IMPORT) - {"skdeep"}
    assert third_party - declared == set(OPTIONAL)
    for package, extra in OPTIONAL.items():
        assert package in project["optional-dependencies"][extra][0]


def test_optional_packages_are_imported_inside_functions():
    for path in FILES:
        top = ast.Module([n for n in TREES[path].body if "Import" in type(n).__name__])
        assert set(imported_topics(top)) & set(OPTIONAL) == set()


# style


@every_file
def test_no_arguments_are_forwarded_by_the_name_kwargs(path):
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.arguments) and node.kwarg:
            assert node.kwarg.arg != "kwargs", f"line {node.kwarg.lineno}"


@every_file
def test_nothing_prints_or_changes_the_state_of_the_process(path):
    forbidden = {
        "print",
        "np.random.seed",
        "numpy.random.seed",
        "random.seed",
        "torch.cuda.manual_seed",
        "torch.cuda.manual_seed_all",
        "torch.manual_seed",
        "torch.random.fork_rng",
        "torch.random.manual_seed",
        "torch.seed",
        "torch.set_default_device",
        "torch.set_default_dtype",
        "torch.set_num_interop_threads",
        "torch.set_num_threads",
    }
    if path.name == "threads.py":  # it gives the caller's number back
        forbidden.remove("torch.set_num_threads")
    assert calls(TREES[path]) & forbidden == set()


@every_file
def test_no_module_is_a_grab_bag(path):
    stem = path.parent.name if path.stem == "__init__" else path.stem
    grab_bags = {"common", "constants", "helper", "helpers", "misc", "util", "utils"}
    assert stem.strip("_") not in grab_bags


@every_file
def test_files_stay_small_and_finished(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) <= 24_000
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)


def test_files_of_a_family_are_private():
    # A family shows its estimators in its `__init__`; files behind it are free to move.
    for path in FILES:
        if topic_of(path) in FAMILIES:
            assert path.stem.startswith("_"), path


def test_package_files_only_import_and_name():
    allowed = ast.Import | ast.ImportFrom | ast.Assign | ast.Expr
    for path in FILES:
        if path.name == "__init__.py":
            assert all(isinstance(node, allowed) for node in TREES[path].body), path


def module_of(path):
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    return importlib.import_module(name.removesuffix(".__init__"))


def test_exported_names_exist():
    for path in FILES:
        module = module_of(path)
        exported = getattr(module, "__all__", [])
        assert len(exported) == len(set(exported))
        assert all(hasattr(module, name) for name in exported)


def test_all_of_each_family_is_at_the_top():
    for family in [*FAMILIES, "callbacks", "io"]:
        assert set(getattr(skdeep, family).__all__) <= set(skdeep.__all__)


# classes


def project_classes():
    for path in FILES:
        module = module_of(path)
        for _, found in inspect.getmembers(module, inspect.isclass):
            if found.__module__ == module.__name__:
                yield found


CLASSES = list(project_classes())
ESTIMATORS = [c for c in CLASSES if issubclass(c, BaseEstimator)]
CONCRETE = [c for c in ESTIMATORS if hasattr(c, "fit")]

every_estimator = pytest.mark.parametrize(
    "estimator", CONCRETE, ids=[c.__name__ for c in CONCRETE]
)


def test_concrete_estimators_are_the_public_ones():
    public = [getattr(skdeep, name) for name in skdeep.__all__]
    assert {c for c in ESTIMATORS if c in public} == set(CONCRETE)
    assert {c for c in CLASSES if hasattr(c, "fit")} == set(CONCRETE)
    assert len(CONCRETE) >= 4


@every_estimator
def test_estimators_do_not_inherit_from_one_another(estimator):
    above = [c for c in estimator.__mro__[1:] if c.__module__.startswith("skdeep")]
    assert set(above).isdisjoint(CONCRETE)
    assert len(above) <= 2
    assert all(c.__name__.startswith("Base") for c in above)


def test_nothing_concrete_is_overridden():
    for found in CLASSES:
        own = [c for c in found.__mro__ if c.__module__.startswith("skdeep")]
        for name in {name for c in own for name in vars(c) if name[0] != "_"}:
            defined = [c for c in own if name in vars(c)]
            concrete = [
                c
                for c in defined
                if not getattr(vars(c)[name], "__isabstractmethod__", False)
            ]
            assert len(concrete) <= 1, (name, concrete)


@every_estimator
def test_constructor_only_stores_its_parameters_in_order(estimator):
    source = inspect.getsource(estimator.__init__)
    function = ast.parse(source.strip()).body[0]
    arguments = function.args.args[1:] + function.args.kwonlyargs
    names = [argument.arg for argument in arguments]
    stored = [
        (dotted(node.targets[0]), dotted(node.value))
        for node in function.body
        if isinstance(node, ast.Assign)
    ]
    assert len(stored) == len(function.body)
    assert stored == [(f"self.{name}", name) for name in names]
    assert set(estimator._parameter_constraints) == set(names)
    assert len(function.args.args) == 2  # keyword-only after the first


@every_estimator
def test_body_of_fit_is_short(estimator):
    function = ast.parse(textwrap.dedent(inspect.getsource(estimator.fit))).body[0]
    first = function.body[1] if ast.get_docstring(function) else function.body[0]
    assert function.end_lineno - first.lineno < 60


def test_networks_know_no_fit():
    from skdeep.nn import Network

    networks = [c for c in CLASSES if issubclass(c, Network)]
    assert len(networks) >= 4
    for network in networks:
        assert not hasattr(network, "fit")
