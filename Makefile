# Each target sets up what it needs in .venv first. Written for GNU make 3.81 and later, any POSIX sh.

VENV := .venv
BIN := $(VENV)/bin
# Written last, so a set-up that was interrupted starts again from nothing.
READY := $(VENV)/.ready
# Looked for in this order when uv is not installed.
PYTHONS := $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11

# As pip does: trust what the machine trusts, not only the certificates that uv brings.
UV_SYSTEM_CERTS ?= 1
export UV_SYSTEM_CERTS

.DEFAULT_GOAL := help
.PHONY: help setup study test check format clean

help:
	@echo 'make study    train, attack, report: the whole answer for MNIST (ARGS="--device cuda")'
	@echo 'make test     the tests (ARGS="-k pgd" for some of them)'
	@echo 'make check    formatting, lint, types'
	@echo 'make format   put formatting and simple lint right'
	@echo 'make setup    only set up .venv, which the others do by themselves'
	@echo 'make clean    remove .venv and caches; runs are kept'

setup: $(READY)

study: $(READY)
	$(BIN)/unfooled study mnist --fallback digits $(ARGS)

test: $(READY)
	$(BIN)/pytest $(ARGS)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

$(READY): pyproject.toml constraints.txt
	@set -e; \
	test -e $@ || rm -rf $(VENV); \
	rm -f $@; \
	if command -v uv >/dev/null; then \
		uv=uv; \
		test -d $(VENV) || uv venv $(VENV); \
	else \
		uv=$(BIN)/uv; \
		test -x $$uv || { \
			rm -rf $(VENV); \
			for python in $(PYTHONS) ''; do \
				"$$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
			done; \
			if test -z "$$python"; then \
				echo "unfooled needs uv, or Python 3.11 or newer with its venv module; here is:" \
					"$$(python3 --version 2>/dev/null || echo no python3). Install one of the two, or" \
					"name a Python: make PYTHON=/path/to/python3" >&2; \
				exit 1; \
			fi; \
			echo "Setting up $(VENV) with $$("$$python" --version)"; \
			"$$python" -m venv $(VENV); \
			$(BIN)/python -m pip install --quiet --disable-pip-version-check uv; \
		}; \
	fi; \
	$$uv pip install --python $(BIN)/python --constraint constraints.txt \
		--group test --group lint --editable .; \
	touch $@
