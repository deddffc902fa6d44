# `make help` lists what there is. Everything is idempotent and needs no terminal.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench down lock

ACTIVATE := source ./activate.sh

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what is missing: Python packages, Pulumi, Docker, images
	@setup/venv.sh
	@setup/toolchain.sh
	@setup/docker.sh
	@setup/images.sh

demo: setup ## Deploy, deploy, refuse a broken release, roll back: under load, with the figures
	@$(ACTIVATE) && python -m demo.run

test: setup lint ## Run every test, against real Docker, proxies and PostgreSQL
	@$(ACTIVATE) && python -m pytest -n 2 --dist loadscope $(PYTEST_ARGS)

lint: setup ## ruff, mypy --strict, and generated files up to date
	@$(ACTIVATE) && ruff format --check && ruff check && mypy && python docs/reference.py --check

bench: setup ## Measure the published figures (ID=… for one), into bench/results.json and README
	@setup/bench.sh
	@$(ACTIVATE) && python -m bench.run $(ID)

down: ## Remove what the demo made, and nothing else
	@if [ -x .venv/bin/python ]; then $(ACTIVATE) && python -m demo.down; else echo "nothing to remove"; fi

lock: setup ## Pin the Python packages anew, after pyproject.toml changed
	@$(ACTIVATE) && setup/lock.sh
