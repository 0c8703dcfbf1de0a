# Set-up in two commands: `make sweep` and `make test`. Nothing has to be installed before but Python 3.11+.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
S3     := $(VENV)/s3-server
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help install sweep test test-fast gpu-test check lint types mutants chaos bench lock clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 12

# Bytecode is compiled here: where Python may not write it, every worker would compile torch and ray again.
# The stamps record which lock file the environment was made from; a newer lock makes it again.
$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.installed: requirements.lock | $(BIN)/uv
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --editable .
	@touch $@

$(VENV)/.installed-test: requirements-test.lock $(VENV)/.installed $(S3)/.installed
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements-test.lock
	@touch $@

# A server that speaks S3, for tests. Apart, since it holds back a library that pandas brings.
$(S3)/.installed: requirements-s3-server.lock | $(BIN)/uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(S3)
	VIRTUAL_ENV=$(CURDIR)/$(S3) $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements-s3-server.lock
	@touch $@

install: $(VENV)/.installed  ## the environment, in .venv, with this project in it

sweep: $(VENV)/.installed  ## the study of the seed paper on generated faces, minutes on two cores
	$(BIN)/python -m ablation.run --space tcl $(ARGS)

test: $(VENV)/.installed-test  ## the tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

test-fast: $(VENV)/.installed-test  ## the tests that need no Ray, browser or server, in a minute
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not (ray or browser or s3 or slow)" $(ARGS)

gpu-test: $(VENV)/.installed-test  ## the tests that need a GPU
	$(BIN)/python -m pytest -n0 tests/gpu $(ARGS)

lint: $(VENV)/.installed-test  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test  ## mypy, strict
	$(BIN)/mypy

check: lint types test  ## what CI runs

mutants: $(VENV)/.installed-test  ## the field's bugs, one at a time: the tests must find each
	$(BIN)/python -m tests.mutants.run $(ARGS)

chaos: $(VENV)/.installed-test  ## kill, damage and fill up everything: nothing may be lost (root, half an hour)
	$(BIN)/python -m tests.chaos $(ARGS)

bench: $(VENV)/.installed-test  ## the measurements: speed, fairness and planted truth (two hours)
	$(BIN)/python -m benchmarks.trial_speed
	$(BIN)/python -m benchmarks.engine_scaling
	$(BIN)/python -m benchmarks.slots
	$(BIN)/python -m benchmarks.first_line
	$(BIN)/python -m benchmarks.report_speed
	$(BIN)/python -m benchmarks.object_store
	$(BIN)/python -m benchmarks.planted_truth
	$(BIN)/python -m benchmarks.fairness

lock: | $(BIN)/uv  ## renew the exact, hashed versions from the ranges in pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --upgrade \
	    --extra tcl pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --upgrade \
	    -c requirements.lock --extra tcl --extra onnx --extra cmaes --group test pyproject.toml -o requirements-test.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --upgrade \
	    --group s3-server -o requirements-s3-server.lock

clean:  ## remove the environment and caches; runs stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
