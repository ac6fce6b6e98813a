PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0
# An index with CPU builds of torch, used only where the default one would bring CUDA.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
STAMP := $(VENV)/.installed
# Each starts servers of its own, and a third of the time waits for them: one more than two cores. Files are taken in
# their order: the longest stand in e2e and faults, not at the end.
TEST_PROCESSES ?= 3
# The plain service of the benchmarks wants an older pymilvus, so its packages lie apart.
PLAIN := $(VENV)/plain-service

# Of `make test-faults`; without SEED a random one is taken and printed.
STEPS ?= 2000
KILLS ?= 200
MILVUS ?= lite

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-unit test-faults check format plain-service bench bench-training bench-swap bench-scale bench-roads soak clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP)  ## build .venv with pinned dependencies and CPU torch

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing CPU torch ..."
	@if $(BIN)/pip install --quiet --dry-run --report - -c constraints.txt $(TORCH) | grep -q '"nvidia-'; \
	 then $(BIN)/pip install --quiet $(TORCH) --index-url $(TORCH_CPU_INDEX); \
	 else $(BIN)/pip install --quiet -c constraints.txt $(TORCH); fi
	@echo "installing the rest ..."
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: setup  ## the whole loop on a medical ontology, about 10 minutes on 2 cores
	$(BIN)/embedloop demo --report report.html

test: setup  ## all tests, against real servers started by the tests, in several processes
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

test-unit: setup  ## the tests that need no server
	$(BIN)/python -m pytest tests/unit

test-faults: setup  ## the long fault run, STEPS= KILLS= SEED= MILVUS=lite|engine; writes benchmarks/results/
	$(BIN)/python -m tests.faults --steps $(STEPS) --kills $(KILLS) --milvus $(MILVUS) $(if $(SEED),--seed $(SEED))

check: setup  ## lint, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

plain-service: $(PLAIN)/.installed  ## fetch the packages of the plain service that search is compared with

$(PLAIN)/.installed: benchmarks/requirements-plain.txt | setup
	rm -rf $(PLAIN)
	$(BIN)/pip install --quiet --no-deps --target $(PLAIN) -r benchmarks/requirements-plain.txt
	touch $@

bench: setup plain-service  ## measure search, re-embedding, training speed and cleaning; writes benchmarks/results/
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.reembed
	$(BIN)/python -m benchmarks.training_speed
	$(BIN)/python -m benchmarks.cleaning

bench-training: setup  ## what training brings on five data sets beside the plain recipe, BM25 and the base; writes benchmarks/results/
	$(BIN)/python -m benchmarks.training

bench-swap: setup  ## 40 swaps under load on two replicas, every answer checked; writes benchmarks/results/
	$(BIN)/python -m benchmarks.swap

bench-scale: setup  ## re-embed 100,000 rows beside bare insertion; writes benchmarks/results/
	$(BIN)/python -m benchmarks.scale

bench-roads: setup  ## every other road to a better vector, exported forms, types of vectors; writes benchmarks/results/
	$(BIN)/python -m benchmarks.roads
	$(BIN)/python -m benchmarks.exports
	$(BIN)/python -m benchmarks.vector_types

soak: setup  ## 30 minutes of mixed load on Milvus, PostgreSQL and Valkey; writes benchmarks/results/
	$(BIN)/python -m benchmarks.soak

clean:  ## remove what the targets made, except .venv
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist *.egg-info report.html report.json
