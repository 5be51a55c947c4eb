# Everything here sets itself up: Python 3.11+, make and a package index are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo bench bench-full test coverage compat fuzz chaos check format

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit("Blockwire needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

demo: install
	$(BIN)/blockwire demo $(FILES)

test: install
	$(BIN)/pytest -n 2 $(ARGS)

# The same, and which lines and branches no test reaches; takes twice as long.
coverage: install
	$(BIN)/coverage erase
	$(BIN)/pytest -n 2 --cov --cov-report=term $(ARGS)

compat: install
	$(BIN)/python -m tests.sdk.compat

fuzz: install
	FUZZ_EXAMPLES=$(or $(EXAMPLES),500) FUZZ_SEED=$(or $(SEED),1) $(BIN)/pytest -q tests/fuzz $(ARGS)

# What it costs, beside what this machine allows; takes a few minutes.
bench: install
	$(BIN)/python -m tests.bench $(ARGS)

bench-full: install
	$(BIN)/python -m tests.bench --full $(ARGS)

chaos: install
	$(BIN)/python -m tests.faults.chaos --seed $(or $(SEED),1) --rounds $(or $(ROUNDS),3)
	CHAOS_SEED=$(or $(SEED),1) $(BIN)/pytest -q -m chaos tests $(ARGS)

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
