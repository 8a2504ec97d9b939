# Everything runs in .venv, with the exact versions of requirements.lock, and on the system's Python,
# as the services do, if that is new enough; else on the first of PATH.
USABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach it,/usr/bin/python3 python3,\
  $(shell $(it) -c '$(USABLE)' 2>/dev/null && echo $(it))) python3)
VERSION = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
VENV := .venv
# `make test PYTHON=python3.13` leaves a .venv of another Python as it is, and uses .venv-3.13
ifeq ($(origin PYTHON),command line)
  ifneq ($(filter-out $(call VERSION,$(PYTHON)),$(call VERSION,.venv/bin/python)),)
    VENV := .venv-$(call VERSION,$(PYTHON))
  endif
endif
BIN := $(VENV)/bin
CHECKED := boards firmware host tests tools

.DEFAULT_GOAL := help
.PHONY: help venv demo test quick sim fuzz mutants lint format mpy bench deb lists lock clean

help: ## this list
	@awk -F ': .*## ' '/^[a-z]+: .*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

$(VENV)/stamp: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'Writ needs Python 3.11 or newer; $(PYTHON) is older, or missing.'; \
	  echo 'Name another one: make PYTHON=python3.12 ...'; exit 1; }
	@$(PYTHON) tools/make_venv.py $(VENV)

venv: $(VENV)/stamp ## the environment, .venv

demo: venv ## a whole scope on this machine; KEEP=1 keeps it running, STEPS=mesh plays a part
	@$(BIN)/writ demo $(if $(KEEP),--keep) $(if $(STEPS),--steps $(STEPS))

test: lint mpy ## what CI runs: lint, types, all tests
	@$(BIN)/pytest --numprocesses auto $(ARGS)

quick: lint ## lint, types and the fast tests: the inner loop, under 90 seconds on two cores
	@$(BIN)/pytest --numprocesses auto -m "not slow" $(ARGS)

# In CI, after `make test`: `make sim`, and for the night `make sim SEEDS=200000 SEED_START=n`.
sim: venv ## governors, or WORLD=mesh, in a world of faults; SEED=n replays one, SEEDS=, SEED_START=
	@$(BIN)/python tools/sim.py --world $(or $(WORLD),governors) $(if $(SEED),--seed $(SEED)) --seeds $(or $(SEEDS),2000) \
	  --start $(or $(SEED_START),1)

fuzz: venv ## random and mutated frames through the mesh, ten minutes; SEED=n FRAMES=n RELAY=n choose
	@$(BIN)/python tools/fuzz.py $(if $(SEED),--seed $(SEED)) $(if $(FRAMES),--frames $(FRAMES)) \
	  $(if $(RELAY),--relay $(RELAY))

# In CI, after `make test`, with TABLE=attacks. ROW and TABLE reach the shell by its environment,
# where a quote in the name of a row quotes nothing.
mutants: venv ## take defences out of copies of the tree: each one's test must fail; ROW=, TABLE=, JSON=1
	@$(BIN)/python tools/mutants.py $(if $(ROW),--row "$$ROW") $(if $(TABLE),--table "$$TABLE") \
	  $(if $(JSON),--json) $(ARGS)

lint: venv ## ruff and mypy
	@$(BIN)/ruff check --quiet $(CHECKED)
	@$(BIN)/ruff format --quiet --check $(CHECKED) || { \
	  $(BIN)/ruff format --check $(CHECKED); echo 'make format corrects it'; exit 1; }
	@$(BIN)/mypy

format: venv ## correct the format, and what ruff can fix
	@$(BIN)/ruff check --quiet --fix $(CHECKED)
	@$(BIN)/ruff format $(CHECKED)

mpy: venv ## the device's modules, compiled into build/mpy
	@$(BIN)/python tools/build_mpy.py $(if $(LINES),--lines)

deb: venv ## the Debian package for Pis and PCs: SUITE=trixie or bookworm, ARCH=arm64 or amd64
	@$(BIN)/python tools/build_deb.py $(if $(SUITE),--suite $(SUITE)) $(if $(ARCH),--arch $(ARCH))

bench: mpy ## measure speed, bytes and memory; CHECK=1 fails if a goal is missed
	@$(BIN)/python tools/bench.py $(if $(CHECK),--check) $(ARGS)

lists: venv ## rewrite firmware/manifest.py after you add or remove a module
	@$(BIN)/python tools/device_files.py

lock: ## rewrite requirements.lock with the newest versions (needs uv)
	@uv pip compile pyproject.toml --extra test --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-header --no-annotate --no-emit-index-url --quiet \
	  --output-file requirements.lock >/dev/null

clean: ## remove all that make created
	@rm -rf .venv .venv-* build dist .mypy_cache .pytest_cache .hypothesis .ruff_cache *.egg-info
	@find $(CHECKED) -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
