# Two commands matter: `make run` and `make test`. Everything they need, they set up.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UP ?=
WORKERS ?= auto

.PHONY: help run sbom advisories test conformance mutation check format lock env clean

help:  ## show this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST)

run: $(VENV)/.ready  ## install what is missing and start Pantau (UP="--port 9000 --data DIR" for options)
	@exec $(BIN)/pantau up $(UP)

test: $(VENV)/.dev  ## install what the tests need and run all of them
	@$(BIN)/python tests/prepare.py
	@$(MAKE) --no-print-directory check
	@rm -f .pytest_cache/v/cache/lastfailed
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile || bash .ci/again $(VENV)

check: $(VENV)/.dev  ## formatter, linter, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

conformance: $(VENV)/.dev  ## read recorded devices (../shared or SHARED) and compare with what they should say
	@$(BIN)/python -m tests.conformance

mutation: $(VENV)/.dev  ## break the rules in every way and see that tests/rules notices (docs/mutation.md)
	@bash .ci/sync $(VENV) --group mutation
	@nice -n 15 $(BIN)/python tools/mutation.py --fresh

format: $(VENV)/.dev  ## format the code and mend what the linter can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

env: $(VENV)/.dev  ## only make the environment

sbom: $(VENV)/.uv  ## write sbom.json: everything that is inside, with versions and hashes (CycloneDX)
	@$(BIN)/uv export --quiet --frozen --no-dev --no-emit-project --format cyclonedx1.5 >sbom.json
	@echo "Pantau: sbom.json is written."

advisories: $(VENV)/.uv  ## ask the network for known faults of what is inside (pip-audit)
	@$(BIN)/uv export --quiet --frozen --no-dev --no-emit-project --format requirements.txt >.venv/requirements.txt
	@$(BIN)/uv tool run pip-audit --requirement .venv/requirements.txt --disable-pip

lock: $(VENV)/.uv  ## renew uv.lock from pyproject.toml (docs/decisions/0002-lock-without-hosts.md)
	@bash .ci/lock

clean:  ## remove the environment and caches (never your data)
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .mutation

# The environment is made in three steps, each resumable: venv, uv (hashed), everything else (hashed).
$(VENV)/.uv: .ci/uv.txt
	@bash .ci/venv $(PYTHON) $(VENV)
	@echo "Pantau: fetching the installer (uv) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .ci/uv.txt
	@touch $@

$(VENV)/.ready: $(VENV)/.uv uv.lock pyproject.toml
	@bash .ci/sync $(VENV) --no-dev
	@touch $@

$(VENV)/.dev: $(VENV)/.uv uv.lock pyproject.toml
	@bash .ci/sync $(VENV)
	@touch $@ $(VENV)/.ready
