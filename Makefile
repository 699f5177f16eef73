# Each target sets up what it needs first, in .venv, or in .venv-bench for the libraries that we are
# measured against: they pin old packages. Written for GNU make 3.81 and later, any POSIX sh.

VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
# Written last, so a set-up that was interrupted starts again from nothing.
READY := $(VENV)/.ready
BENCH_READY := $(BENCH)/.ready
# uv of the machine, or the one that the set-up brought.
UV = $(shell command -v uv || echo $(BIN)/uv)
# Looked for in this order when uv is not installed.
PYTHONS := $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11

# As pip does: trust what the machine trusts, not only the certificates that uv brings.
UV_SYSTEM_CERTS ?= 1
export UV_SYSTEM_CERTS

# Python keeps what it has compiled, in .venv and beside the sources: each process would compile torch
# anew otherwise, for seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup study notebook test check audit format docs bench package clean

help:
	@echo 'make study    train, attack, report: the whole answer for MNIST (ARGS="--device cuda")'
	@echo 'make notebook run notebooks/ae_attack.py into the .ipynb beside it (ARGS="DATASET=digits")'
	@echo 'make test     the tests, a process a core (ARGS="-k pgd" for some of them, "-n 0" in one process)'
	@echo 'make check    formatting, lint, types'
	@echo 'make audit    known weaknesses of the pinned packages; needs the network'
	@echo 'make format   put formatting and simple lint right'
	@echo 'make docs     the documentation as a site, into build/site/html'
	@echo 'make bench    our attacks against five libraries, into docs/benchmarks.md (ARGS="--only pgd")'
	@echo 'make package  wheel and source distribution, into dist/, looked through'
	@echo 'make setup    only set up .venv, which the others do by themselves'
	@echo 'make clean    remove .venv, .venv-bench and caches; runs are kept'

setup: $(READY)

study: $(READY)
	$(BIN)/unfooled study mnist --fallback digits $(ARGS)

notebook: $(READY)
	$(BIN)/python notebooks/execute.py $(ARGS)

test: $(READY)
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Strict: a package that could not be looked up must not count as one without a weakness.
audit: $(READY)
	$(UV) tool run pip-audit --strict --no-deps --disable-pip --requirement constraints.txt $(ARGS)

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)
	$(BIN)/python site/make.py $(ARGS)

bench: $(BENCH_READY)
	$(BENCH)/bin/python benchmarks/attacks.py --write $(ARGS)

package: $(READY)
	rm -rf dist
	$(UV) build --quiet
	$(UV) tool run --quiet twine check --strict dist/*
	$(BIN)/python tests/packaged.py dist

clean:
	rm -rf $(VENV) $(BENCH) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

$(READY): GROUPS := --group test --group lint --group docs
$(BENCH_READY): GROUPS := --group peers

$(READY) $(BENCH_READY): pyproject.toml constraints.txt
	@set -e; \
	test -e $@ || rm -rf $(@D); \
	rm -f $@; \
	if command -v uv >/dev/null; then \
		uv=uv; \
		test -d $(@D) || uv venv $(@D); \
	else \
		uv=$(@D)/bin/uv; \
		test -x $$uv || { \
			rm -rf $(@D); \
			for python in $(PYTHONS) ''; do \
				"$$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
			done; \
			if test -z "$$python"; then \
				echo "unfooled needs uv, or Python 3.11 or newer with its venv module; here is:" \
					"$$(python3 --version 2>/dev/null || echo no python3). Install one of the two, or" \
					"name a Python: make PYTHON=/path/to/python3" >&2; \
				exit 1; \
			fi; \
			echo "Setting up $(@D) with $$("$$python" --version)"; \
			"$$python" -m venv $(@D); \
			$(@D)/bin/python -m pip install --quiet --disable-pip-version-check uv; \
		}; \
	fi; \
	$$uv pip install --python $(@D)/bin/python --constraint constraints.txt \
		$(GROUPS) --editable .; \
	touch $@
