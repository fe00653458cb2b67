# `make` alone explains the targets. The environment lives in .venv and is remade when the lock changes.
CANDIDATES := python3.11 python3.12 python3.13 python3.14 python3 python
# the first that runs, is new enough and can make an environment (a shim may be there and not run; Debian's has no ensurepip by itself)
PYTHON ?= $(shell for one in $(CANDIDATES); do \
	"$$one" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$one" && break; done)
VENV := .venv
BIN := $(VENV)/bin
# compiled files make every process start three times faster
unexport PYTHONDONTWRITEBYTECODE
export MPLBACKEND := agg

.DEFAULT_GOAL := help
.PHONY: help report test check nightly audit lab bench screenshots reference lock clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' Makefile | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

report: $(VENV)/.run ## set up, run the whole line on the simulated market, write reports/index.html
	$(BIN)/overround run

test: $(VENV)/.dev ## set up, run every test (unit, property, notebooks, end to end, browser)
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(VENV)/.dev ## lint, types, rules of import and the fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry lib
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

nightly: $(VENV)/.dev ## the long runs: a million mutated answers a parser, a simulated week with faults, the audit (hours)
	$(BIN)/python -m tests.fuzz
	$(BIN)/python -m benchmarks.soak
	$(MAKE) audit

audit: $(VENV)/.dev ## whether a pinned version has a known hole or was yanked; fails where nobody can be asked
	UV_DEFAULT_INDEX="$(INDEX)" $(BIN)/python -m tests.support.audit

lab: $(VENV)/.lab ## open JupyterLab on ten questions and their answers
	$(BIN)/python -m overround.notebook.magics
	$(BIN)/jupyter lab --notebook-dir=. --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate notebooks/explore.ipynb

bench: $(VENV)/.peers ## side-by-side measurements, printed as ratios
	$(BIN)/python -m benchmarks

screenshots: $(VENV)/.dev ## run the line on the simulated market and take the pictures of the README
	$(BIN)/python -m tests.support.screenshots

reference: $(VENV)/.dev ## write docs/reference, every public name, from the docstrings
	$(BIN)/python -m tests.support.reference

lock: $(VENV)/.dev ## resolve the dependencies anew into requirements.lock
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --all-extras --no-header --no-annotate pyproject.toml -o requirements.lock

clean: ## remove the environment, caches and rendered reports (never data/)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis reports/runs reports/*.html
	find lib tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# uv is three times as fast as pip but does not read pip's configuration: hand it pip's index, and let pip itself do the work where uv cannot.
INDEX = $(or $(PIP_INDEX_URL),$(shell $(BIN)/pip config get global.index-url 2>/dev/null))
install = UV_DEFAULT_INDEX="$(INDEX)" $(BIN)/uv pip install -q --python $(BIN)/python --compile-bytecode -c requirements.lock -e '.$(1)' \
	|| $(BIN)/pip install -q -c requirements.lock -e '.$(1)'

$(VENV)/.python: requirements.lock
	$(if $(strip $(PYTHON)),,$(error Overround needs Python 3.11 or newer with venv and ensurepip; none of $(CANDIDATES) is one: make PYTHON=/path/to/python))
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Overround needs Python 3.11 or newer: make PYTHON=/path/to/python")'
	"$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -c requirements.lock uv
	touch $@

$(VENV)/.run: $(VENV)/.python pyproject.toml
	$(call install,)
	$(BIN)/python -m overround.notebook.git_filter install
	touch $@

$(VENV)/.lab: $(VENV)/.run
	$(call install,[lab])
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(call install,[lab$(comma)cluster$(comma)dev])
	touch $@

$(VENV)/.peers: $(VENV)/.dev
	$(call install,[lab$(comma)cluster$(comma)dev$(comma)peers])
	touch $@

comma := ,
