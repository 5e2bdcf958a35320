"""The code of the README, of the documentation and of the examples."""

import ast
import importlib
import re
import textwrap
from pathlib import Path

import matplotlib as mpl
import pytest

from skdeep.base import BaseDeepEstimator
from tests.estimators import ESTIMATORS, name_of

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))
RESULTS = "".join(p.read_text() for p in (ROOT / "benchmarks/results").glob("*.txt"))


def blocks_of(path):
    """Python blocks of a page, in order."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    found = re.findall(
        r"^\.\. code-block:: python\n\n((?:(?: +.*)?\n)+)", text, flags=re.MULTILINE
    )
    return [textwrap.dedent(block) for block in found]


PAGES = [README, *sorted((ROOT / "docs").glob("*.rst"))]
PAGES_WITH_CODE = [page for page in PAGES if blocks_of(page)]

PAGES_OF_DOCS = [page for page in PAGES_WITH_CODE if page != README]


def test_every_block_of_python_is_found():
    assert len(PAGES_WITH_CODE) >= 8
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        marked = text.count("```python") + text.count("code-block:: python")
        assert len(blocks_of(page)) == marked
        # What is neither marked nor another language would be left out.
        assert not re.search(r"::\n\n +(>>> |from |import )", text)


def imported_names(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("skdeep"):
            yield from ((node.module, alias.name) for alias in node.names)


@pytest.mark.parametrize(
    "path",
    [*PAGES_WITH_CODE, *EXAMPLES],
    ids=[path.name for path in [*PAGES_WITH_CODE, *EXAMPLES]],
)
def test_code_parses_and_imports_what_exists(path):
    code = path.read_text(encoding="utf-8")
    tree = ast.parse(code if path.suffix == ".py" else "\n".join(blocks_of(path)))
    for module, name in imported_names(tree):
        assert hasattr(importlib.import_module(module), name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
@pytest.mark.parametrize("page", PAGES_OF_DOCS, ids=[p.name for p in PAGES_OF_DOCS])
def test_code_of_a_page_runs(page, tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    namespace = {"__name__": "__main__"}
    for number, block in enumerate(blocks_of(page)):
        exec(compile(block, f"{page.name}, block {number}", "exec"), namespace)
    plt.close("all")


@pytest.mark.slow
def test_readme_runs_and_prints_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    text = README.read_text()
    (block,) = blocks_of(README)
    printed = re.search(r"```python\n.*?```\n```\n(.*?)```", text, flags=re.DOTALL)
    exec(block, {})
    assert capsys.readouterr().out == printed[1]


def test_figures_of_the_documentation_are_measured_ones():
    text = (ROOT / "docs/which_estimator.rst").read_text()
    figures = re.findall(r"\b0\.\d{3}\b", text)
    assert len(figures) >= 45
    assert set(figures) <= set(re.findall(r"\b0\.\d{3}\b", RESULTS))


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=name_of)
def test_html_representation_links_to_a_page_of_the_reference(estimator, monkeypatch):
    template = "pages/{estimator_module}.{estimator_name}.html"
    monkeypatch.setattr(BaseDeepEstimator, "_doc_link_template", template)
    family = type(estimator).__module__.rpartition(".")[0]
    name = name_of(estimator)
    assert f"pages/{family}.{name}.html" in estimator._repr_html_()
    reference = (ROOT / "docs/api.rst").read_text()
    after = reference.partition(f".. currentmodule:: {family}\n")[2]
    assert f"\n   {name}\n" in after.partition(".. currentmodule")[0]


# examples


def test_there_is_a_gallery():
    assert len(EXAMPLES) >= 12


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_example_has_a_title_a_picture_and_its_data_with_it(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    title, _, text = ast.get_docstring(tree).lstrip("=\n").partition("\n")
    assert title.strip()
    assert len(text) > 100
    assert "plt.show()" in path.read_text()
    loaders = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "sklearn.datasets"
        for alias in node.names
    }
    assert all(name.startswith(("load_", "make_")) for name in loaders)
