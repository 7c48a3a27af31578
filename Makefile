# Everything that is done here by hand or by a machine. `make` alone lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=
TORTURE_ARGS ?=
SOLVER_ARGS ?= --json build/solvers.json
DATA ?= ../shared/data

# Debian keeps the broker where only root's shell looks.
export PATH := $(PATH):/usr/sbin:/sbin

INSTALLED := $(VENV)/.installed
WARMED := $(VENV)/.warmed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install check format test bench backlog ledger workers solvers optima baskets demo torture migration schemas lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): requirements.lock pyproject.toml deploy/install/venv.sh
	@PYTHON="$(PYTHON)" sh deploy/install/venv.sh $(VENV)
	@touch $@

# The routing kernels are compiled once, so that no first order waits for a compiler.
$(WARMED): $(INSTALLED) $(wildcard edge/routing/*.py)
	$(BIN)/pointsman edge warm
	@touch $@

install: $(WARMED) ## make the virtual environment and compile the kernels

check: $(INSTALLED) ## format, lint, types, house rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/tidy

format: $(INSTALLED) ## format the code and order the imports
	$(BIN)/ruff check --fix --select I .
	$(BIN)/ruff format .

test: $(WARMED) ## all tests, with coverage; installs Mosquitto and PostgreSQL if it may
	@sh deploy/install/mosquitto.sh
	@sh deploy/install/postgresql.sh
	$(BIN)/pytest --cov --cov-report=term --cov-fail-under=90 $(TEST_ARGS)

bench: $(WARMED) ## measure the kernels and the hot path
	$(BIN)/pytest tests/bench --benchmark-only $(BENCH_ARGS)

backlog: $(WARMED) ## a day's backlog: what it costs the tills, how fast it drains; BACKLOG_EVENTS=100000
	$(BIN)/python -m tests.bench.backlog

ledger: $(WARMED) ## a million events at central: ingest, verify, rebuild, export; LEDGER_EVENTS=1000000
	$(BIN)/python -m tests.bench.ledger

workers: $(WARMED) ## ingest on SQLite and on PostgreSQL by one worker and two; WORKERS_EVENTS=100000
	$(BIN)/python -m tests.bench.workers

solvers: $(WARMED) ## the router against HiGHS and CP-SAT, over 2,000 instances (an hour)
	$(BIN)/python -m tests.oracle.solvers $(SOLVER_ARGS)

# The data of these two does not ship; DATA=FOLDER says where it is.
optima: $(WARMED) ## the router against the published optima of OR-Library
	$(BIN)/python -m tests.oracle.orlib --data $(DATA)/orlib --json build/optima.json

baskets: $(WARMED) ## the router on 2,000 real baskets with plenty of stock, and with little
	$(BIN)/python -m tests.bench.baskets --data $(DATA)/online_retail --json build/baskets.json

demo: $(WARMED) ## one real trading day, end to end; DEMO_ARGS="--once --json report.json"
	$(BIN)/pointsman demo $(DEMO_ARGS)

# Half an hour on an idle machine with two processors; the small version is part of `make test`.
torture: $(WARMED) ## break everything while tills pay, then count; TORTURE_ARGS="--seed 2"
	@sh deploy/install/mosquitto.sh
	$(BIN)/pointsman torture $(TORTURE_ARGS)

migration: $(INSTALLED) ## write the next revision of central's tables; WHAT="what changes"
	$(BIN)/python -m central.migrations $(WHAT)

schemas: $(INSTALLED) ## write the JSON Schemas, the examples and the AsyncAPI document
	$(BIN)/pointsman schema export
	$(BIN)/python -m deploy.planning.schemas
	$(BIN)/python -m deploy.explain.schemas

# No machine's own pip settings: they could add paths, and hide files and their hashes.
lock: ## choose the versions anew and write requirements.lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet pip-tools
	env -u PIP_FIND_LINKS -u PIP_CONSTRAINT PIP_CONFIG_FILE=/dev/null \
	  build/lock/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras \
	  --allow-unsafe --no-header --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --extra dev --output-file requirements.lock pyproject.toml

clean: ## remove what make, tools and runs have made
	rm -rf $(VENV) build dist .coverage .coverage.* htmlcov .benchmarks .hypothesis
	rm -rf .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
