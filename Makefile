# Three commands matter: make demo, make test, make check.
.DEFAULT_GOAL := help
.PHONY: help setup demo learn test slow trainers check format lock clean

PY := .venv/bin/python
ENV_TESTS = $(addprefix tests/envs/test_,code_task.py env_states.py env_wrappers.py spaces.py vector.py)
OUT ?= runs/demo-$(shell date +%Y%m%d-%H%M%S)

help:
	@echo "make demo    set up, run the bundled tasks with forked branches, print the run directory"
	@echo "make learn   train the mutation policy from its own rollouts, compare on programs never trained on"
	@echo "make test    set up, check and run all tests but the slow ones"
	@echo "make slow    run the slow tests: kills, whole systems, long chains"
	@echo "make trainers  install TRL, RLlib, Minari and SkyRL beside, and train with each (2 GB, minutes)"
	@echo "make check   format, lint and types only"

setup:
	@scripts/setup.sh

demo: setup
	@.venv/bin/rollouts run configs/quickstart.yaml --out $(OUT)

learn: setup
	@$(PY) scripts/learn.py --out runs/learn

check: setup
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy

test: check
	@scripts/setup.sh --tests
	@$(PY) -m pytest -m "not slow" -n auto --maxprocesses 4 --dist loadgroup

# The tests that drive a whole system for half a minute or more each.
slow: setup
	@scripts/setup.sh --tests
	@$(PY) -m pytest -m slow

# What needs trainers, and the env on the gymnasium that RLlib pins.
trainers:
	@scripts/setup.sh --trainers
	@.venv-trainers/bin/python -m pytest tests/trainers $(ENV_TESTS)

format: setup
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

# Pin everything again, with hashes and without index addresses. Needs uv and a network.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra dev pyproject.toml -o requirements.lock --upgrade

clean:
	rm -rf .venv .venv-trainers build *.egg-info .mypy_cache .ruff_cache .pytest_cache
