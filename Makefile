PYTHON ?= python3
BIN := .venv/bin

.PHONY: bake-off train test faults lint bench

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -e '.[dev]'
	touch $@

bake-off: .venv/ready
	$(BIN)/python train.py --bake-off
	$(BIN)/python evaluate.py

train: .venv/ready
	$(BIN)/python train.py --variant sparse

test: .venv/ready
	$(BIN)/pytest

faults: .venv/ready
	$(BIN)/python tests/faults

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: .venv/ready
	$(BIN)/pip install -e '.[bench]'
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.attempts
