# The two commands of the README are `make demo` and `make test`; both create .venv on first use.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test lint soak docs clean

$(BIN)/nearkin: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(BIN)/nearkin
	$(PIP) install --constraint constraints.txt --editable ".[dev]"
	$(PIP) install --no-deps --editable plugins/example-metric
	@touch $@

demo: $(BIN)/nearkin  ## index the documentation of Python's standard library and ask it questions
	$(BIN)/nearkin demo

test: $(VENV)/.dev  ## the whole test suite
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

soak: $(VENV)/.dev  ## the long forms of the randomised tests
	NEARKIN_SOAK=1 $(BIN)/python -m pytest -n auto

docs: $(VENV)/.dev  ## write the generated parts of README.md and docs/
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) build *.egg-info src/*.egg-info
