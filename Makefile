# make demo | leaderboard | test | lint: each sets up .venv by itself.
# PYTHON=python3.12 chooses the Python. `make test-all` sets up .venv-full too.

VENV ?= .venv
BIN := $(VENV)/bin
# With all optional libraries, in their newest versions.
VENV_FULL ?= .venv-full
BIN_FULL := $(VENV_FULL)/bin
# The first Python on the path that the package supports.
PYTHON ?= $(shell for p in python3 python3.11 python3.12; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
# The newest that is supported, where there is one.
PYTHON_FULL ?= $(shell for p in python3.12 python3 $(wildcard $(HOME)/.pyenv/versions/3.12*/bin/python) $(PYTHON); do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null \
	&& echo $$p && exit; done; echo $(PYTHON))
VENV_DOCS ?= .venv-docs
# In the order of tests/conftest.py, which has the longest files first.
PYTEST_ARGS ?= -n auto --dist loadfile --no-loadscope-reorder
FULL_MARKS ?= not minutes
export OMP_NUM_THREADS ?= 1
export PYTHONUNBUFFERED = 1

SHIPPED := $(shell find mmstadapter mmstadapter_cli.py configs tools -type f \
	-not -name '*.pyc' -not -path 'mmstadapter/.mim/*')

.PHONY: help install install-full demo leaderboard test test-all test-long test-full trials keys docs \
	tutorials lint format clean

help:
	@echo 'make demo      train, test and search on moving digits, with a table and a picture (6 min)'
	@echo 'make leaderboard  all methods on it and on harder tasks, three seeds, into docs/ (hours)'
	@echo 'make test      run the quick tests (under three minutes on two cores)'
	@echo 'make test-all  and the long ones, and all again beside every optional library (half an hour)'
	@echo 'make trials    break videos, runs, files and settings: nothing may go wrong in silence (half an hour)'
	@echo "make keys      write the names of every backbone's tensors into tests/keys/, for review"
	@echo 'make docs      build the documentation into site/, every internal link checked (half a minute)'
	@echo 'make tutorials run the notebooks of docs/tutorials/ anew (ten minutes)'
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

install-full: $(VENV_FULL)/.package

$(VENV_FULL)/.needs: $(wildcard requirements/*.txt)
	@test -n "$(PYTHON_FULL)" || { \
		echo 'mmstadapter needs Python 3.11 or 3.12; none is found. PYTHON_FULL=... names one.'; \
		exit 1; }
	@test -x $(BIN_FULL)/pip || $(PYTHON_FULL) -m venv $(VENV_FULL) || { \
		echo '$(PYTHON_FULL) cannot make a virtual environment (Debian: apt install python3-venv).'; \
		rm -rf $(VENV_FULL); exit 1; }
	@echo 'Installing into $(VENV_FULL), 7 GB, about five minutes the first time ...'
	timeout 1200 $(BIN_FULL)/pip install --quiet --retries 2 --timeout 30 \
		-c requirements/constraints-full.txt -r requirements/everything.txt || { \
		echo 'The full environment of `make test-all` cannot be installed; see the lines above.'; \
		exit 1; }
	@touch $@

$(VENV_FULL)/.package: $(VENV_FULL)/.needs setup.py pyproject.toml MANIFEST.in model-index.yml $(SHIPPED)
	@rm -rf build
	$(BIN_FULL)/pip install --quiet --no-deps --no-build-isolation --force-reinstall .
	@touch $@

# The package itself as a user has it, since mim does not find editable installs.
$(VENV)/.package: $(VENV)/.needs setup.py pyproject.toml MANIFEST.in model-index.yml $(SHIPPED)
	@rm -rf build
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --force-reinstall .
	@touch $@

demo: install
	$(BIN)/mmstadapter demo

# Goes on where it was stopped. LEADERBOARD_ARGS='--methods bitfit --seeds 0' chooses runs.
leaderboard: install
	$(BIN)/mmstadapter leaderboard $(LEADERBOARD_ARGS)

test: install
	$(BIN)/python -m pytest $(PYTEST_ARGS) -m 'not slow and not processes'

test-all: test test-long test-full

# What `make test` leaves out.
test-long: install
	$(BIN)/python -m pytest $(PYTEST_ARGS) -m 'slow or processes'

# Beside all optional libraries: here a skipped test is a failure.
test-full: install-full
	$(BIN_FULL)/python -m pytest $(PYTEST_ARGS) --full -m '$(FULL_MARKS)'

# TRIALS_ARGS='damage --only 17' runs one case alone.
trials: install
	$(BIN)/python -m tools.trials $(TRIALS_ARGS)

# What it changes is a change of a public API: look at it before it is committed.
keys: $(VENV)/.needs
	PYTHONPATH=. $(BIN)/python tests/contract/cases.py

# An environment of its own: it reads the package's source and needs no PyTorch.
$(VENV_DOCS)/.needs: requirements/docs.txt requirements/constraints-docs.txt
	@test -x $(VENV_DOCS)/bin/pip || $(PYTHON) -m venv $(VENV_DOCS)
	$(VENV_DOCS)/bin/pip install --quiet -c requirements/constraints-docs.txt -r requirements/docs.txt
	@touch $@

docs: $(VENV_DOCS)/.needs
	NO_MKDOCS_2_WARNING=1 $(VENV_DOCS)/bin/mkdocs build --quiet
	$(VENV_DOCS)/bin/python docs/site/check.py

tutorials: install-full
	$(BIN_FULL)/python docs/site/run_notebooks.py

lint: $(VENV)/.needs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.needs
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(VENV_FULL) $(VENV_DOCS) site build dist *.egg-info mmstadapter/.mim work_dirs
