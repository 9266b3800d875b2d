# Each target sets up what it needs in .venv, and is quick the second time.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.DEFAULT_GOAL := help

.PHONY: help
help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tfsci needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	@echo "Setting up .venv (once; some minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		setuptools wheel > .venv/pip.log 2>&1 || { cat .venv/pip.log; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--no-build-isolation --editable '.[data,horovod,test]' > .venv/pip.log 2>&1 || { cat .venv/pip.log; exit 1; }
	@touch $@

.PHONY: horovod
horovod: $(INSTALLED)  ## Build and install Horovod (built once, kept in the user's cache)
	@$(BIN)/tfsci install-horovod

.PHONY: train
train: horovod  ## Train a CNN on two Horovod ranks
	@PATH="$(CURDIR)/$(BIN):$$PATH" horovodrun -np 2 python scripts/train_cnn.py

.PHONY: lint
lint: $(INSTALLED)  ## Check style and the order of imports
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/lint-imports > .venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }

.PHONY: test
test: lint horovod  ## Run the linters and all tests but the slow ones
	@PATH="$(CURDIR)/$(BIN):$$PATH" python -m pytest

.PHONY: slow
slow: horovod  ## Run the slow tests; the first time they build a Horovod with MPI
	@PATH="$(CURDIR)/$(BIN):$$PATH" python -m pytest --slow -m slow

.PHONY: slurm
slurm: horovod  ## Open a shell beside a Slurm of two nodes (as root)
	@PATH="$(CURDIR)/$(BIN):$$PATH" tests/slurm/cluster.sh bash

.PHONY: bench
bench: horovod  ## Measure speed, as ratios
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--no-build-isolation --editable '.[bench]' > .venv/pip.log 2>&1 || { cat .venv/pip.log; exit 1; }
	@PATH="$(CURDIR)/$(BIN):$$PATH" python benchmarks/step.py
	@PATH="$(CURDIR)/$(BIN):$$PATH" python benchmarks/input.py
	@PATH="$(CURDIR)/$(BIN):$$PATH" python benchmarks/models.py
	@PATH="$(CURDIR)/$(BIN):$$PATH" python tests/mpi/openmpi.py benchmarks/scaling.py

.PHONY: parity
parity: horovod  ## Train with every strategy and draw all loss curves over each other
	@PATH="$(CURDIR)/$(BIN):$$PATH" python tests/mpi/openmpi.py benchmarks/parity.py docs/parity.png

.PHONY: clean
clean:  ## Remove .venv and all caches of the checkout; runs/ stays
	rm -rf .venv *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
