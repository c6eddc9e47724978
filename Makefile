# Everything that a newcomer or CI needs: python3 (3.11 or newer), git, make and a package index.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# Most of a test is waiting for other programs.
JOBS   ?= $(shell $(PYTHON) -c "import os; print(2 * (os.cpu_count() or 1))")

.PHONY: test-tfe lab lab-aws help demo test test-terragrunt check format lint types layers soak soak-race soak-crash bench docs clean

help:
	@echo "make demo    the whole loop on this machine: a cloud on loopback, a repository, drift, a scan"
	@echo "make test    set up and run the tests, without further cases, AWS, crashes and the browser"
	@echo "make test TOOL=tofu  the same with OpenTofu; also terraform, embedded"
	@echo "make test-terragrunt  the tests of Terragrunt with the one on PATH"
	@echo "make check   format, lint, types, layers, all tests but the long ones: what CI runs"
	@echo "make test-tfe  the tests of HCP Terraform against a real server: TFE_URL, TFE_TOKEN, TFE_ORGANIZATION"
	@echo "make format  rewrite the source in the project's format"
	@echo "make soak    long tests"
	@echo "make soak-race  three reconcilers at once, RUNS=50 times"
	@echo "make soak-crash  an apply that is killed in each of its phases, SEEDS=200 times"
	@echo "make lab     random histories on real Terraform with known labels: RUNS=2000 SEED=1, or MUTANTS=1 or PROBE=1"
	@echo "make lab-aws  AWS types on moto; writes docs/reference/aws-types.md; MIRROR=FOLDER takes the provider from there"
	@echo "make bench   measurements, side by side with bare Terraform"
	@echo "make docs    regenerate the generated parts of docs/"
	@echo "make clean   remove the virtual environment and caches"

demo: $(VENV)/.demo
	@$(BIN)/driftguard demo $(DEMO)

# A part that is named runs whole; otherwise the tests of minutes are left to `make check`.
QUICK  := not soak and not aws and not crash and not further and not browser
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

test: export DRIFTGUARD_TEST_TOOL := $(TOOL)
test: $(VENV)/.dev
	@$(PYTEST) -m "$(if $(TESTS),not soak,$(QUICK))" $(TESTS)

test-terragrunt: $(VENV)/.dev
	@command -v terragrunt > /dev/null || { echo "no terragrunt is on PATH"; exit 1; }
	@$(PYTEST) tests/integration/test_terragrunt.py

check: $(VENV)/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(PYTEST) -m "not soak" $(TESTS)

# The tests of platforms against a real server: TFE_URL=https://… TFE_TOKEN=… TFE_ORGANIZATION=…
test-tfe: $(VENV)/.dev
	@$(if $(and $(TFE_URL),$(TFE_TOKEN),$(TFE_ORGANIZATION)),,$(error set TFE_URL, TFE_TOKEN and TFE_ORGANIZATION))
	@$(BIN)/python -m pytest -q tests/integration/test_platform_scans.py tests/integration/test_platform_applies.py

format: $(VENV)/.dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lint: $(VENV)/.dev
	@$(BIN)/ruff check .

types: $(VENV)/.dev
	@$(BIN)/mypy

layers: $(VENV)/.dev
	@$(BIN)/lint-imports

soak: $(VENV)/.dev
	@$(BIN)/python -m pytest -m soak

soak-race: $(VENV)/.dev
	@DRIFTGUARD_RACE_RUNS=$(if $(filter file,$(origin RUNS)),50,$(RUNS)) $(BIN)/python -m pytest -q -m soak tests/integration/test_races.py

KILLS := $(VENV)/.kills

soak-crash: $(VENV)/.dev
	@rm -f $(KILLS)
	@DRIFTGUARD_CRASH_SEEDS=$(SEEDS) DRIFTGUARD_CRASH_LOG=$(abspath $(KILLS)) \
		$(BIN)/python -m pytest -q -m soak tests/integration/test_crash_phases.py
	@$(BIN)/python -m tests.support.killing $(KILLS) $$(( $(SEEDS) / 20 ))

SEEDS ?= 200
RUNS ?= 2000
SEED ?= 1

lab: $(VENV)/.dev
	@$(BIN)/python -m lab --runs $(RUNS) --seed $(SEED) $(if $(MUTANTS),--mutants) $(if $(PROBE),--probe)

lab-aws: $(VENV)/.dev
	@$(BIN)/python -m lab.aws $(if $(MIRROR),--mirror $(MIRROR))

bench: $(VENV)/.dev
	@$(BIN)/python -m bench $(BENCH)

docs: $(VENV)/.dev
	@DRIFTGUARD_WRITE_DOCS=1 $(BIN)/python -m pytest -q -k committed tests/unit

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist

# One virtual environment; each stamp names the installed extras.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit("DriftGuard needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	@echo "Making a virtual environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml
	@echo "Installing DriftGuard and what the demo needs (once, a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 --editable '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml
	@echo "Installing DriftGuard and what its tests need (once, a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 --editable '.[dev]'
	@touch $@ $(VENV)/.demo
