# Everything sets itself up in .venv, once: later calls start at once.
PYTHON ?= python3
SCENES ?= 60
DOOM ?= 20
WORKERS ?= auto
BIN := .venv/bin
# An index of packages beside pip's own; of PyTorch's CPU index, pip takes torch without CUDA.
TORCH_INDEX ?=
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
SETUP := pyproject.toml constraints.txt

.PHONY: help play test check bench latency curriculum data data-sample clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /  make \1\t/p' Makefile | expand -t 20

play: .venv/installed ## walk in the world that is shipped; prints the address of the page (ARGS="--port 9000")
	@$(BIN)/dreamx play $(ARGS)

test: .venv/installed-test .venv/drawing ## the tests that take seconds (ARGS="-k camera"); marks slow, gpu and weights are left out
	@$(BIN)/python -m pytest -q -n $(WORKERS) --maxprocesses 4 --dist loadfile $(ARGS)

check: .venv/installed-dev ## lint, format, types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright

bench: .venv/installed ## how fast the world runs here, and how near the engine comes to its bare matrix products
	@$(BIN)/dreamx bench play --precision both $(ARGS)
	@$(BIN)/python tools/ratio.py

latency: .venv/installed-test ## how long a key takes to be seen, in a real chromium (ARGS="--json")
	@$(BIN)/python tools/latency.py $(ARGS)

data: .venv/installed-test .venv/drawing ## render clips (ARGS="--out DIR")
	@$(BIN)/dreamx data render $(ARGS)

data-sample: .venv/installed-test .venv/drawing ## about 200 clips of every source that is made here, sifted, packed, with a page (SCENES=60)
	@$(BIN)/dreamx data simulate --out runs/sample/clips --scenes $(SCENES)
	@$(BIN)/dreamx data doom --out runs/sample/doom --clips $(DOOM) --wanted.width 128 --wanted.height 128
	@mkdir -p runs/sample/all && ln -f runs/sample/clips/*.safetensors runs/sample/doom/*.safetensors runs/sample/all/
	@$(BIN)/dreamx data curate runs/sample/all --out runs/sample/good
	@$(BIN)/dreamx data pack runs/sample/good --out runs/sample/dataset --size 128 128 --fps 16
	@$(BIN)/dreamx data report runs/sample/good --out runs/sample/report.html

curriculum: .venv/installed-test .venv/drawing ## make the shipped world from nothing, in runs/tiny; can be interrupted
	@$(BIN)/dreamx train curriculum --out runs/tiny $(ARGS)

clean: ## caches and build products; .venv stays (remove it to set up anew)
	@rm -rf build dist .pytest_cache .ruff_cache .hypothesis src/*.egg-info
	@find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dreamx needs Python 3.11 or newer: make PYTHON=python3.12")'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "no virtual environment could be made; on Debian: apt-get install python3-venv" >&2; exit 1; }

.venv/installed: $(SETUP) | .venv/bin/python
	@echo "setting up .venv (once; some minutes where torch has to be downloaded)"
	@$(INSTALL) -e .
	@touch $@

.venv/installed-test: $(SETUP) | .venv/bin/python
	@echo "setting up .venv for the tests (once)"
	@$(INSTALL) -e '.[test]'
	@touch $@ .venv/installed

.venv/installed-dev: $(SETUP) | .venv/bin/python
	@echo "setting up .venv for lint and types (once)"
	@$(INSTALL) -e '.[dev]'
	@touch $@ .venv/installed-test .venv/installed

# Off-screen drawing for the simulator. Without it, the tests that render are skipped.
.venv/drawing: | .venv/installed-test
	@.ci/drawing $(BIN)/python
	@touch $@
