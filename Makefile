# make run   sets up an environment in .venv and runs the main job
# make test  sets up the same environment with the test tools and passes the tests
PYTHON ?= python3
VENV := .venv
AIRFLOW := build/airflow
PIP := $(VENV)/bin/pip --disable-pip-version-check --quiet
SOURCES := pyproject.toml constraints.txt

.PHONY: run test coverage check docs clean airflow

run: $(VENV)/.run
	$(VENV)/bin/kedro run

PYTEST := $(VENV)/bin/pytest -n auto --maxprocesses 4 --no-loadscope-reorder

test: $(VENV)/.test $(AIRFLOW)/.ready
	$(PYTEST) --durations 30

# the same, and which lines the tests reach; takes about half as long again
coverage: $(VENV)/.test $(AIRFLOW)/.ready
	$(PYTEST) --cov

check: $(VENV)/.test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/mkdocs build --strict --quiet --site-dir build/site

docs: $(VENV)/.test
	$(VENV)/bin/mkdocs serve

airflow: $(AIRFLOW)/.ready

clean:
	rm -rf $(VENV) build

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Python 3.11 is needed; name it with: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { [ "$$(id -u)" = 0 ] && apt-get -qq update && apt-get -qq -y install python3-venv; } || \
	  { echo "Python's venv module is missing; install it with: sudo apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(SOURCES) | $(VENV)/bin/pip
	$(PIP) install -c constraints.txt -e '.[litert,viz]'
	touch $@

$(VENV)/.test: $(SOURCES) | $(VENV)/bin/pip
	$(PIP) install -c constraints.txt -e '.[litert,viz,qnn,hub,ssh,adb,fleet,airflow,yolo,timm,efficientnet,dev]'
	touch $@ $(VENV)/.run

# Airflow, which the tests run DAGs with, wants other versions than this project does.
$(AIRFLOW)/.ready: tests/airflow.txt | $(VENV)/bin/pip
	$(PYTHON) -m venv --clear $(AIRFLOW)
	$(AIRFLOW)/bin/pip --disable-pip-version-check --quiet install --no-deps -r tests/airflow.txt
	touch $@
