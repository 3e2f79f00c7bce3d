# Everything runs in .venv, which is made on first use.  PYTHON picks the interpreter.
PYTHON ?= python3
BIN := .venv/bin
NATIVE := setup.py pyproject.toml $(wildcard pydsm/native/*.pyx pydsm/native/*.pxi pydsm/native/*.h)

.PHONY: demo test lessons torture bench clean

demo: .venv/installed          ## set up and run the examples
	@set -e; for script in examples/*.py; do $(BIN)/python $$script; done

test: .venv/developer          ## set up and pass every check and test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m compileall -q pydsm examples  # many tests start programs, also where Python may not write this
	$(BIN)/python -m pytest

lessons: .venv/installed       ## the lessons as notebooks, in notebooks/
	$(BIN)/pip install --quiet --editable '.[lessons]'
	$(BIN)/python docs/lessons/notebooks.py notebooks

torture: .venv/developer       ## the long form of the tests of deaths and faults: an hour or so
	$(BIN)/pip install --quiet --editable '.[bench]'
	$(BIN)/python -m tests.torture --kills 10000 --peers
	PYDSM_TORTURE=1 $(BIN)/python -m pytest --timeout 7200 tests/crash tests/ipc tests/model tests/sync

bench: .venv/developer         ## measure beside the peers, some 20 minutes; writes docs/benchmarks/
	$(BIN)/pip install --quiet --editable '.[bench]'
	$(BIN)/python -m benchmarks --output docs/benchmarks

clean:
	rm -rf .venv build *.egg-info pydsm/native/*.c pydsm/native/*.so

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("pydsm needs Python 3.11 or newer") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip

# Editable, so that `import pydsm` in this folder finds the built modules.
.venv/installed: .venv/bin/python $(NATIVE)
	@echo "setting up .venv (a minute or so the first time) ..."
	$(BIN)/pip install --quiet --editable '.[cli,progress,examples]'
	touch $@

.venv/developer: .venv/bin/python $(NATIVE)
	@echo "setting up .venv for development ..."
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch .venv/installed $@
