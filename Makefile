# One Bound. `make help` lists the targets; `make book` and `make test` are all that you need.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Bytecode is kept, whatever the shell says: else each process compiles PyTorch anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
# Two stages: what renders the book, and everything. The first is in the second.
RENDERS := $(VENV)/.ready-to-render
READY := $(VENV)/.ready
STAGE := $(if $(wildcard $(READY)),$(READY),$(RENDERS))
# What pins the versions; `make setup CONSTRAINTS=/dev/null` takes the newest that there are.
CONSTRAINTS := constraints.txt
# Where PyTorch may come from, for example https://download.pytorch.org/whl/cpu: no CUDA, half the bytes.
TORCH_INDEX ?=

# The first of these that runs and is 3.11 or later; `make setup PYTHON=...` decides otherwise.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)

CODE := $(shell find code -type f -not -path '*/__pycache__/*' -not -path '*.egg-info/*')
PAGES := $(shell find book -type f) _config.yml _toc.yml CITATION.cff
TESTS := $(shell find tests -type f -name '*.py')

.PHONY: help setup data book page watch fresh outputs serve pdf test test-all train studies bench style quality clean distclean mutants numbers check-pages check-live

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

INSTALL = PYTHONPATH=code $(PYTHON) -m bookbuild.install --constraints "$(CONSTRAINTS)" --torch-index "$(TORCH_INDEX)"
HAS_PYTHON = test -n "$(PYTHON)" || { echo "make: no Python found that is 3.11 or later; install one, or name it: make setup PYTHON=/path/to/python3.14" >&2; exit 1; } && \
	$(PYTHON) -c 'import sys; sys.version_info < (3, 15) or print("make: this Python is newer than 3.14, the last that the book is tested with", file=sys.stderr)'

setup: $(READY) ## create .venv with everything the book and its tests need (gigabytes)

# An installation that was cut short leaves no stamp, so the next one starts from nothing.
$(READY): pyproject.toml constraints.txt
	@$(HAS_PYTHON)
	@$(INSTALL) --package book formulas dev
	@touch $@

$(RENDERS): pyproject.toml constraints.txt
	@$(HAS_PYTHON)
	@$(INSTALL) book
	@touch $@

data: $(READY) ## get MNIST and verify it
	$(BIN)/python -m onebound.data.fetch

# Get the data once, before anything needs them; a page that runs checks them again.
_build/.data: $(READY) code/onebound/data/fetch.py
	@mkdir -p _build
	$(BIN)/python -m onebound.data.fetch
	@touch $@

book: _build/.book ## build the book into _build/html; execute what the shipped outputs lack

# Status 3: pages have to execute, and what they need is not installed yet; 4: what a new formula needs.
define bookbuild
$(BIN)/python -m bookbuild $(1) || case $$? in \
	3) $(MAKE) --no-print-directory _build/.data && $(BIN)/python -m bookbuild $(1) ;; \
	4) $(INSTALL) formulas && $(BIN)/python -m bookbuild $(1) ;; \
	*) exit 1 ;; esac
endef

_build/.book: $(STAGE) $(CODE) $(PAGES) $(TESTS) pyproject.toml
	@echo '$(BIN)/python -m bookbuild build'
	@$(call bookbuild,build)
	@touch $@

# As for the book, but always: Sphinx knows best what has changed.
page: $(STAGE) ## build one page in _build/page, fast: make page NAME=elbo
	@test -n "$(NAME)" || { echo "make: which page? make page NAME=elbo" >&2; exit 1; }
	@$(call bookbuild,page $(NAME))

$(VENV)/.watch: $(READY)
	@$(INSTALL) watch
	@touch $@

watch: $(VENV)/.watch _build/.data ## build whenever you save a file, at http://localhost:8000 (NAME=elbo: that page alone)
	$(BIN)/python -m bookbuild watch $(NAME)

fresh: $(READY) _build/.data ## execute every page, whatever is shipped or stored, and build the book
	$(BIN)/python -m bookbuild build --fresh
	@touch _build/.book

outputs: $(READY) _build/.data ## build the book and renew the outputs and formulas that the repository ships
	$(BIN)/python -m bookbuild outputs
	@touch _build/.book

numbers: book ## write down the numbers of this build, for other machines to compare with
	$(BIN)/python -m bookbuild record

# What a browser's checks need on top; a contributor without a browser does without.
$(VENV)/.playwright: $(READY)
	@$(INSTALL) browser
	@touch $@

$(VENV)/.browser: $(VENV)/.playwright tests/browser/package-lock.json
	@command -v npm > /dev/null || { echo "make: no npm found; install Node.js 18.16 or later (Debian and Ubuntu: apt-get install nodejs npm)" >&2; exit 1; }
	npm ci --prefix tests/browser --ignore-scripts --no-audit --no-fund --silent
	@touch $@

CHECKS := $(addprefix tests/browser/test_,pages.py use.py aids.py live.py live_family.py live_engine.py \
	live_state.py live_touch.py firefox.py)

check-pages: $(VENV)/.browser book ## check the built pages in Chromium, and drive their live figures, in Firefox too
	$(BIN)/python -m pytest --numprocesses auto $(CHECKS)
	$(BIN)/python -m pytest tests/browser/test_lighthouse.py

check-live: $(VENV)/.browser book ## measure how fast the live figures answer; nothing else may run
	$(BIN)/python -m pytest tests/browser/test_live_speed.py

pdf: _build/onebound.pdf ## print the book into _build/onebound.pdf and check it; needs Chromium (minutes)
	$(BIN)/python -m pytest tests/browser/test_pdf.py

_build/onebound.pdf: $(VENV)/.playwright _build/.book
	$(BIN)/python -m bookbuild pdf

serve: book ## show the built book at http://localhost:8000
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html 8000

.PHONY: links

links: book ## check that the links out of the book lead somewhere
	$(BIN)/python -m bookbuild links

test: _build/.test ## run the fast tests

_build/.test: $(READY) $(CODE) $(TESTS) $(PAGES) pyproject.toml
	@mkdir -p _build
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto -m 'not slow'
	@touch $@

test-all: $(READY) ## run every test, the slow ones too
	$(BIN)/python -m pytest

mutants: $(READY) ## change the mathematics and see whether the tests notice (minutes a module; MODULES="vae ...")
	@$(INSTALL) mutants
	$(BIN)/python tests/mutants/run.py $(MODULES)

train: $(READY) ## train the models of the zoo again; a run that was stopped goes on (hours)
	$(BIN)/python -m onebound.zoo

studies: $(READY) ## run what the records of the studies lack; NAMES="muon ..." for some (minutes to hours)
	$(BIN)/python -m bookbuild.run.studies $(NAMES)

bench: $(READY) ## measure what training and sampling cost here (15 minutes, MINUTES="1 5 20" 40; nothing else may run)
	$(BIN)/python code/tools/bench.py $(if $(MINUTES),--minutes $(MINUTES))

style: $(READY) ## format the code and mend what can be mended
	$(BIN)/ruff check --fix --quiet code tests
	$(BIN)/ruff format code tests
	$(BIN)/typos --write-changes

quality: $(READY) ## check formatting, lint, types, docstrings and spelling; change nothing
	$(BIN)/ruff format --check code tests
	$(BIN)/ruff check code tests
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/typos

clean: ## remove the built book; keep the environment and the data
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find code tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove the environment as well; downloaded data stays in its cache folder
	rm -rf $(VENV) code/*.egg-info tests/browser/node_modules
