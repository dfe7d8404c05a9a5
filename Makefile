# Each target does all the set-up it needs; the stamps in .venv make the second time quick.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP := .venv/bin/python -m pip --disable-pip-version-check --quiet
PYTEST_FLAGS ?=
DEMO_FLAGS ?=
BENCH_FLAGS ?=

.PHONY: setup demo test check bench bench-peers docs protocol wheel clean

setup: .venv/ready-dev

# What the demo needs, and no more: the first run of a stranger shall be short.
.venv/ready-demo: pyproject.toml constraints.txt
	@echo "Setting up .venv …"
	$(PYTHON) -m venv .venv
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install --constraint constraints.txt --editable '.[demo]'
	@touch $@

.venv/ready-dev: .venv/ready-demo
	$(PIP) install --constraint constraints.txt --editable '.[all]' --group dev --group bench
	@touch $@

demo: .venv/ready-demo
	@.venv/bin/fairlead demo $(DEMO_FLAGS)

test: .venv/ready-dev
	@.ci/programs chromium wrk
	.venv/bin/python -m pytest -m 'not alone' --numprocesses 2 --dist loadfile $(PYTEST_FLAGS)
	.venv/bin/python -m pytest -m alone $(PYTEST_FLAGS)

check: .venv/ready-dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: .venv/ready-dev
	@.ci/programs wrk taskset:util-linux
	.venv/bin/python benchmarks/serving_overhead.py

# The first run installs the peers: five gigabytes in the user's cache folder.
bench-peers: .venv/ready-dev
	@.ci/programs wrk taskset:util-linux
	.venv/bin/python benchmarks/serving_peers.py $(BENCH_FLAGS)

# Runs every command that README.md and docs/ show, and compares the references with the code.
docs: .venv/ready-dev
	.venv/bin/python -m pytest tests/acceptance/test_docs.py tests/acceptance/test_readme.py tests/unit/test_house.py $(PYTEST_FLAGS)

# Compiles the gRPC door's messages; a test compares what is committed with the sources.
PROTOCOL := src/fairlead/serving/grpc/protocol
protocol: .venv/ready-dev
	.venv/bin/python -m grpc_tools.protoc --proto_path=$(PROTOCOL) --descriptor_set_out=$(PROTOCOL)/descriptors.binpb \
		$(notdir $(sort $(wildcard $(PROTOCOL)/*.proto)))

wheel: .venv/ready-dev
	$(PIP) wheel --no-deps --wheel-dir dist .

clean:
	rm -rf .venv dist
