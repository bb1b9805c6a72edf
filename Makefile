# Each of these sets itself up: Python >= 3.11 and git are all that must be there.
#
#   make demo    route requests to real llama.cpp servers, and kill one of them
#   make test    run the tests
#   make lint    ruff and mypy
#   make bench   run the benchmarks
#   make clean   remove what the above have made
#
# Arguments: make demo ARGS="--backend trio"   make test ARGS="-x tests/unit"

VENV := .venv
PYTHON := $(VENV)/bin/python
PROJECTS := pyproject.toml $(wildcard core/pyproject.toml plugins/*/pyproject.toml)
ARGS :=

.PHONY: demo test lint bench clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	@$(VENV)/bin/rbee-scheduler demo $(ARGS)

test: $(VENV)/.dev
	@$(PYTHON) -m pytest -n auto --dist worksteal $(ARGS)

lint: $(VENV)/.dev
	@$(PYTHON) -m ruff check $(ARGS)
	@$(PYTHON) -m ruff format --check $(ARGS)
	@$(PYTHON) -m mypy core/src plugins/*/src

bench: $(VENV)/.dev
	@$(PYTHON) -m pytest benchmarks --benchmark-only $(ARGS)

clean:
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks

# Stamps: what is older than a project file is installed again.
$(VENV)/.demo: $(PROJECTS) tools/setup
	@sh tools/setup $(VENV) -e './core[demo]' -e ./plugins/simple
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(PROJECTS) tools/setup
	@sh tools/setup $(VENV) -r requirements-dev.txt
	@touch $@ $(VENV)/.demo
