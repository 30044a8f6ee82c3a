# The front door. `make demo` and `make test` set up everything that they need, in .venv.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMPS := .stamps

RUST_SOURCES := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name 'Cargo.toml')

# cargo builds the binding for the environment's Python, whatever else is on the PATH.
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python

LIVEKIT := .venv-livekit/bin
PLUGIN := python/livekit-plugins-60db
PIPECAT := .venv-pipecat/bin

.PHONY: demo test test-rust test-python test-integrations lint types bench bench-wire soak docs clean

demo: $(STAMPS)/wheel
	$(BIN)/voicecore demo --out demo

test: lint types test-rust test-python test-integrations

test-rust: $(STAMPS)/venv
	cargo test --workspace --quiet
	cargo test --package voicecore --test transcoder --test wav --quiet

test-python: $(STAMPS)/wheel $(STAMPS)/livekit
	rm -rf $(STAMPS)/coverage
	$(BIN)/python -m coverage run -m pytest tests --numprocesses auto --dist worksteal --benchmark-disable
	$(BIN)/python tests/coverage_gate.py

# The frameworks that voicecore lives in, each in an environment of its own.
test-integrations: $(STAMPS)/livekit $(STAMPS)/pipecat
	$(LIVEKIT)/python -m pytest tests/integrations/livekit
	$(PIPECAT)/python -m pytest tests/integrations/pipecat

lint: $(STAMPS)/wheel
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMPS)/wheel $(STAMPS)/livekit $(STAMPS)/pipecat
	$(BIN)/mypy
	MYPYPATH=python:$(PLUGIN) $(LIVEKIT)/mypy --explicit-package-bases python/voicecore/integrations/livekit/*.py $(PLUGIN)/livekit/plugins/_60db/*.py
	MYPYPATH=python $(PIPECAT)/mypy --explicit-package-bases python/voicecore/integrations/*.py python/voicecore/integrations/pipecat/*.py
	$(BIN)/python -m mypy.stubtest voicecore._core

bench: $(STAMPS)/wheel
	$(BIN)/python -m pytest benches --benchmark-only --benchmark-max-time=0.1 --benchmark-columns=median,ops \
		--benchmark-sort=name --quiet
	$(BIN)/python -m benches --json bench.json --markdown bench.md

# Ours and its peers under the same load, from the socket to samples; about an hour. WIRE=--quick takes a minute.
bench-wire: $(STAMPS)/wheel
	$(BIN)/python -m benches.wire $(or $(WIRE),--plot docs/throughput.svg) --json bench-wire.json --markdown bench-wire.md

# MINUTES=30 STREAMS=500: many streams with random faults; memory, lateness and errors at the end.
soak: $(STAMPS)/wheel
	$(BIN)/python -m benches.soak --minutes $(or $(MINUTES),5) --streams $(or $(STREAMS),500)

docs: $(STAMPS)/wheel
	$(BIN)/voicecore vendors --errors --markdown > docs/errors.md
	$(BIN)/python -m pytest tests -m fault -q --fault-matrix docs/faults.md

# The environment, then the wheel: an editable install, so that Python files need no rebuild.
$(STAMPS)/venv:
	$(PYTHON) -c 'import sys; sys.exit("voicecore needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	mkdir -p $(STAMPS) && touch $@

$(STAMPS)/wheel: $(STAMPS)/venv pyproject.toml $(RUST_SOURCES)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

# LiveKit Agents brings much with it: it has an environment of its own, where our plugin, its rivals and its tests are.
$(STAMPS)/livekit: $(STAMPS)/wheel pyproject.toml $(PLUGIN)/pyproject.toml
	$(PYTHON) -m venv .venv-livekit
	$(LIVEKIT)/python -m pip install --quiet --editable '.[emulator,livekit-test]' --editable $(PLUGIN)
	touch $@

# So does Pipecat.
$(STAMPS)/pipecat: $(STAMPS)/wheel pyproject.toml
	$(PYTHON) -m venv .venv-pipecat
	$(PIPECAT)/python -m pip install --quiet --editable '.[emulator,pipecat-test]'
	touch $@

clean:
	rm -rf $(VENV) .venv-livekit .venv-pipecat $(STAMPS) target demo python/voicecore/_core*.so
