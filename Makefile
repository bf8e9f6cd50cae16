# make bench   installs what is missing, runs the quick suite, prints the comparison and where the report is
# make test    installs what is missing, runs every test
# make lab     boots a machine in which KVM works, and runs there the tests that need one
SHELL := /bin/bash
# Namespaces, cgroups, mounts and loop devices need root.
AS_ROOT := $(shell if [ "$$(id -u)" != 0 ] && command -v sudo >/dev/null; then \
	echo sudo --preserve-env=BENCH_STORE,BENCH_CACHE,BENCH_SCRATCH; fi)
SUITE ?= quick
PYTEST_ARGUMENTS ?=
ARGUMENTS ?=
LAB ?= run

.PHONY: help setup setup-test bench benchmark-start benchmark-vm-start benchmark-overhead benchmark-engines benchmark-history benchmark-detection test lab lint format docs clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

setup: ## install what running needs, if it is missing
	@setup/install.sh bench

setup-test:
	@setup/install.sh test

bench: setup ## run the quick suite (SUITE=name for another) and report
	@$(AS_ROOT) .venv/bin/bench run $(SUITE)

benchmark-start: ## time a container's start beside other tools' (ARGUMENTS="--json --rounds 500")
	@setup/install.sh benchmark
	@$(AS_ROOT) .venv/bin/python tests/benchmarks/container_start.py $(ARGUMENTS)

benchmark-vm-start: setup ## time a guest's start beside QEMU started by hand (ARGUMENTS="--json --rounds 20")
	@$(AS_ROOT) .venv/bin/python tests/benchmarks/vm_start.py $(ARGUMENTS)

benchmark-overhead: setup ## time workloads by the native arm beside the same typed by hand (ARGUMENTS="--json --rounds 20")
	@$(AS_ROOT) .venv/bin/python tests/benchmarks/overhead.py $(ARGUMENTS)

benchmark-engines: ## hold the startup of runc and Docker against hyperfine's figure of the same command (ARGUMENTS="--json --rounds 10")
	@setup/install.sh benchmark
	@$(AS_ROOT) .venv/bin/python tests/benchmarks/engine_starts.py $(ARGUMENTS)

benchmark-history: setup ## time compare, regress, report and history with 2,000 nights in the store (ARGUMENTS="--json --rounds 9")
	@.venv/bin/python tests/benchmarks/history.py $(ARGUMENTS)

benchmark-detection: setup ## score how well changes of level are found, beside Otava (ARGUMENTS="--json --histories 200")
	@.venv/bin/python tests/benchmarks/detection.py $(ARGUMENTS)

test: setup-test ## run every test: the pure ones at the same time, then the others one by one
	@$(AS_ROOT) .venv/bin/python tests/two_parts.py $(PYTEST_ARGUMENTS)

lab: setup-test ## run the tests that need KVM, cgroup v2, systemd and libvirtd in an emulated machine (LAB=shell for its console)
	@$(AS_ROOT) .venv/bin/python tests/lab/lab.py $(LAB)

lint: setup-test ## check style and types
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

format: setup-test ## put the code into the common form
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

docs: setup-test ## write docs/workloads.md and docs/schema/ anew, from the catalogue and the models
	@.venv/bin/python -m workloads.reference >docs/workloads.md
	@for each in suite workload; do .venv/bin/bench schema $$each >docs/schema/$$each.json; done

clean: ## remove what dead runs left on the host, and everything that set-up and tests made here
	@if [ -x .venv/bin/bench ]; then $(AS_ROOT) .venv/bin/bench clean; fi
	@$(AS_ROOT) rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache
	@$(AS_ROOT) find . \( -name __pycache__ -o -name .hypothesis \) -type d -prune -exec rm -rf {} +
