"""Configuration of the documentation."""

import skdeep

project = "skdeep"
author = copyright = "The skdeep developers"
release = version = skdeep.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
]
autosummary_generate = True
numpydoc_class_members_toctree = False
numpydoc_show_inherited_class_members = False
exclude_patterns = ["_build"]
html_theme = "alabaster"
