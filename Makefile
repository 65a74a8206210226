PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test lint

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -e '.[dev]'
	touch $@

train: .venv/ready
	$(BIN)/python train.py --variant sparse

test: .venv/ready
	$(BIN)/pytest

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
