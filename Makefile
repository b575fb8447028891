# The project's commands. On a fresh Debian 12 machine, as root, `make demo` and `make test` need nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LAB ?= demo
INSTALLER := $(BIN)/k8s-installer

.PHONY: help setup demo test test-all unit contract fleet lint format golden reference site package bench screens clean

help:
	@echo "make demo      a cluster on three local hosts, with pods that answer (stop it: $(INSTALLER) lab down)"
	@echo "make test      lint, unit, golden, contract and fleet tests"
	@echo "make test-all  the same without sampling: every step at which a run is killed, every flag of the real programs"
	@echo "make setup     the virtual environment .venv with $(INSTALLER)"
	@echo "make lint      ruff, mypy, import-linter"
	@echo "make unit      the tests that need no host"
	@echo "make golden    rewrite the golden files"
	@echo "make reference rewrite docs/cli.md, docs/inventory.md, the man page and the schema"
	@echo "make site      the documentation as a site in site/ (read it: $(BIN)/python -m http.server -d site)"
	@echo "make package   dist/: wheel, sdist, and k8s-installer.pyz, one file for machines without the internet"
	@echo "make bench     compare with bare SSH, pyinfra and Ansible (options: ARGS=--help)"
	@echo "make screens   draw the pictures of the terminal in docs/screens"
	@echo "make clean     remove what make created"

setup: $(VENV)/.done

# Debian 12's pip has no dependency groups, so it is upgraded first
$(VENV)/.done: pyproject.toml
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "installing python3-venv"; apt-get -qq update && apt-get -qq install -y python3-venv >/dev/null; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q --editable . --group dev
	@touch $@

demo: setup
	$(INSTALLER) lab up --name $(LAB)
	$(INSTALLER) apply --yes -i "$$($(INSTALLER) lab status --name $(LAB) -o json | $(BIN)/python -c 'import json, sys; print(json.load(sys.stdin)["inventory"])')"
	$(INSTALLER) lab ssh --name $(LAB) m1 -- kubectl get nodes -o wide
	@echo
	@echo "look at it:  $(INSTALLER) lab ssh --name $(LAB) m1 -- kubectl get nodes"
	@echo "go inside:   $(INSTALLER) lab ssh --name $(LAB) m1"
	@echo "stop it:     $(INSTALLER) lab down --name $(LAB)"

test: lint unit contract fleet

# Everything that `make test` samples: every step at which a run is killed, and every flag of the real programs. An hour.
test-all: export TEST_ALL := 1
test-all: export EVERY_FLAG := 1
test-all: test

unit: setup
	$(BIN)/python -m pytest -q -n auto tests/unit tests/golden --cov --cov-report=term-missing:skip-covered --cov-fail-under=100

contract: setup
	@test -x /usr/sbin/sshd || { echo "installing openssh-server"; apt-get -qq update && apt-get -qq install -y openssh-server >/dev/null; }
	$(BIN)/python -m pytest -q tests/contract

# The fleet needs root on Debian or Ubuntu with cgroup v1; elsewhere this says what is missing and that it did not run.
# Two labs at a time: a lab spends half of its time waiting for services to start.
fleet: setup
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --durations 10 tests/fleet

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check -q --fix .
	$(BIN)/ruff format -q .

golden: setup
	$(BIN)/python -m tests.golden

reference: setup
	$(BIN)/python -m tools.reference

# without -q, which would also hide warnings from --strict
site: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

package: setup
	rm -rf dist
	$(BIN)/python -m tools.package

# Not a test: it takes hours, most of them Ansible's. `make bench ARGS="--no-peers"` is 15 minutes.
bench: setup
	$(BIN)/python -m benchmarks $(ARGS)

# Draws docs/screens from a lab of its own, in two minutes.
screens: setup
	$(BIN)/python -m tools.screens

clean:
	rm -rf $(VENV) .venv-bench dist build site .coverage .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
