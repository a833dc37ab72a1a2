# Needs Python 3.11 or later and a network for the first run; everything goes into .venv.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The suites start this house some hundred times: with its bytecode that is much faster.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help up test check slow weekly engines kubernetes bench all fmt docs screenshots prepare

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

# Slow suites that run side by side. The others measure time or memory, count what is left on the
# machine, or start programs that want it to themselves.
TOGETHER := tests/unit tests/access tests/console tests/property tests/fuzz tests/conformance \
	tests/contract tests/integration/attacks tests/integration/bridges \
	tests/integration/definitions tests/integration/door tests/integration/endpoint \
	tests/integration/net tests/integration/packages tests/integration/record \
	tests/integration/servers tests/integration/vault tests/landlock \
	tests/integration/clients tests/integration/upstream tests/integration/nouns \
	tests/integration/tracing tests/integration/watching tests/integration/trust \
	tests/integration/jobs/test_job_commands.py tests/kubernetes/test_manifests.py \
	$(wildcard tests/integration/test_upstream_*.py tests/integration/test_cli*.py) \
	tests/fault/disk tests/fault/test_canary.py tests/fault/test_kill.py \
	tests/fault/test_start_refused.py tests/scenario/test_demo_history.py $(wildcard tests/fault/test_sequencer_*.py)

# Counts what is left on the machine, so nothing else may leave something meanwhile.
ENDURANCE := tests/contract/runtimes/test_endurance.py

help:  ## Show what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

up: prepare  ## See the first minute, then serve; data stays in ./gatelodge-data (ONCE=1: only see)
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
	$(BIN)/pytest -m "slow and not weekly" $(ENDURANCE)
	$(BIN)/pytest -m "slow and not weekly" -n $(WORKERS) --ignore=$(ENDURANCE) $(TOGETHER)
	$(BIN)/pytest -m hypothesis -n $(WORKERS) --hypothesis-profile=many

weekly: prepare $(TEST_NODE) $(SLOW_NODE)  ## Run what slow leaves out: all clients with all servers, images on both loops, more damage and odd requests
	GATELODGE_FUZZ_SECONDS=120 $(BIN)/pytest -m weekly -n $(WORKERS)
	GATELODGE_FUZZ_SECONDS=120 $(BIN)/pytest -m slow -n $(WORKERS) tests/fuzz

engines: prepare  ## Run servers in containers of Docker and of Podman (root, docker.io, podman)
	@$(BIN)/python -m tests.contract.runtimes.engines.started
	REQUIRE_RUNTIMES=podman,docker $(BIN)/pytest -n 0 -m "not weekly" -k "podman or dockerd" \
		tests/contract/runtimes tests/integration/hosting/test_engine_gates.py

kubernetes: prepare  ## Run servers in a real cluster on this machine (root, etcd, containerd, kubeall)
	@$(BIN)/python -m tests.kubernetes.needs
	REQUIRE_RUNTIMES=kubernetes $(BIN)/pytest -n 0 tests/kubernetes
	REQUIRE_RUNTIMES=kubernetes $(BIN)/pytest -n 0 -m "not weekly" -k kubernetes \
		tests/contract/runtimes

all: check test slow  ## Everything that is checked before a change is taken

bench: prepare  ## Measure the call path on this machine
	$(BIN)/python -m bench

fmt: prepare  ## Format and mend what can be mended
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

screenshots: prepare $(DEMO_NODE)  ## Take the pictures and outputs of README and how-to pages anew (chromium)
	$(BIN)/python docs/screenshots.py

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
