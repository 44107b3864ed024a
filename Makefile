# make demo | benchmark | test | lint: each sets up .venv by itself.
# PYTHON=python3.12 chooses the Python.

VENV ?= .venv
BIN := $(VENV)/bin
# The first Python on the path that the package supports.
PYTHON ?= $(shell for p in python3 python3.11 python3.12; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
PYTEST_ARGS ?= -n auto --dist loadfile
export OMP_NUM_THREADS ?= 1
export PYTHONUNBUFFERED = 1

SHIPPED := $(shell find mmstadapter mmstadapter_cli.py configs tools -type f \
	-not -name '*.pyc' -not -path 'mmstadapter/.mim/*')

.PHONY: help install demo benchmark test slow trials keys lint format clean

help:
	@echo 'make demo      train, test and search on moving digits, with a table and a picture (6 min)'
	@echo 'make benchmark the methods of the paper on it, three seeds, into docs/ (up to an hour)'
	@echo 'make test      run the tests; make slow runs the long ones too'
	@echo 'make trials    break videos, runs, files and settings: nothing may go wrong in silence (half an hour)'
	@echo "make keys      write the names of every backbone's tensors into tests/keys/, for review"
	@echo 'make lint      ruff check, ruff format --check, mypy; make format rewrites'
	@echo 'make install   only set up $(VENV)'

install: $(VENV)/.package

# What the package needs. Taken from requirements/, so it is redone only when that changes.
$(VENV)/.needs: requirements/constraints.txt requirements/runtime.txt requirements/dev.txt
	@test -n "$(PYTHON)" || { \
		echo 'mmstadapter needs Python 3.11 or 3.12; none is on the path. PYTHON=... names one.'; \
		exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { \
		echo '$(PYTHON) cannot make a virtual environment (Debian: apt install python3-venv).'; \
		rm -rf $(VENV); exit 1; }
	@echo 'Installing into $(VENV), a few minutes the first time ...'
	$(BIN)/pip install --quiet -c requirements/constraints.txt mmcv-lite \
		-r requirements/runtime.txt -r requirements/dev.txt
	@touch $@

# The package itself as a user has it, since mim does not find editable installs.
$(VENV)/.package: $(VENV)/.needs setup.py pyproject.toml MANIFEST.in model-index.yml $(SHIPPED)
	@rm -rf build
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --force-reinstall .
	@touch $@

demo: install
	$(BIN)/mmstadapter demo

# Goes on where it was stopped. BENCHMARK_ARGS='--methods bitfit --seeds 0' chooses runs.
benchmark: install
	$(BIN)/mmstadapter benchmark $(BENCHMARK_ARGS)

test: install
	$(BIN)/python -m pytest $(PYTEST_ARGS) -m 'not slow'

slow: install
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# TRIALS_ARGS='damage --only 17' runs one case alone.
trials: install
	$(BIN)/python -m tools.trials $(TRIALS_ARGS)

# What it changes is a change of a public API: look at it before it is committed.
keys: $(VENV)/.needs
	PYTHONPATH=. $(BIN)/python tests/contract/cases.py

lint: $(VENV)/.needs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.needs
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info mmstadapter/.mim work_dirs
