# Every command works on a fresh machine: the first one makes .venv and installs into it.
#   make demo [CSV=table.csv] [K=8] [LABEL=column]
#   make test | test-all | coverage | check | docs
#   make bench | bench-quality DATA="folder ..." [BENCH="speed flows"] [BENCH_ARGS="--quick"]
# Torch: a plain install. To pin it, or to take the CPU build, name a constraints file
# or an index: make test PIP_ARGS="--constraint constraints.txt"

PYTHON ?= python3
PIP_ARGS ?=
VENV ?= .venv
BIN = $(VENV)/bin
export SCIPY_ARRAY_API = 1

# One thread a worker: two that share the cores with others wait for each other. Each
# begins with one half of the tests, so that those of a module share what they fitted.
TEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

INSTALLED = $(VENV)/.installed

.PHONY: demo test test-all coverage check docs bench bench-quality clean

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) --editable ".[test,docs]"
	touch $@

demo: $(INSTALLED)
	$(BIN)/python examples/demo.py $(CSV) $(if $(K),--n-clusters $(K)) $(if $(LABEL),--label $(LABEL))

test: $(INSTALLED)
	$(TEST) -m "not slow"

test-all: $(INSTALLED)
	$(TEST)

coverage: $(INSTALLED)
	$(TEST) -m "not slow" --cov

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(INSTALLED)
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

# Beside the peers that are installed: pip install ".[bench]" brings them.
BENCH ?= speed flows vae diffusion
bench: $(INSTALLED)
	for name in $(BENCH); do $(BIN)/python -m benchmarks.$$name $(DATA) $(BENCH_ARGS) || exit 1; done

bench-quality: $(INSTALLED)
	$(BIN)/python -m benchmarks.quality $(DATA) $(BENCH_ARGS)

clean:
	rm -rf $(VENV) docs/_build demo_output .pytest_cache .ruff_cache .mypy_cache
