# Two commands do everything on a fresh machine with Python 3.11 and a C compiler: make demo, make test.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test test-slow test-gpu check lint types layers docs site pictures dist format clean
.DEFAULT_GOAL := demo

# The set-up: made once, and again only when the lock or the package's description changes.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv || python3 -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25"
	$(BIN)/python -m pip install --quiet --prefer-binary -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $(STAMP)

demo: $(STAMP)  ## from recordings to a spoken sentence and a report
	$(BIN)/dimts demo

test: $(STAMP)  ## the fast tests
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

test-slow: $(STAMP)  ## the long ones; as root on Debian also installs the browser they need
	sh tools/browser.sh
	OMP_NUM_THREADS=2 $(BIN)/python -m pytest -m slow

test-gpu: $(STAMP)  ## on a CUDA card: proves training and speech there, a table and one JSON line, nine minutes at most
	$(BIN)/python benchmarks/card.py --json card.json

check: lint types layers test  ## what must be clean before a commit lands

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

layers: $(STAMP)
	$(BIN)/lint-imports

docs: $(STAMP)  ## write the generated pages anew: the command line, the tree of modules
	$(BIN)/python -m dimts.cli.reference docs/cli.md
	$(BIN)/python tools/tree.py

site: $(STAMP)  ## the documentation as a site in site/: no network, broken links are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

pictures: $(STAMP)  ## take the screenshots and speak the sound samples of the documentation anew
	sh tools/browser.sh
	$(BIN)/python tools/pictures.py
	$(BIN)/python tools/samples.py

dist: $(STAMP)  ## sdist and wheel, checked and tried in fresh environments
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python tools/try_wheel.py

format: $(STAMP)
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache demo site dist build
