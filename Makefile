# `make run` and `make test` work on a fresh machine with Python 3.11 to 3.13; see README.md.
.PHONY: run test test-long check serve bench env clean help
.DEFAULT_GOAL := help

PARTS := pyproject.toml infra/constraints.txt infra/setup.sh infra/seal.cmake

help:  ## Say what there is.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 10

run: .venv/.ready  ## Make the environment, then run the data flow on real hospital data.
	.venv/bin/secured run data-flow --policy deployments/examples/chop.yaml

test: .venv/.ready-dev check  ## Make the environment, then check the code and run all tests but the longest.
	.venv/bin/python -m pytest -m "not long" -n 2 --no-loadscope-reorder

test-long: .venv/.ready-dev  ## The tests that take minutes: Slurm, killed runs, a run from Prefect's form, power, encryption at full size.
	.venv/bin/python -m pytest -m long

check: .venv/.ready-dev  ## Lint, types, and who may import whom.
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

serve: .venv/.ready  ## Prefect, MLflow and a worker on this machine, until Ctrl-C.
	.venv/bin/secured serve

bench: .venv/.ready-dev  ## Measure; figures go to tests/benchmarks/results.md.
	.venv/bin/python -m tests.benchmarks

env: .venv/.ready  ## Make the environment in .venv.

.venv/.ready: $(PARTS)
	@bash infra/setup.sh
	@touch $@

.venv/.ready-dev: $(PARTS)
	@EXTRAS=dev bash infra/setup.sh
	@touch $@ .venv/.ready

clean:  ## Remove the environment and caches, but nothing that a run made.
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
