# make demo, make test: a virtual environment in .venv is made when it is missing, and brought up to date when
# setup.cfg changed. PYTHON=python3.13 make venv takes another Python for it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help venv demo test check conformance browser woocommerce bench trust audit man clean

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

venv: $(VENV)/.dev ## the virtual environment with everything for development

$(VENV)/.run: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) install --editable '.[dev]'
	@touch $@

demo: $(VENV)/.run ## the whole job against local stand-ins
	@$(BIN)/shipfwd demo

test: $(VENV)/.dev ## all tests but the conformance to the vendors' descriptions
	$(BIN)/pytest

check: $(VENV)/.dev ## format, lint, types, and that the changelog knows this version
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@known=$$(sed -n 's/^## \[\([0-9][^]]*\)\].*/\1/p' CHANGELOG.md | head -n 1); \
	version=$$($(BIN)/python -c 'import shipfwd; print(shipfwd.__version__)'); \
	test "$$known" = "$$version" || { \
	    echo "CHANGELOG.md: its newest version is $$known, the package's is $$version" >&2; exit 1; }

conformance: $(VENV)/.dev ## requests against the vendors' own descriptions: SHIPFWD_SPECS=FOLDER make conformance
	@test -d "$(SHIPFWD_SPECS)" || { \
	    echo "conformance needs SHIPFWD_SPECS=FOLDER, the vendors' API descriptions; nothing was tested" >&2; exit 2; }
	SHIPFWD_SPECS="$(SHIPFWD_SPECS)" $(BIN)/pytest tests/conformance

browser: $(VENV)/.dev ## the status page in a real browser; brings playwright, and chromium where it may
	$(PIP) install 'playwright>=1.40'
	@test -n "$$CHROMIUM" || command -v chromium chromium-browser >/dev/null || { \
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	        apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium; \
	    else \
	        echo "browser needs chromium; NOTHING WAS TESTED. As root: apt-get install chromium" \
	            "(or name one: CHROMIUM=PATH make browser)" >&2; exit 2; \
	    fi; }
	$(BIN)/pytest tests/browser

woocommerce: $(VENV)/.dev ## against a real WordPress, with WOOCOMMERCE=ZIP and AST=ZIP against the plugins, too
	$(BIN)/pytest -s tests/realwoo

bench: $(VENV)/.dev ## the numbers in the README; takes minutes. BENCH_FULL=1: with 10,000,000 shipments, too
	@$(PIP) install 'psycopg[binary]>=3.1' || echo "no psycopg: bench/postgres.py will not be measured" >&2
	@$(BIN)/python -B bench/run.py

trust: $(VENV)/.dev ## crashes, faults and contention, the long form; takes minutes
	@test -d tests/trust || { echo "there is no tests/trust yet" >&2; exit 2; }
	SHIPFWD_TRUST=long $(BIN)/pytest tests/trust

audit: $(VENV)/.dev ## known holes in what shipfwd depends on; needs the network
	$(PIP) install pip-audit
	$(BIN)/pip-audit --skip-editable

man: $(VENV)/.run ## build/shipfwd.1, the manual page, from the commands
	@mkdir -p build
	$(BIN)/python contrib/man.py > build/shipfwd.1

clean: ## remove what was made here
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find shipfwd tests bench -name __pycache__ -prune -exec rm -rf {} +
