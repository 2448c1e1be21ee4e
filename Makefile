SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SET_UP := $(VENV)/.set-up
PEERS := build/bench-peers
PROTOS := $(shell find protos/siloway -name '*.proto' | sort)

##@ Use
.PHONY: help run demo clean-data
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: setup ## Start control and the regions us and de here, with all they need (Ctrl-C stops)
	@exec $(BIN)/siloway up

demo: setup ## Run the main job against a running stack, step by step
	@$(BIN)/siloway demo

clean-data: ## Remove the data of `make run`
	@test ! -e .siloway/lock || flock --nonblock .siloway/lock true || { echo "siloway: a local stack works on .siloway; stop it first" >&2; exit 1; }
	@rm -rf .siloway

##@ Develop
.PHONY: setup test test-long chaos kills bench bench-peers bench-curves check format protos protoset baseline lock clean
setup: $(SET_UP) ## Make the virtual environment with the pinned packages

$(SET_UP): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

test: setup ## Run the tests in three processes, each with a PostgreSQL and a Redis of its own
	@$(BIN)/pytest --numprocesses 3 -m "not long and not faults and not chaos"

test-long: setup ## Run the others: tours of the command, every genuine export, kills, cut connections, moved clocks
	@$(BIN)/pytest --numprocesses 3 -m "(long or faults) and not chaos"

bench: setup ## Measure speed as ratios to floors (QUICK=1 in under 4 minutes, OUT=file, NAMES="..")
	@$(BIN)/python -m tests.bench $(if $(QUICK),--quick) $(if $(OUT),--out $(OUT)) $(NAMES)

bench-peers: setup $(PEERS)/.set-up ## Install Django, pgqueuer and procrastinate apart, and measure us against them
	@$(MAKE) --no-print-directory bench NAMES="import_vs_loaddata outbox_drain_vs_pgqueuer outbox_drain_vs_procrastinate"

$(PEERS)/.set-up: tests/bench/peers/requirements.lock
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

bench-curves: setup ## Draw how cost grows with size (QUICK=1: smaller; OUT=build/bench-curves.svg)
	@$(BIN)/python -m tests.bench.curves $(if $(QUICK),--quick) $(if $(OUT),--out $(OUT))

chaos: setup ## Kill each process of a stack in turn under a thousand changes (CHAOS_SEED, _CHANGES, _CALLERS, _ROUNDS, _HALTS, _HALT_MAX_S)
	@$(BIN)/pytest tests/faults/chaos -m chaos --capture=no

kills: setup ## Kill processes and clients at fifty random points of imports, each asked for again (KILLS_SEED, _COUNT)
	@$(BIN)/pytest tests/faults/kills -m chaos --capture=no

check: setup ## Formatting, lint, types, import rules, protos
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@mkdir -p build
	@$(BIN)/lint-imports > build/imports.txt || { cat build/imports.txt; exit 1; }
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code
	@$(BIN)/buf breaking protos --exclude-imports --against protos/baseline.binpb
	@$(BIN)/python protos/generate.py --check
	@echo "check: all well"

format: setup ## Format Python and protos
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/buf format -w

protos: setup ## Generate protos/gen from protos/siloway
	@$(BIN)/python protos/generate.py

protoset: setup ## Write build/siloway.protoset, a descriptor set for tools
	@mkdir -p build && $(BIN)/buf build protos -o build/siloway.protoset --as-file-descriptor-set

baseline: setup ## Replace the contract that breaking changes are judged against (needs a decision record)
	@$(BIN)/buf build protos --exclude-source-info -o protos/baseline.binpb

lock: setup ## Pin all packages anew
	@$(BIN)/uv pip compile --quiet --python-version 3.11 --all-extras --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade pyproject.toml -o requirements.lock

clean: ## Remove the virtual environment and caches
	@rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
