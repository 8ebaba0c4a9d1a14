# The only entry point: `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
PRESET ?= auto
SEEDS  ?=
JOBS   ?= 0
DATA   ?=
ROOT   ?=
OUT    ?=
QUICK  ?=
JSON   ?=
SWEEP  ?= table1
WORLD  ?= images
TALLY  ?=
TESTS  ?=
REMEDIES ?=

BIN := .venv/bin
# The GPU build of FAISS where an NVIDIA driver is present, the CPU build elsewhere, never both.
FAISS := $(shell [ -e /proc/driver/nvidia/version ] && echo gpu || echo cpu)
ASKED = --preset $(PRESET) --jobs $(JOBS) $(if $(SEEDS),--seeds $(SEEDS)) \
	$(if $(DATA),--data $(DATA)) $(if $(ROOT),--root $(ROOT)) $(if $(OUT),--out $(OUT))

.PHONY: help install table1 remedies test test-trust test-gpu test-lowest audit-dependencies lock bench lint type format doctor clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-zA-Z0-9_-]+:.*## /{printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.stamp  ## Build .venv once; the other targets do it by themselves

# Bytecode is made of what gets imported, when it is: compiling all of torch takes a minute.
.venv/.stamp: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --editable '.[$(FAISS)]'
	@touch $@

.venv/.stamp-dev: .venv/.stamp
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --editable '.[$(FAISS),test,dev]'
	@touch $@

table1: .venv/.stamp  ## Train and print Table 1 (PRESET=mini|small|paper DATA= ROOT= SEEDS=0,1,2 JOBS= OUT= SWEEP=)
	@$(BIN)/ganstoch table1 --sweep $(SWEEP) $(ASKED)

remedies: .venv/.stamp  ## Every remedy at every chance (WORLD=images|ring|grid|... REMEDIES=a,b and as table1)
	@$(BIN)/ganstoch remedies --world $(WORLD) $(if $(REMEDIES),--remedies $(REMEDIES)) $(ASKED)

test: .venv/.stamp-dev  ## Run the tests on the CPU, offline
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

test-trust: .venv/.stamp-dev  ## Try to break every promise of the README's table (TALLY=FILE)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m trust tests/trust $(if $(TALLY),--tally $(TALLY))

test-gpu: .venv/.stamp-dev  ## Run the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu tests

# The lowest versions that pyproject.toml allows, where `make install` takes the newest.
.venv-lowest/.stamp: .venv/.stamp-dev tests/lowest.py
	$(PYTHON) -m venv .venv-lowest
	$(BIN)/python tests/lowest.py > .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
		--constraint .venv-lowest/constraints.txt --editable '.[cpu,cluster,test]'
	@touch $@

test-lowest: .venv-lowest/.stamp  ## Run the tests on the lowest versions allowed (TESTS="tests/data tests/metrics")
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -n 2 --dist worksteal $(TESTS)

audit-dependencies: .venv/.stamp-dev  ## Look the locked versions up among known vulnerabilities (asks PyPI)
	$(BIN)/pip-audit --strict --no-deps --disable-pip --progress-spinner off -r docker/requirements.lock

lock: .venv/.stamp-dev  ## Write docker/requirements.lock from what .venv holds
	$(BIN)/python tests/lock.py > .venv/requirements.lock
	mv .venv/requirements.lock docker/requirements.lock

bench: .venv/.stamp  ## Race against a plain loop, print the table (QUICK=1 within a minute, JSON=FILE)
	@$(BIN)/ganstoch bench $(if $(QUICK),--quick) $(if $(JSON),--json $(JSON))

lint: .venv/.stamp-dev  ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/.stamp-dev  ## Mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: .venv/.stamp-dev  ## Check types
	$(BIN)/mypy

doctor: .venv/.stamp  ## Say what is here and what is missing
	@$(BIN)/ganstoch doctor

clean:  ## Remove the environment and caches, keep results
	rm -rf .venv .venv-lowest .pytest_cache .ruff_cache .mypy_cache *.egg-info
