"""The code of the README, of the documentation and of the examples."""

import ast
import importlib
import re
import textwrap
from pathlib import Path

import matplotlib as mpl
import pytest

from skdeep.base import BaseDeepEstimator
from tests.estimators import ENCODERS, ESTIMATORS, PIPELINES, name_of

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))
RESULTS = ROOT / "benchmarks" / "results"


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


# figures

SETS = {
    "20 Newsgroups": "newsgroups20",
    "MNIST, 10 000 test images": "mnist",
    "Reuters R8": "reuters_r8",
    "satimage (a table)": "satimage",
    "worm neurons": "worm",
}
"""Name of a set in the text -> in the results, where they differ."""

SPEEDS = {
    "the papers' autoencoder, 10 000 x 784": "^autoencoder ",
    "DEC, between refreshes of the target": "^DEC clustering, between",
    "DEC between refreshes of the target": "^DEC clustering, between",
    "DEC with a refresh each epoch": "^DEC clustering, a refresh",
    "IDEC between refreshes of the target": "^IDEC clustering, between",
    "IDEC with a refresh each epoch": "^IDEC clustering, a refresh",
    "DCN": "^DCN clustering ",
    "a small network, 500 x 10": "^small table(?s:.*?)ClustPy, faster",
    "the default network, digits": "^default network(?s:.*?)ClustPy, faster",
    "digits, until as good as ClustPy's DEC ends": "^ClustPy's ACC",
}
"""Name of a case in the text -> the begin of its line in the results."""


def newest(kind):
    return max(RESULTS.glob(f"*-{kind}.txt")).read_text()  # names begin with dates


def list_table(text):
    """Rows of the first list-table in a text."""
    table = text.partition(".. list-table::")[2].partition("\n\n\n")[0]
    rows = re.split(r"^   \* - ", table, flags=re.MULTILINE)[1:]
    return [re.split(r"\n +- ?", row.partition("\n\n")[0].strip()) for row in rows]


def measured_accuracies():
    """(set, method) -> accuracy, of the newest results with it."""
    lines = r"^(\S+) +(\S+(?: \S+)*) +(0\.\d{3}) "
    results = [path.read_text() for path in sorted(RESULTS.glob("*-quality*.txt"))]
    found = re.findall(lines, "\n".join(results), flags=re.MULTILINE)
    return {(name, method): accuracy for name, method, accuracy in found}


def measured_ratios(case):
    """Ratios in the line of a case: to default precision, and to float32."""
    results = newest("speed-amd") + newest("speed-intel")
    line = re.search(f"{SPEEDS[case]}.*", results, flags=re.MULTILINE)[0]
    line = re.sub(r"\[.*?\]|\(.*?\)", "", line.rpartition("\n")[2])  # quartiles
    return [float(ratio) for ratio in re.findall(r"\d+\.\d+", line)][-2:]


def rounded_as(figures, numbers):
    """Numbers written with as many decimals as the figures beside them."""
    pairs = zip(figures, numbers, strict=True)
    return [f"{n:.{len(figure.partition('.')[2])}f}" for figure, n in pairs]


def test_accuracies_of_which_estimator_are_the_newest_ones():
    text = (ROOT / "docs/which_estimator.rst").read_text()
    table, measured = (
        text.partition("What the table rests on")[2],
        measured_accuracies(),
    )
    (_, *methods), *rows = list_table(table)
    assert len(rows) >= 9
    for name, *figures in rows:
        expected = [measured[SETS.get(name, name), method] for method in methods]
        assert [figure.strip("*") for figure in figures] == expected, name
        is_bold = [figure.startswith("**") for figure in figures]
        assert is_bold == [figure == max(expected) for figure in expected], name
    beside = [measured["digits", method] for method in ("DCN", "VaDE", "plain DEC")]
    assert re.findall(r"\((0\.\d{3})\)", table) == beside


def test_figures_of_the_readme_are_the_newest_ones():
    line = r"^\| (.+?) \| (\.\d+) \| (\.\d+) \| \| (.+?) \| (.+?) \|$"
    rows = re.findall(line, README.read_text(), flags=re.MULTILINE)
    assert len(rows) == 5
    accuracies = measured_accuracies()
    for name, kmeans, dec, case, ratios in rows:
        key = SETS.get(name, name)
        assert f"0{kmeans}" == accuracies[key, "k-means"], name
        assert f"0{dec}" == accuracies[key, "DEC"], name
        said = ratios.split(" / ")
        assert said == rounded_as(said, measured_ratios(case)), case


def test_speeds_of_the_documentation_are_the_newest_ones():
    _, *rows = list_table((ROOT / "docs/performance.rst").read_text())
    assert len(rows) >= 8
    for case, *ratios in rows:
        said = [ratio for ratio in ratios if ratio]
        assert said == rounded_as(said, measured_ratios(case)), case


@pytest.mark.parametrize(
    "estimator", [*ESTIMATORS, *ENCODERS, PIPELINES[0]], ids=name_of
)
def test_html_representation_links_to_a_page_of_the_reference(estimator, monkeypatch):
    template = "pages/{estimator_module}.{estimator_name}.html"
    found = type(estimator)
    assert found._doc_link_template == BaseDeepEstimator._doc_link_template
    monkeypatch.setattr(found, "_doc_link_template", template)
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
