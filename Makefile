# Needs Python 3.11 or later and a network for the first run; everything goes into .venv.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The suites start this house some hundred times: with its bytecode that is much faster.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help up test check slow weekly bench all fmt docs prepare

DATA ?= gatelodge-data
WORKERS ?= auto
HOUSE := tests/house tests/test_guarantees.py
# The system's own Python first: MCP servers that run under uids of their own can reach it.
PYTHON := $(shell for p in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$p" && break; done)
BIN := .venv/bin
NODE := $(shell command -v npm 2>/dev/null)

# Servers and clients written in JavaScript: used when Node is there, left out and said so if not.
DEMO_NODE := $(if $(NODE),$(patsubst %/package.json,%/node_modules/.stamp,$(wildcard examples/demo/package.json)))
TEST_NODE := $(if $(NODE),$(patsubst %/package.json,%/node_modules/.stamp,$(wildcard tests/node/package.json)))
# What only the slow suites run: more servers, the official conformance suites with the Node that
# they need, and the agents' own programs, which take it from there.
SLOW_NODE := $(if $(NODE),$(patsubst %/package.json,%/node_modules/.stamp,$(wildcard tests/servers/package.json tests/conformance/package.json tests/conformance/old/package.json tests/agents/package.json)))

# Clients of other makers that only the slow suites run: built where their toolchain is.
CLIENTS := tests/clients
SLOW_CLIENTS := $(if $(shell command -v go 2>/dev/null),$(CLIENTS)/go/bin/.stamp) \
	$(if $(shell command -v cargo 2>/dev/null),$(CLIENTS)/rust/target/.stamp) \
	$(if $(shell command -v mvn 2>/dev/null),$(CLIENTS)/java/target/.stamp)

# What the quick suites write is read back at once and thrown away: in memory, where there is room
# for it (4 GB), no test waits for a disk. The paths
# are short: a gate's socket stands below them.
MEMORY := $(shell [ -w /dev/shm ] && ! grep -q '^[^ ]* /dev/shm .*noexec' /proc/mounts \
	&& [ "$$(df -Pk /dev/shm | awk 'NR == 2 {print $$4}')" -gt 4000000 ] && echo /dev/shm)

# Slow suites that are many small tests: these run side by side. The others kill gates, measure, or
# start programs that want the machine to themselves.
TOGETHER := tests/contract tests/integration/attacks tests/integration/bridges \
	tests/integration/door tests/integration/endpoint tests/integration/record \
	tests/integration/clients tests/integration/upstream \
	$(wildcard tests/integration/test_upstream_*.py)

help:  ## Show what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

up: prepare  ## See the first minute, then serve; data stays in ./gatelodge-data (ONCE=1: only see)
	@$(if $(DEMO_NODE),$(MAKE) -s $(DEMO_NODE) || echo "npm failed: the demo goes on without Node servers", \
		echo "npm is not there: the demo goes on without Node servers")
	@exec $(BIN)/python examples/first_minute.py --data-dir "$(DATA)" \
		$(if $(PORT),--port $(PORT)) $(if $(ONCE),--once)

test: prepare $(TEST_NODE) $(DEMO_NODE)  ## Run the quick suites
	@$(if $(NODE),,echo "npm is not there: tests with Node clients and servers are not run")
	@at="$$(mktemp -d $(or $(MEMORY),/tmp)/gl.XXXX)"; trap 'rm -rf "$$at"' EXIT; chmod 755 "$$at"; \
	TMPDIR="$$at" $(BIN)/pytest -m "not slow" -n $(WORKERS) --basetemp="$$at/t" $(HOUSE:%=--ignore=%)

check: prepare  ## Lint, format, types, import contracts and house rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest -n 0 $(HOUSE)

slow: prepare $(TEST_NODE) $(SLOW_NODE) $(DEMO_NODE) $(SLOW_CLIENTS)  ## Run the suites that need more time
	$(BIN)/pytest -m "slow and not weekly" $(TOGETHER:%=--ignore=%)
	$(BIN)/pytest -m "slow and not weekly" -n $(WORKERS) $(TOGETHER)
	$(BIN)/pytest -m hypothesis -n $(WORKERS) --hypothesis-profile=many

weekly: prepare $(TEST_NODE) $(SLOW_NODE)  ## Run what slow leaves out: every client with every server
	$(BIN)/pytest -m weekly -n $(WORKERS) tests/integration/bridges

all: check test slow  ## Everything that is checked before a change is taken

bench: prepare  ## Measure the call path on this machine
	$(BIN)/python -m bench

fmt: prepare  ## Format and mend what can be mended
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

docs: prepare  ## Write the generated pages of docs/reference anew
	$(BIN)/python docs/generate.py

prepare: .venv/.stamp

.venv/.stamp: pyproject.toml uv.lock
	@$(if $(PYTHON),,echo "Python 3.11 or later is needed" >&2; exit 1)
	@if [ ! -x $(BIN)/python ]; then "$(PYTHON)" -m venv .venv; fi
	@if command -v uv >/dev/null; then \
		uv sync -q --frozen --all-groups --inexact --compile-bytecode; \
	else \
		$(BIN)/python -m pip install -q uv && $(BIN)/uv sync -q --frozen --all-groups --inexact --compile-bytecode; \
	fi
	@touch $@

%/node_modules/.stamp: %/package.json %/package-lock.json
	cd $* && npm ci --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

$(CLIENTS)/go/bin/.stamp: $(wildcard $(CLIENTS)/go/go.* $(CLIENTS)/go/*/main.go)
	cd $(CLIENTS)/go && go build -o bin/ ./...
	@touch $@

$(CLIENTS)/rust/target/.stamp: $(wildcard $(CLIENTS)/rust/Cargo.* $(CLIENTS)/rust/src/*)
	cd $(CLIENTS)/rust && cargo build -q --locked
	@touch $@

$(CLIENTS)/java/target/.stamp: $(CLIENTS)/java/pom.xml $(wildcard $(CLIENTS)/java/src/main/java/*)
	cd $(CLIENTS)/java && mvn -q -B -ntp package
	@touch $@
