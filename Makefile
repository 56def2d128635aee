# Sightline. `make help` lists what there is; every target does its own set-up.
.DEFAULT_GOAL := help
.PHONY: book test unit edition site release serve check colab clean help

VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready$(if $(NEWEST),-newest)$(if $(CPU),-cpu)
EXTRAS := .[book,export,tensorboard,dev]
UV     := $(shell command -v uv 2>/dev/null)
PYTHON ?= python3
UV_PYTHON ?= >=3.11
PORT   ?= 8000
# chapters to run, e.g. CHAPTER=03_lr_finder; empty: all of them
CHAPTER ?=

# one installer each way, for three steps: what builds packages, by the lock; the lock;
# the package itself. What is built is so built from the lock, too
ifneq ($(UV),)
  MAKE_VENV := uv venv --quiet --python '$(UV_PYTHON)' $(VENV)
  INSTALL   := uv pip install --python $(BIN)/python --no-build-isolation
else
  MAKE_VENV := $(PYTHON) -m venv $(VENV)
  INSTALL   := $(BIN)/python -m pip install --disable-pip-version-check --quiet \
               --no-build-isolation
endif

book: $(READY)  ## run every chapter quickly on drawn shapes and build the site
	$(BIN)/sightline book run --profile fast $(CHAPTER)
	$(BIN)/sightline book build --profile fast

unit: $(READY)  ## tests of a minute: no book, browser, processes, GPU, exports
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder \
	-m 'not (book or browser or processes or slow or gpu)'

test: check  ## format, lint, all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

edition: $(READY)  ## run every chapter in full; DATA=FOLDER names a copy on disk
	$(BIN)/sightline book run --profile fast $(CHAPTER) # finds mistakes early
	$(BIN)/sightline book run --profile full $(if $(DATA),--data '$(DATA)') $(CHAPTER)

site: $(READY)  ## build the site of the committed edition; nothing is executed
	$(BIN)/sightline book build --profile full $(if $(MIXED),--mixed)

release: site  ## pack the site with its checksums, the notebooks, the figures, a PDF
	$(BIN)/sightline book release $(if $(MIXED),--mixed)

serve: $(READY)  ## look at the site that was built last, at http://localhost:8000
	@site=$$(ls -td _build/*/html 2>/dev/null | head -n 1); \
	test -n "$$site" || { echo "nothing is built yet: make book"; exit 1; }; \
	echo "$$site is at http://localhost:$(PORT) (Ctrl-C ends)"; \
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory "$$site" $(PORT)

check: $(READY)  ## format, lint, types: the library, the tests and the chapters
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/sightline book check

colab: $(READY)  ## run chapters as Colab would, from the last commit; CHAPTER=01
	$(BIN)/python tests/colab_path.py $(CHAPTER)

clean:  ## remove what was built; runs/, data and .venv stay
	rm -rf _build .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

$(BIN)/python:
ifeq ($(UV),)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	version=$$($(PYTHON) --version 2>&1) || version="no $(PYTHON)"; \
	echo "Sightline needs Python 3.11 or newer; $$version is here."; \
	echo "Name a newer one (make PYTHON=python3.12 ...) or install uv:"; \
	echo "https://docs.astral.sh/uv/"; exit 1; }
endif
	$(MAKE_VENV)

# NEWEST=1 takes the newest versions pyproject.toml allows instead of the lock
$(VENV)/.ready: requirements.txt pyproject.toml | $(BIN)/python
	sed -n '/^setuptools==/,/# via/p' requirements.txt > $(VENV)/build.txt
	$(INSTALL) -r $(VENV)/build.txt
	$(INSTALL) -r requirements.txt
	$(INSTALL) --no-deps -e .
	@rm -f $(VENV)/.ready* && touch $@

$(VENV)/.ready-newest: pyproject.toml | $(BIN)/python
	$(INSTALL) --upgrade setuptools
	$(INSTALL) --upgrade -e '$(EXTRAS)'
	@rm -f $(VENV)/.ready* && touch $@

# CPU=1 takes PyTorch's builds for CPUs, from its own index: their versions are locked,
# their hashes are not
$(VENV)/.ready-cpu: requirements.txt pyproject.toml | $(BIN)/python
	$(if $(UV),,$(error CPU=1 needs uv: https://docs.astral.sh/uv/))
	sed -E '/^torch(vision)?==/,/# via/{/--hash/d;s/ \\$$//;}' requirements.txt > $(VENV)/cpu.txt
	uv pip install --python $(BIN)/python --torch-backend cpu \
	--build-constraints requirements.txt --constraints $(VENV)/cpu.txt -e '$(EXTRAS)'
	@rm -f $(VENV)/.ready* && touch $@
