PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: run test

run: $(VENV)/installed
	$(BIN)/python -m repro run specs/quickstart/cifar10.toml
	$(BIN)/python -m repro report quickstart --claims

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fast]'
	touch $@

$(VENV)/installed-dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
