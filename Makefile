# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check lint lock docs docs-serve clean sbom

demo: $(READY)
	$(BIN)/cardiocompress demo

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

# The quick linters first; then the tests, also under `make -j`.
check: lint
	$(MAKE) --no-print-directory test

lint: $(READY)
	$(BIN)/ruff check compress cli tests benchmarks docs/generate
	$(BIN)/ruff format --check compress cli tests benchmarks docs/generate
	$(BIN)/lint-imports
	$(BIN)/pyright

# The bill of materials of the pins, beside them. `pip-audit -r constraints.txt --no-deps --disable-pip` asks for known
# faults of the same versions where there is a network.
sbom: $(READY)
	$(BIN)/python -c 'import sys; from compress.bundle.sbom import pins_sbom; sys.stdout.write(pins_sbom(open("constraints.txt")))' > sbom.cdx.json

# The pages, to be opened without a server: docs/site/index.html.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	rm -rf docs/site
	mv build/site docs/site
	@echo "Open docs/site/index.html"

docs-serve: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

# The install is repeated when the pins, the package's description or its version change.
$(READY): pyproject.toml constraints.txt compress/__init__.py tests/export/oldest_runtime.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	# nnU-Net's networks, for the tests; what it declares beyond torch and numpy they do not import.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt dynamic-network-architectures
	# The oldest ONNX Runtime, in a folder that only the test of exported files on it looks into.
	rm -rf $(VENV)/oldest-runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(VENV)/oldest-runtime -r tests/export/oldest_runtime.txt
	touch $(READY)

# What a bundle asks pip for, with digests for every platform, locked again after constraints.txt changed.
lock: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	for list in runtime signing; do \
	    extra=$$([ $$list = signing ] && echo "--extra signing" || true); \
	    $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	        --no-emit-index-url -c constraints.txt --extra runtime --extra dicom $$extra pyproject.toml \
	        -o compress/bundle/requirements/$$list.txt; \
	done

clean:
	rm -rf $(VENV) build docs/site *.egg-info .pytest_cache .ruff_cache .hypothesis
