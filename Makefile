# Every task of the project; `make` lists them. Needs Python 3.11 or newer, nothing else.

# Extra arguments: make serve ARGS="--port 9000", make test ARGS="-k settings"
ARGS ?=
# How long the tests with random faults look for trouble; 1 is for every day.
export TEST_SCALE ?= 1
export PYTHON

bin := .venv/bin
# A process for each processor, and a file of tests to one of them; with WORKERS=0, all in one.
WORKERS ?= auto
pytest := $(bin)/pytest --numprocesses=$(WORKERS) --maxprocesses=4 --dist=loadfile
# Those that find more the longer they look.
SOAK_SCALE ?= 100
soak := tests/faults tests/simulation tests/unit/engines/glm_parser tests/unit/engines/test_policy_flapping.py

.PHONY: help serve test soak lint format docs lock clean contract-env

help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

serve: ## Install what is missing and start the platform
	@tools/setup runtime && exec $(bin)/bigmodel serve $(ARGS)

test: lint contract-env ## Install what is missing and run the whole test suite
	$(pytest) $(ARGS)

soak: lint ## Look for trouble for a day, in the tests with random faults (SOAK_SCALE=100)
	TEST_SCALE=$(SOAK_SCALE) $(pytest) --timeout=86400 $(soak)

lint: ## Check style, types and layers
	@tools/setup dev
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy
	$(bin)/lint-imports --no-logo

format: ## Format the code and mend what can be mended by a program
	@tools/setup dev
	$(bin)/ruff check --fix-only
	$(bin)/ruff format

docs: ## Write the reference pages anew, from the code
	@tools/setup dev
	$(bin)/python -m tools.reference
	$(bin)/python -m tools.conformance

lock: ## Pin what pyproject.toml asks for (ARGS=--upgrade: the newest of everything)
	@tools/lock $(ARGS)

clean: ## Remove what installing and testing left behind
	rm -rf .venv .venv-* build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -prune -exec rm -rf {} +

# Environments of their own for the clients that tests/contract runs; made once, by hash-pinned files.
contract-env:
	@tools/setup dev
	@$(bin)/python -m tests.contract.environments
