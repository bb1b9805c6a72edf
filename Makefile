# Each of these sets itself up: Python >= 3.11 and git are all that must be there.
#
#   make demo    route requests to real llama.cpp servers, and kill one of them
#   make test    run the tests
#   make serve   one OpenAI API in front of workers: make serve ARGS="--worker URL --worker URL"
#   make workers two real llama.cpp servers to try it on, until Ctrl-C
#   make lint    ruff and mypy
#   make bench   run the benchmarks (bench-peers: beside LiteLLM's router)
#   make fuzz    fuzz the Rhai engine for a minute (atheris; CPython 3.11)
#   make clean   remove what the above have made
#
# Arguments: make demo ARGS="--backend trio"   make test ARGS="-x tests/unit"

VENV := .venv
PYTHON := $(VENV)/bin/python
PROJECTS := pyproject.toml $(wildcard core/pyproject.toml plugins/*/pyproject.toml)
ARGS :=

.PHONY: demo test serve workers lint bench bench-peers fuzz clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	@$(VENV)/bin/rbee-scheduler demo $(ARGS)

test: $(VENV)/.dev
	@$(PYTHON) -m pytest -n auto --dist worksteal $(ARGS)

serve: $(VENV)/.serve
	@exec $(VENV)/bin/rbee-scheduler serve $(ARGS)

workers: $(VENV)/.demo
	@exec $(PYTHON) examples/llama_workers.py $(ARGS)

lint: $(VENV)/.dev
	@$(PYTHON) -m ruff check $(ARGS)
	@$(PYTHON) -m ruff format --check $(ARGS)
	@$(PYTHON) -m mypy core/src plugins/*/src

# The same decisions asked of LiteLLM, in an environment of its own.
bench-peers: $(VENV)-peers/.done
	@$(VENV)-peers/bin/python benchmarks/peers/decide.py $(ARGS)

bench: $(VENV)/.dev
	@$(PYTHON) -m pytest benchmarks --benchmark-only $(ARGS)

# An optional job: atheris has wheels for few interpreters.
fuzz: $(VENV)-fuzz/.done
	@$(VENV)-fuzz/bin/python tests/fuzz/rhai_atheris.py -max_total_time=60 $(ARGS)

clean:
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks

# Stamps: what is older than a project file is installed again.
$(VENV)/.demo: $(PROJECTS) tools/setup
	@sh tools/setup $(VENV) -e './core[demo]' -e ./plugins/simple
	@touch $@

$(VENV)/.serve: $(PROJECTS) tools/setup
	@sh tools/setup $(VENV) -e './core[trio]' -e './plugins/gateway[uvloop]' -e ./plugins/script \
	    -e ./plugins/simple -e ./plugins/strategies
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(PROJECTS) tools/setup
	@sh tools/setup $(VENV) -r requirements-dev.txt
	@touch $@ $(VENV)/.demo $(VENV)/.serve

$(VENV)-peers/.done: core/pyproject.toml tools/setup
	@sh tools/setup $(VENV)-peers -e './core[testing]' litellm==1.106.2
	@touch $@

$(VENV)-fuzz/.done: plugins/script/pyproject.toml tools/setup
	@sh tools/setup $(VENV)-fuzz -e ./core -e ./plugins/script atheris==3.0.0
	@touch $@
