# Everything from nothing but python3 >= 3.11: `make` alone says what there is.
# Nothing is installed outside .venv; delete that folder and nothing remains.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo venv test wasm helm stripe-mock bench bench-peers lint typecheck contracts fmt lock deb agent-pyz clean

VENV := .venv
BIN := $(VENV)/bin
WASM := tests/store/wasm
HELM := v3.19.0
STRIPE_MOCK := v0.203.0
LOCK := requirements.lock
# The lock serves as constraint for what is installed and for what builds it, hashes checked by uv.
# Nothing but .venv is touched, whatever virtual environment the caller has active.
INSTALL = env -u VIRTUAL_ENV -u CONDA_PREFIX -u UV_PYTHON $(BIN)/uv pip install --quiet \
	--python $(BIN)/python -c $(LOCK) -b $(LOCK)
LOCKED = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --extra demo \
	--group dev --group fuzz --group mutants --generate-hashes --no-emit-index-url --no-header --no-annotate
ARGS ?=
PYTEST_ARGS ?= -n 4
SECONDS ?= 60
MUTANTS ?=
SEED ?=
KILLS ?= 20
SEEDS ?= 200
BROKER ?= embedded
# Those of the pure modules; what starts servers or processes would only take time.
PURE_TESTS := -q tests/fuzz tests/pipeline tests/schemas --ignore tests/pipeline/test_transport.py \
	$(wildcard $(addprefix tests/agents/test_, frames.py integrate.py integrate_laws.py origin.py sources.py table.py)) \
	$(wildcard $(addprefix tests/invoicing/test_, evidence.py nightly_recompute.py page.py verify.py)) \
	tests/payments/test_rules.py tests/rackmeter/test_offline.py

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.demo ## meter this machine, bill a fleet, 90 seconds (ARGS="--json --seed 7")
	@$(BIN)/rackmeter demo $(ARGS)

venv: $(VENV)/.dev ## .venv with everything, development tools included

test: $(VENV)/.dev wasm helm stripe-mock ## lint, types, import contracts, tests (PYTEST_ARGS="-k chains")
	@$(MAKE) --no-print-directory lint typecheck contracts
	$(BIN)/pytest $(PYTEST_ARGS)

wasm: ## TimescaleDB in WebAssembly for the store's tests, where node and npm are
	@if command -v node >/dev/null && command -v npm >/dev/null; then \
	  $(MAKE) -s --no-print-directory $(WASM)/node_modules/.stamp || echo "rackmeter: npm could not install $(WASM)" >&2; \
	else echo "rackmeter: no node and npm here, so the store is not tested on TimescaleDB" >&2; fi

$(WASM)/node_modules/.stamp: $(WASM)/package.json $(WASM)/package-lock.json
	@npm ci --silent --prefix $(WASM) >&2
	@touch $@

helm: $(VENV)/.dev ## Helm, which renders the chart for its tests, where Go is (minutes, once)
	@if test -x $(VENV)/tools/helm || command -v helm >/dev/null; then :; \
	elif command -v go >/dev/null; then \
	  GOBIN=$(CURDIR)/$(VENV)/tools timeout 10m go install helm.sh/helm/v3/cmd/helm@$(HELM) >&2 \
	    || echo "rackmeter: go could not install helm, so the chart is not rendered" >&2; \
	else echo "rackmeter: no helm and no go here, so the chart is not rendered" >&2; fi

stripe-mock: $(VENV)/.dev ## what checks every request against Stripe's OpenAPI, where Go is (a minute, once)
	@if test -x $(VENV)/tools/stripe-mock || command -v stripe-mock >/dev/null; then :; \
	elif command -v go >/dev/null; then \
	  GOBIN=$(CURDIR)/$(VENV)/tools timeout 10m go install github.com/stripe/stripe-mock@$(STRIPE_MOCK) >&2 \
	    || echo "rackmeter: go could not install stripe-mock, so requests to Stripe are not checked" >&2; \
	else echo "rackmeter: no stripe-mock and no go here, so requests to Stripe are not checked" >&2; fi

lint: $(VENV)/.dev ## ruff, rules and format; squawk, what migrations lock
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/squawk sinks/migrations/*.sql sinks/roles/*.sql

typecheck: $(VENV)/.dev ## mypy, strict, tests included
	$(BIN)/mypy

contracts: $(VENV)/.dev ## who may import whom
	$(BIN)/lint-imports

coverage: $(VENV)/.dev ## branches of the pure modules that no test reaches; fails under 98 %
	$(BIN)/coverage run -m pytest $(PURE_TESTS)
	$(BIN)/coverage report --include="$$($(BIN)/python -m tests.pure)"

fuzz: $(VENV)/.fuzz ## look for inputs that break a law (SECONDS=60 for each of two targets)
	$(BIN)/python -m tests.fuzz decoding -max_total_time=$(SECONDS)
	$(BIN)/python -m tests.fuzz metering -max_total_time=$(SECONDS)

chaos: $(VENV)/.dev ## kill workers, stop servers, cut connections; audit (SEED= KILLS=20 BROKER=kafka)
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) --kills $(KILLS) --broker $(BROKER) $(ARGS)

killed: $(VENV)/.dev ## closes killed at 200 random points: every invoice once, every number once (SEEDS=200)
	RACKMETER_SEEDS=$(SEEDS) $(BIN)/pytest $(PYTEST_ARGS) tests/invoicing/test_close_killed.py

mutants: $(VENV)/.mutants ## change what decides about quantities; does a test notice? (MUTANTS="*admit*")
	$(BIN)/mutmut run --max-children 1 $(MUTANTS)
	$(BIN)/mutmut results

fmt: $(VENV)/.dev ## format, and repair what ruff can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lock: $(BIN)/uv ## requirements.lock anew, every pin at its newest
	$(LOCKED) --upgrade --output-file $(LOCK)

deb: $(VENV)/.dev ## the agent as build/deb/rackmeter-agent_VERSION_{amd64,arm64}.deb, where dpkg-deb is
	@$(BIN)/python -m deploy.deb.build

agent-pyz: $(VENV)/.dev ## the agent as build/rackmeter-agent.pyz, one file for a look: ... sample
	@$(BIN)/python -m deploy.deb.pyz

bench: $(VENV)/.demo ## throughput beside the limit (ARGS="--peers --kill --json"), see docs/benchmarks.md
	@$(BIN)/python -m benchmarks.throughput $(ARGS)

bench-peers: $(BIN)/uv ## Faust, quixstreams, bytewax and Flink for the benchmark, in .venv-peers
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-peers
	$(BIN)/uv pip install --quiet --python .venv-peers/bin/python --require-hashes \
	  -r benchmarks/peers/requirements.txt
	-mvn -q -B -f benchmarks/peers/flink/pom.xml dependency:copy-dependencies \
	  -DincludeScope=runtime -DoutputDirectory=$(CURDIR)/.venv-peers/flink

clean: ## remove .venv, caches and builds
	rm -rf $(VENV) .venv-peers build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment: each stamp is older than what it was made from, or made again ------------------

# A .venv whose python is gone, or that was moved here with its folder, is made anew.
SOUND := $(shell test "$$(cat $(VENV)/.where 2>/dev/null)" = "$$(pwd -P)" \
	&& $(BIN)/python -c '' 2>/dev/null && echo yes)

.PHONY: FORCE
FORCE:

# The first python >= 3.11 that can make a virtual environment; one sentence when there is none.
# What is installed is said on stderr: stdout belongs to the commands.
$(VENV)/.where: $(if $(SOUND),,FORCE)
	@without=; \
	for python in $${PYTHON:-python3.13 python3.12 python3.11 python3.14 python3 python}; do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	  if "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then \
	    echo "rackmeter: making $(VENV) with $$("$$python" --version)" >&2; \
	    "$$python" -m venv --clear $(VENV) >&2 && pwd -P > $@; \
	    exit; \
	  fi; \
	  without="$${without:-$$python}"; \
	done; \
	if [ -n "$$without" ]; then \
	  echo "rackmeter: $$without cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; \
	else \
	  echo "rackmeter needs Python 3.11 or newer and found none; install one, or name it: make PYTHON=/path/to/python3" >&2; \
	fi; exit 2

# uv itself comes through pip, with the hashes of the lock: pip alone would need three times as long
# for the rest, and refuses hashes beside a local folder.
$(BIN)/uv: $(VENV)/.where $(LOCK)
	@awk '/^[a-zA-Z0-9]/ { own = /^uv==/ } own' $(LOCK) > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	  -r $(VENV)/uv.txt >&2
	@touch $@

$(VENV)/.demo: $(BIN)/uv pyproject.toml $(LOCK)
	@$(INSTALL) -e '.[demo]' >&2
	@touch $@

$(VENV)/.dev: $(BIN)/uv pyproject.toml $(LOCK)
	@$(INSTALL) -e '.[demo]' --group dev >&2
	@touch $(VENV)/.demo $@

$(VENV)/.fuzz: $(VENV)/.dev
	@$(INSTALL) --group fuzz >&2
	@touch $@

$(VENV)/.mutants: $(VENV)/.dev
	@$(INSTALL) --group mutants >&2
	@touch $@
