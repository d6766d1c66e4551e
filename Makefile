# make install | demo | test | notebooks | docs | help | clean
# Needs Python 3.11 or newer as python3, or name one: make test PYTHON=python3.12
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test notebooks docs clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 12

install: $(STAMP)  ## make .venv with every dependency; does nothing when nothing changed

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "bayescam needs Python 3.11 or newer: make install PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: install  ## the main job on synthetic images, from training to the report (about 3 minutes)
	$(BIN)/bayescam demo --out demo

test: install  ## format, lint, types and tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses 2 --dist loadscope

notebooks: install  ## run the notebooks and render them as pages in notebooks_html/
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m nbconvert --execute --to html \
		--config notebooks/nbconvert.json --output-dir notebooks_html notebooks/*.ipynb

docs: install  ## the documentation as a site: docs/_build/index.html
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build

clean:  ## remove the environment, caches and the demo's output
	rm -rf $(VENV) demo demo.partial notebooks_html docs/_build docs/generated build *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find bayescam tests experiments notebooks -name __pycache__ -type d -prune -exec rm -rf {} +
