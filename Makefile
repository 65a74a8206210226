PYTHON ?= python3
BIN := .venv/bin

.PHONY: bake-off train test test-all faults lint bench bench-quality

# The environment with the development tools.
.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -e '.[dev]'
	touch $@

# Train the nine bake-off variants twice (20-D codes; 2-D codes without class 1) and compare them.
bake-off: .venv/ready
	$(BIN)/python train.py --bake-off
	$(BIN)/python evaluate.py

# Train one model.
train: .venv/ready
	$(BIN)/python train.py --variant sparse

# The quick tests.
test: .venv/ready
	$(BIN)/pytest

# All tests.
test-all: .venv/ready
	$(BIN)/pytest -m "slow or not slow"

# Kills, full disks, damaged files, hostile input, load: about 45 minutes.
faults: .venv/ready
	$(BIN)/python tests/faults

# Lint, format, spelling and types.
lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/pyright

# Measure start-up, training speed and scaling; writes benchmarks/results.md. Needs an idle machine,
# and a C++ compiler for PyTorch's compiled networks.
bench: .venv/ready
	$(BIN)/pip install -e '.[bench]'
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.products
	$(BIN)/python -m benchmarks.convolutions
	$(BIN)/python -m benchmarks.attempts

# Epochs and seconds to the published losses: about 20 minutes; needs MNIST.
bench-quality: .venv/ready
	$(BIN)/python -m benchmarks.time_to_quality
