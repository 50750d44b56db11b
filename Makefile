# The words of this repository. `make` alone lists them; none needs anything prepared beforehand.
# A fresh Debian needs git, make, gcc and Python >= 3.11; as root, `make` installs what else is missing.

PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.14; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v "$$p"; break; }; done)
VENV := .venv
FLAVOUR ?= lean
BIN := $(VENV)/bin

# Debian packages that tests need beyond setup, as PROGRAM:PACKAGE.
TEST_PROGRAMS := mount:mount xargs:findutils ps:procps chromium:chromium nix:nix-bin bwrap:bubblewrap \
	systemd-nspawn:systemd-container systemd-analyze:systemd useradd:passwd setpriv:util-linux script:bsdutils

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
export DEBIAN_FRONTEND := noninteractive

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run setup check fix test soak bench binary vulnerabilities

help:
	@echo "make WORD"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

run: setup ## run a first blueprint and see it complete
	@run=first-$$(date +%s)-$$$$ && $(BIN)/mnedge blueprint run message_routing_trace --run-id $$run && \
	  echo "every hop, as mnedge job events $$run shows it:" && $(BIN)/mnedge job events $$run

setup: $(VENV)/.ready ## make .venv with everything in requirements.lock, and mnedge itself
	@:

check: setup ## format, lint, types, floors: change nothing, say what is wrong
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fix: setup ## format and repair what can be repaired by itself
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

test: check binary $(VENV)/.ready-test ## check, freeze, then the tests that fit CI
	@$(BIN)/python -m pytest -n logical --dist loadfile

soak: binary $(VENV)/.ready-test ## every test with its full counts: hours
	@MNEDGE_SOAK=1 $(BIN)/python -m pytest -n logical --dist loadfile -m "soak or not soak"

bench: setup ## figures, each beside its floor, measured in the same run
	@$(BIN)/python tests/bench/run.py

binary: setup ## freeze one executable and run its self-test; FLAVOUR=full adds numba
	@FLAVOUR=$(FLAVOUR) packaging/build.sh

vulnerabilities: ## look up what is known against the packages of the locks; OSV_URL names a database
	@"$(PYTHON)" packaging/vulnerabilities.py requirements.lock packaging/*.lock

# Each step leaves a stamp in .venv, so a second call starts nothing.
$(VENV)/.ready: requirements.lock pyproject.toml $(wildcard native/*.py native/*.[ch]) $(wildcard plugins/*/__init__.py) | $(VENV)/.python
	@echo "setup: installing what requirements.lock names"
	@$(BIN)/python -m pip install -q --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c 'import mnedge.hot._native' 2>/dev/null || \
		echo "setup: no compiled module (it takes gcc and Python.h); the plain-Python twins take over"
	@touch $@

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "setup: no Python >= 3.11 found; install one or say PYTHON=/path/to/python3" >&2; exit 1; }
	@set -eu; \
	version=$$("$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	missing=""; \
	"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || missing="$$missing python$$version-venv"; \
	"$(PYTHON)" -c 'import os, sys, sysconfig as s; sys.exit(not os.path.exists(s.get_path("include") + "/Python.h"))' \
		|| missing="$$missing python$$version-dev"; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "setup: apt-get install$$missing"; \
		apt-get -qq update && apt-get -qq install -y --no-install-recommends $$missing >/dev/null; \
	elif [ -n "$$missing" ]; then \
		echo "setup: missing:$$missing (as root: apt-get install$$missing)" >&2; \
	fi; \
	"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "setup: $(PYTHON) cannot make a virtual environment without ensurepip" >&2; exit 1; }; \
	echo "setup: $(VENV) from $(PYTHON) ($$version)"; \
	"$(BIN)/python" -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV); \
	touch $@

$(VENV)/.ready-test: Makefile | $(VENV)/.ready
	@set -eu; missing=""; \
	for pair in $(TEST_PROGRAMS); do command -v "$${pair%%:*}" >/dev/null || missing="$$missing $${pair##*:}"; done; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "setup: apt-get install$$missing"; \
		apt-get -qq update && apt-get -qq install -y --no-install-recommends $$missing >/dev/null; \
	elif [ -n "$$missing" ]; then \
		echo "setup: tests need what is not here:$$missing" >&2; \
	fi; \
	touch $@
