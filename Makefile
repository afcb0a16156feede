# `make demo` and `make test` do all the set-up in a fresh clone; they need nothing but Python 3.11 or newer.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
SITE := .venv-docs
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test quick check bench results map reference docs run-docs docs-serve clean

demo: $(VENV)/.user
	$(BIN)/bestiary demo

# Two cores take the files of tests in turns; a file stays with one process, which trains what its tests share. Each process
# has a thread for each core, of which those that wait would spin on cores that the other process needs: they sleep instead.
# Long files come first (tests/conftest.py), where pytest-xdist would begin with those that have the most tests
PYTEST := OMP_WAIT_POLICY=passive $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.developer
	$(PYTEST)

# Everything but what trains for seconds, drives a browser or starts a cluster: under three minutes on two cores
quick: $(VENV)/.developer
	$(PYTEST) -m "not slow and not browser and not cluster and not gpu"

map: $(VENV)/.developer
	$(BIN)/python docs/write_map.py

check: $(VENV)/.developer
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python benchmarks/render.py --check
	$(BIN)/python docs/lint_prose.py

# Pages that follow from the code: the map, commands, recipes, run folder, HTTP, error messages
reference: $(VENV)/.developer
	$(BIN)/python docs/write_map.py
	$(BIN)/python docs/write_reference.py
	$(BIN)/python tests/scenarios/wrong_inputs.py --write

# The site needs neither bestiary nor PyTorch: an environment of its own, a few seconds
docs: $(SITE)/.done
	$(SITE)/bin/zensical build --clean --strict

# Runs every block of README.md and docs/ that is not marked, and the programs in examples/: a quarter of an hour on a core.
# One page or program, by its name: make run-docs PAGE=few-images. What failed the last time: make run-docs PAGE=--lf
PAGE ?=

run-docs: $(VENV)/.developer
	BESTIARY_RUN_DOCS=1 $(PYTEST) --verbose --durations 0 tests/docs/test_blocks.py tests/docs/test_example_scripts.py \
		$(if $(filter --lf,$(PAGE)),--lf,$(if $(PAGE),-k "run and $(PAGE)"))

docs-serve: $(SITE)/.done
	$(SITE)/bin/zensical serve

# One area of the benchmarks, or all of them; labeled photographs for those that need them, and an interpreter that has
# the peers, where that is not this one: make bench AREA=speed DATA=FOLDER PEER_PYTHON=FILE. Only what is stale: STALE=1
AREA ?=
STALE ?=
DATA ?= ../shared/data/caltech-creatures
PEER_PYTHON ?= $(shell $(BIN)/python -c 'import fastai, ultralytics' 2>/dev/null && echo $(BIN)/python)

bench: $(VENV)/.developer
	$(BIN)/python benchmarks/run.py $(AREA) $(if $(STALE),--stale) --data "$(DATA)" --peer-python "$(PEER_PYTHON)"

# The pages of docs/benchmarks and the numbers of README, from benchmarks/results
results: $(VENV)/.developer
	$(BIN)/python benchmarks/render.py

clean:
	rm -rf $(VENV) $(SITE) site .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "bestiary needs Python 3.11 or newer; name one: make PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.user: pyproject.toml | $(BIN)/python
	@echo "Installing bestiary into $(VENV) (PyTorch is large; a minute or more)"
	$(PIP) --editable '.[all]'
	touch $@

$(VENV)/.developer: pyproject.toml | $(BIN)/python
	@echo "Installing bestiary and its test tools into $(VENV) (PyTorch is large; a minute or more)"
	$(PIP) --editable '.[all,dev]'
	touch $@ $(VENV)/.user

$(SITE)/.done: docs/requirements.txt
	$(PYTHON) -m venv $(SITE)
	$(SITE)/bin/python -m pip install --quiet --disable-pip-version-check -r docs/requirements.txt
	touch $@
