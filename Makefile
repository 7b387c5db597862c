# One command for each thing a developer does here. `make` alone tells them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
# Containers often set it; then every Python that is started compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help venv run fast test serial test-long test-others lint check bench bench-models

PYTHON ?= python3
# Half of the time a test that starts programs waits for them, and another one can work.
WORKERS ?= $(shell echo $$((2 * $$(nproc))))
VENV := .venv
BIN := $(VENV)/bin
CODE := daemon tui $(wildcard bench)
SOURCES := $(CODE) tests
# A mark, not the folder: an installation that broke off is begun again.
INSTALLED := $(VENV)/.installed
# ASYNC127 wants another HTTP client than the one this project is built on; ASYNC91x, that every path
# through every function is a checkpoint, is a rule for libraries.
FLAKE8_ASYNC := --startable-in-context-manager=serve,serve_door,write,live \
	--disable=ASYNC127,ASYNC910,ASYNC911,ASYNC912,ASYNC913
# A fake of something that waits may not wait itself.
FLAKE8_ASYNC_TESTS := $(FLAKE8_ASYNC),ASYNC124

help:
	@echo "make run     describe this checkout in llms.txt.d/, on a daemon made for the purpose"
	@echo "make fast    the tests that start no program and open no socket, in a minute"
	@echo "make test    all tests, on all processors; modules that watch the clock come last, alone"
	@echo "make serial  the same, one after the other"
	@echo "make test-long   all tests in their long forms: every fault point, logs of the largest size"
	@echo "make test-others  the fast ones, with each other Python that is found here"
	@echo "make check   format, linters, types, import rules, then all tests"
	@echo "make bench   the measurements as a table, and in bench/results.json; takes minutes"
	@echo "make bench-models URL=…  what a model gets done on that server; takes hours on a small box"

venv: $(INSTALLED)

# Two steps: an environment without pip needs no ensurepip, which some systems leave out.
$(INSTALLED): pyproject.toml
	@echo "making $(VENV), which takes a minute or two the first time"
	test -x $(BIN)/python || $(PYTHON) -m venv --without-pip $(VENV)
	$(PYTHON) -m pip --python $(BIN)/python install --quiet -e '.[dev]'
	touch $@

run: venv
	$(BIN)/penstock run llms-txt . --out llms.txt.d

fast: venv
	$(BIN)/pytest -m 'not (processes or sockets or slow or alone)' --hypothesis-profile=fast

test: venv
	$(BIN)/pytest --numprocesses=$(WORKERS) --dist=loadscope --max-worker-restart=4

serial: venv
	$(BIN)/pytest

test-long: venv
	PENSTOCK_TEST_LONG=1 $(MAKE) test

test-others:
	.ci/other-pythons

lint: venv
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	find $(CODE) -name '*.py' -print0 | xargs -0 $(BIN)/flake8-async $(FLAKE8_ASYNC)
	git ls-files -z 'tests/*.py' | xargs -0 $(BIN)/flake8-async $(FLAKE8_ASYNC_TESTS)
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

bench: venv
	$(BIN)/python -m bench

# make bench-models URL=http://127.0.0.1:8080/v1 [MODEL=local] [RECORD=file]
bench-models: venv
	$(BIN)/python -m bench.models $(URL) --model $(or $(MODEL),local) --record $(or $(RECORD),bench-models.jsonl)
