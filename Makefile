# `make` alone lists the targets. Everything is made in this folder: nothing is installed outside it.
.DEFAULT_GOAL := help
SHELL := /bin/sh
.DELETE_ON_ERROR:

# The first Python 3.10 or later on PATH; `make PYTHON=/path/to/python3` takes another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
UV := $(BIN)/uv

# Servers, kernels and jobs start sooner when Python may keep what it compiled; `make clean` removes it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-22s %s\n", $$1, $$2 }'

# The lock's hashes would not match, and pip would say that somebody may have tampered with the packages.
.PHONY: line-ends
line-ends:
	@! grep -q "$$(printf '\r')" requirements.lock container/train || { echo "Expected Unix line ends (LF), found those" \
		"of Windows (CRLF) in requirements.lock or container/train: clone the project again, with git inside Linux." >&2; \
		exit 1; }

.venv/bin/uv: | line-ends
	@test -n "$(PYTHON)" || { echo "Expected Python 3.10 or later with venv, found none. Install one (on Debian:" \
		"apt install python3 python3-venv), or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.lock

.venv/stamp: .venv/bin/uv requirements.lock pyproject.toml
	@echo "Installing the notebook environment into .venv (the first time some 400 MB to download)"
	@if test -z "$(UNLOCKED)"; then \
		$(UV) pip sync --quiet --compile-bytecode --require-hashes --python .venv requirements.lock; \
	else $(UV) pip install --quiet --upgrade --python .venv --requirements requirements.in; fi
	@$(UV) pip install --quiet --python .venv --no-deps --no-build-isolation --editable .
	@touch $@

.venv/stamp-1.1.0: .venv/stamp requirements-1.1.0.lock
	@$(UV) pip install --quiet --compile-bytecode --require-hashes --no-deps --python .venv --requirements requirements-1.1.0.lock
	@touch $@

.PHONY: setup
setup: line-ends .venv/stamp $(if $(filter 1.1.0,$(TRAINER)),.venv/stamp-1.1.0)  ## make both environments: .venv for the notebooks, .trainer for ML-Agents; TRAINER=1.1.0 another
	@$(BIN)/python -m common.trainer_env $(if $(TRAINER),--trainer $(TRAINER))

.PHONY: tutorial
tutorial: setup  ## run all notebooks end to end, with a real training; SHORT=1 trains some hundred steps only; TRAINER=1.1.0
	@$(BIN)/python -m tools.tutorial $(if $(SHORT),--short) $(if $(SURE),--sure) $(if $(TRAINER),--trainer $(TRAINER))

.PHONY: html
html: .venv/stamp  ## write what `make tutorial` executed as a small site, build/html/index.html
	@$(BIN)/python -m tools.tutorial --html $(if $(TRAINER),--trainer $(TRAINER))

.PHONY: lab
lab: setup  ## open the notebooks in JupyterLab; ARGS="--no-browser --ip=0.0.0.0" for options of its own
	@$(BIN)/python -m helpers.settings
	@$(BIN)/jupyter lab --notebook-dir=. --LabApp.news_url=None $(if $(filter 0,$(shell id -u)),--allow-root) \
		$(ARGS) notebooks/01_check_unity_build.ipynb

.PHONY: remove-sample
remove-sample: .venv/stamp  ## remove the sample environment from unity-volume/, for a build of your own
	@$(BIN)/python -m sample_env remove unity-volume

.PHONY: test
test: setup  ## run all tests that need no Docker engine and no browser, but the long ones; TRAINER=1.1.0 those that need it
	@$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder \
		-m "not browser and not docker and not slow and not clients and not long$(if $(TRAINER), and v1)"

.PHONY: test-long
test-long: setup  ## run the tests that take many seconds each: trainings, kills, lessons that train twice
	@$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder -m "long and not docker and not slow"

.PHONY: test-all
test-all: setup  ## run every group of tests with both versions of ML-Agents, one after another; says at the end which failed
	@failed=; for group in test "test TRAINER=1.1.0" test-long faults "faults TRAINER=1.1.0" test-compat test-browser \
		test-docker "test-docker TRAINER=1.1.0" test-clients; do \
		$(MAKE) --no-print-directory $$group || failed="$$failed $$group"; \
	done; test -z "$$failed" || { echo "These failed:$$failed" >&2; exit 1; }

.sdk2/stamp: .venv/bin/uv tests/sagemaker_local/sdk2.lock
	@$(UV) venv --quiet --clear --python $(BIN)/python .sdk2
	@$(UV) pip sync --quiet --compile-bytecode --require-hashes --python .sdk2 tests/sagemaker_local/sdk2.lock
	@touch $@

.PHONY: test-clients
test-clients: setup .sdk2/stamp  ## run the tests in which SageMaker SDK 2 uses the embedded AWS
	@$(BIN)/pytest -m clients tests/sagemaker_local

.PHONY: test-docker
test-docker: setup  ## run the tests that need a Docker engine: build, push and train in the image; TRAINER=1.1.0 in that of 1.1.0
	@$(BIN)/pytest -m "docker and $(if $(TRAINER),slow,not slow)" tests/docker

.PHONY: test-browser
test-browser: setup  ## open the executed notebooks, and JupyterLab, in Chromium
	@$(BIN)/pytest -m browser tests/browser

.PHONY: test-compat
test-compat: setup  ## run the container's tests in the compat flavour of the trainer too; SHORT=1 without the long ones
	@TRAINER_FLAVOUR=compat $(BIN)/python -m common.trainer_env --home .trainer-compat
	@TRAINER_HOME=$(CURDIR)/.trainer-compat $(BIN)/pytest -n 2 --dist loadfile -m "not docker and not slow$(if $(SHORT), and not long)" tests/container

.PHONY: faults
faults: setup  ## break trainings and configs in every known way; prints what came out and how soon; TRAINER=1.1.0 (some 10 minutes)
	@TRAINER=$(TRAINER) $(BIN)/pytest -n 2 -m slow $(if $(TRAINER),tests/container/test_matrix.py tests/container/test_memory.py,tests/container tests/mlagents_check/trainer_config)

.PHONY: bench
bench: setup  ## measure against stock ML-Agents, the AWS CLI and others; ROWS=upload one group, RUNS=3 fewer runs
	@$(BIN)/python -m tools.benchmarks $(ROWS) $(if $(RUNS),--runs $(RUNS))

.PHONY: bench-quick
bench-quick: setup  ## measure the training alone, in under 5 minutes
	@$(BIN)/python -m tools.benchmarks --quick $(if $(RUNS),--runs $(RUNS))

.PHONY: lint
lint: .venv/stamp  ## check style and format, notebooks too, and that imports go one way
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/cfn-lint packages/account_setup/stack.yaml
	@if test -x $(BIN)/hadolint; then $(BIN)/hadolint container/Dockerfile; else echo "hadolint: not on this platform"; fi

.PHONY: architecture
architecture: .venv/stamp  ## draw docs/architecture.svg anew from the import graph
	@$(BIN)/python -m tools.architecture

PRACTICE := $(or $(EMBEDDED_HOME),$(CURDIR)/.embedded)/practice
.PHONY: stop
stop:  ## end the embedded AWS and the jobs that run in it, and the copy that an interrupted last lesson left
	@test ! -x $(BIN)/python || $(BIN)/python -m sagemaker_local stop
	@! test -d "$(PRACTICE)" || { EMBEDDED_HOME="$(PRACTICE)" $(BIN)/python -m sagemaker_local stop && rm -rf "$(PRACTICE)"; }

LOCKS_1_1_0 := container/locks-1.1.0
.PHONY: lock
lock: .venv/stamp  ## make the lock files anew from their inputs
	@$(UV) pip compile --quiet --universal --python-version 3.10 --no-header --generate-hashes \
		requirements.in -o requirements.lock
	@$(UV) pip compile --quiet --universal --python-version 3.10 --no-header --generate-hashes \
		--constraint requirements.lock requirements-1.1.0.in -o requirements-1.1.0.lock
	@$(UV) pip compile --quiet --python-version 3.7 --python-platform x86_64-unknown-linux-gnu --no-header \
		--generate-hashes --override container/overrides.txt container/requirements.in -o container/requirements.lock
	@$(UV) pip compile --quiet --universal --python-version 3.9 --no-header --generate-hashes \
		--override container/overrides-compat.txt container/compat.in -o container/compat.lock
	@$(UV) pip compile --quiet --universal --python-version 3.10 --no-header --generate-hashes \
		$(LOCKS_1_1_0)/requirements.in -o $(LOCKS_1_1_0)/requirements.lock
	@$(UV) pip compile --quiet --python-version 3.10.12 --no-deps --no-header --generate-hashes \
		$(LOCKS_1_1_0)/mlagents.in -o $(LOCKS_1_1_0)/mlagents.lock
	@$(UV) pip compile --quiet --universal --python-version 3.10 --no-header --generate-hashes \
		$(LOCKS_1_1_0)/protobuf.in -o $(LOCKS_1_1_0)/protobuf.lock
	@$(UV) pip compile --quiet --python-version 3.10 --python-platform x86_64-manylinux_2_28 --no-header --generate-hashes \
		--constraint $(LOCKS_1_1_0)/requirements.lock $(foreach name,filelock fsspec jinja2 markupsafe mpmath networkx \
		setuptools sympy typing-extensions,--no-emit-package $(name)) \
		$(LOCKS_1_1_0)/torch-cuda.in -o $(LOCKS_1_1_0)/torch-cuda.lock
	@$(UV) pip compile --quiet --universal --python-version 3.10 --no-header --generate-hashes \
		tests/sagemaker_local/sdk2.in -o tests/sagemaker_local/sdk2.lock

.PHONY: clean
clean: stop  ## remove what was built; results/ and unity-volume/ are yours and stay
	@rm -rf .venv .trainer .trainer-compat .trainer-1.1.0 .sdk2 .embedded build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -rf .pytest_cache .ruff_cache .hypothesis notebooks/.ipynb_checkpoints
