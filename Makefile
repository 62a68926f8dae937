# One word per habit. Needs Python 3.11 or newer, pip and make; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
CODE := $(wildcard src tests scripts examples benchmarks .ci)

.PHONY: help demo test check style types floors house soak bench peers fmt picture docs site prices clean

help:
	@sed -n 's/^\([a-z]*\):.*  ## /make \1\t/p' Makefile | expand -t 16

demo: .venv/package  ## the tour, no key needed; ends by itself
	@$(BIN)/penstock demo --once

test: .venv/dev  ## every test, some side by side
	$(BIN)/python scripts/side_by_side.py $(ARGS)

check: style types floors house  ## style, types, floors, limits, dependencies: what CI asks first

# Apart, so that CI can have two of them at a time.
style: .venv/dev
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

types: .venv/dev
	$(BIN)/mypy $(wildcard src tests scripts examples) .ci/wheel.py

floors: .venv/dev
	$(BIN)/lint-imports
	$(BIN)/deptry src

house: .venv/dev
	$(BIN)/python -m pytest -q tests/house

soak: .venv/soak  ## what takes minutes: floods, slow callers, a million fuzzed cases; tells figures
	$(BIN)/python scripts/soak.py $(ARGS)

bench: .venv/dev  ## CPU per request beside a bare relay; see benchmarks/README.md
	$(BIN)/python benchmarks/run.py $(ARGS)

peers: .venv/dev  ## the same beside other gateways, which it installs into benchmarks/build first
	$(BIN)/python benchmarks/peers.py $(ARGS)

fmt: .venv/dev  ## put the code in shape
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

picture: .venv/made  ## draw docs/house.svg and docs/house.md anew from the imports
	$(BIN)/python -m scripts.house

docs: .venv/package  ## make the pages of docs/ that are made from code
	$(BIN)/python -m scripts.dialects
	$(BIN)/python -m scripts.providers
	$(BIN)/python -m scripts.errors
	$(BIN)/python -m scripts.config_reference
	$(BIN)/python -m scripts.scenario_reference

site: .venv/site  ## build the documentation's site into site/, every warning an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

prices: .venv/dev  ## compile the table of models and prices anew from its sources: docs/prices.md
	$(BIN)/python -m scripts.prices

clean:  ## forget the environment and every cache
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# Stamps, so that a second run installs nothing until pyproject.toml changes.
# pip reads dependency groups since 25.1, and the one that a new environment starts with may be older.
.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Penstock needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1)." >&2; \
	  echo "Name another one, such as: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(PIP) --upgrade 'pip>=25.1'
	@touch $@

.venv/package: pyproject.toml | .venv/made
	$(PIP) --editable .
	@touch $@

.venv/dev: pyproject.toml | .venv/made
	$(PIP) --editable . --group dev
	@touch $@ .venv/package

.venv/site: pyproject.toml | .venv/made
	$(PIP) --group docs
	@touch $@

.venv/soak: .venv/dev
	$(PIP) --group soak
	@touch $@
