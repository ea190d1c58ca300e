# The project's menu. Everything is set up by what it needs: nothing to install first
# but Python 3.11 and make, and node, whose npm fetches the sprites, for `data`.

VENV   := .venv
PYTHON := $(VENV)/bin/python
READY  := $(VENV)/.ready
UV_VERSION := 0.9
# OpenAI's client for JavaScript, and the part of PixiJS that reads sprite sheets.
OPENAI_JS := 7.59.0
PIXI_JS := 7.4.3

# Where 64x64 sprites are already; empty: git fetches them.
NATIVE  :=
TUXEMON :=
IMAGES  := images
DATASET := pokemon-cifar-64
RUN     := runs/quickstart
MODEL   := $(RUN)/model.safetensors
SEED    := 7

# To train the shipped model; TRAIN takes settings, e.g. "--model.compute_dtype bfloat16".
PACKED  := set.npz
MODEL64 := runs/thumbnail64/model.safetensors
PRIOR64 := runs/thumbnail64_prior/model.safetensors
SHARP64 := runs/thumbnail64_sharp/model.safetensors
DETAIL64 := runs/thumbnail64_details/model.safetensors
KIN64   := runs/thumbnail64_kin/model.safetensors
TRAIN   :=

.DEFAULT_GOAL := help
.PHONY: help setup run serve train-quick train train-packed data test test-all fuzz parity lint fmt type check lock \
  sbom audit js-client config-page hero docs image-packages image-code clean clean-all

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | \
	  awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(READY) ## Make .venv with everything in it (about a minute)

$(READY): pyproject.toml requirements.lock $(wildcard baml_src/*.baml)
	test -x $(PYTHON) || python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet "uv>=$(UV_VERSION)"
	$(PYTHON) -m uv pip sync --quiet --python $(PYTHON) --require-hashes requirements.lock
	$(PYTHON) -m uv pip install --quiet --python $(PYTHON) --no-deps --editable .
	$(VENV)/bin/baml-cli generate --from baml_src > /dev/null
	@touch $@

run: $(READY) ## Draw with the included model: PNGs into outputs/
	$(PYTHON) -m pokejax.generate --seed $(SEED) --num 6 --out outputs \
	  --prompt "a red fire lizard" \
	  --prompt "a blue water fish" \
	  --prompt "a small blue water turtle with a red shell" \
	  --prompt "a big green grass dinosaur" \
	  --prompt "a yellow electric mouse" \
	  --prompt "a purple ghost" \
	  --prompt "a pink fairy creature" \
	  --prompt "a brown rock golem from the mountains"

serve: $(READY) ## Studio and API on http://127.0.0.1:8000
	$(PYTHON) -m server

train-quick: $(MODEL) ## Fetch, build the dataset, train a small model: minutes

train: $(PACKED) ## Train the shipped model anew: hours, or minutes on a GPU
	$(MAKE) train-packed
	$(PYTHON) -m pokejax.picker --data $(DATASET)-turned --model runs/shipped.safetensors \
	  --out runs/shipped.safetensors

# Each creature in three more palettes, relabelled; one file for machines that have JAX,
# Flax, Optax and Orbax, and nothing to read sprites or prompts with.
$(PACKED): | $(READY) $(DATASET)/batches.meta
	$(PYTHON) -m data_tools.create_dataset --images-dir $(IMAGES) --output-dir $(DATASET)-turned \
	  --hue-turns 3
	$(PYTHON) -m pokejax.pack --dir $(DATASET)-turned --out $@

# Memory in huge pages makes steps on a CPU a tenth shorter.
train-packed: export GLIBC_TUNABLES = glibc.malloc.hugetlb=1
# Whatever ends it, `timeout` included: the same command continues from there.
train-packed: ## Train the shipped model's six stages from PACKED, or continue
	test -f $(MODEL64) || $(PYTHON) -m pokejax.train --config configs/thumbnail64.py \
	  --data.dir $(PACKED) --resume auto $(TRAIN)
	test -f $(PRIOR64) || $(PYTHON) -m pokejax.train --config configs/thumbnail64_prior.py \
	  --data.dir $(PACKED) --prior.base $(MODEL64) --resume auto $(TRAIN)
	test -f $(SHARP64) || $(PYTHON) -m pokejax.train --config configs/thumbnail64_sharp.py \
	  --data.dir $(PACKED) --train.start_from $(MODEL64) --loss.drawn_by $(PRIOR64) \
	  --resume auto $(TRAIN)
	test -f $(DETAIL64) || $(PYTHON) -m pokejax.train \
	  --config configs/thumbnail64_details.py --data.dir $(PACKED) \
	  --train.start_from $(SHARP64) --resume auto $(TRAIN)
	test -f $(KIN64) || $(PYTHON) -m pokejax.train --config configs/thumbnail64_kin.py \
	  --data.dir $(PACKED) --prior.base $(DETAIL64) --train.start_from $(PRIOR64) \
	  --resume auto $(TRAIN)
	$(PYTHON) -m pokejax.train --config configs/thumbnail64_quick.py --data.dir $(PACKED) \
	  --prior.base $(KIN64) --resume auto $(TRAIN)
	$(PYTHON) -m pokejax.export --checkpoint runs/thumbnail64_kin \
	  --quick runs/thumbnail64_quick --dtype float16 --out runs/shipped.safetensors

# The data set may change behind a model's back (order-only): retrain by `make clean`.
$(MODEL): $(READY) | $(DATASET)/batches.meta
	$(PYTHON) -m pokejax.train --config configs/quickstart.py \
	  --data.dir $(DATASET) --train.workdir $(RUN) --resume auto

# Each time, since other sources may be reached now; what is there isn't made again.
data: $(READY) ## Fetch all sprites within reach and build the dataset
	$(PYTHON) -m data_tools.fetch_sprites --out $(IMAGES) --go-on --source npm \
	  --source native $(if $(NATIVE),--from $(NATIVE)) \
	  --source tuxemon $(if $(TUXEMON),--from $(TUXEMON))
	$(PYTHON) -m data_tools.generate_metadata --images-dir $(IMAGES)
	$(PYTHON) -m data_tools.create_dataset --images-dir $(IMAGES) --output-dir $(DATASET)

$(DATASET)/batches.meta:
	$(MAKE) data

test: $(READY) js-client ## Run the test suite
	$(PYTHON) -m pytest -n 2 --dist worksteal

# Compiled as people have it, too.
test-all: $(READY) js-client ## Run the tests with their long variants
	XLA_FLAGS=--xla_force_host_platform_device_count=2 \
	  $(PYTHON) -m pytest -n 2 --dist worksteal -m ""

# Where it can't be had, what tests it is skipped, and says so.
js-client: .venv-js/$(OPENAI_JS)-$(PIXI_JS) ## Fetch what tests run in node

.venv-js/$(OPENAI_JS)-$(PIXI_JS):
	npm install --prefix .venv-js --no-save --no-package-lock --no-audit --no-fund \
	  --fetch-retries=1 --fetch-retry-mintimeout=2000 --ignore-scripts --loglevel=error \
	  openai@$(OPENAI_JS) @pixi/spritesheet@$(PIXI_JS) && touch $@ || \
	  echo "npm can't fetch what two tests run in node: they will be skipped"

# Its share of the time for each test; what it finds becomes a test of its own.
SECONDS := 60

fuzz: $(READY) ## Feed readers hostile files and requests for SECONDS
	FUZZ_SECONDS=$(SECONDS) $(PYTHON) -m pytest -n 0 --capture=no --quiet tests/fuzz

parity: ## Compare CLIP, its tokenizer and LPIPS with PyTorch's, live
	test -x .venv-parity/bin/python || python3 -m venv .venv-parity
	.venv-parity/bin/pip install --quiet --editable ".[train,parity]"
	# These two ask for torchvision, which isn't needed here.
	.venv-parity/bin/pip install --quiet --no-deps lpips==0.1.4 open-clip-torch
	.venv-parity/bin/python tests/parity/live.py \
	  $(if $(wildcard $(IMAGES)/Pikachu),--images-dir $(IMAGES))
	PYTHONPATH=tests/parity .venv-parity/bin/python benchmarks/clip_text.py

lint: $(READY) ## Check style
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

fmt: $(READY) ## Fix style
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

type: $(READY) ## Check types
	$(VENV)/bin/pyright

check: lint type test ## Lint, type-check and test, as CI does

config-page: $(READY) ## Write docs/config.md from pokejax/config.py
	$(PYTHON) docs/config_page.py

hero: run ## Draw README's pictures with the shipped model
	cp outputs/contact_sheet.png docs/shipped.png
	$(PYTHON) docs/hero.py

# Tools of their own environment, since nothing else needs them.
docs: ## Build the documentation site into site/
	test -x .venv-docs/bin/python || python3 -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-docs/bin/python -m pip install --quiet --group docs
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet

lock: $(READY) ## Renew requirements.lock from pyproject.toml
	$(PYTHON) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	  --generate-hashes --no-annotate --no-header \
	  --extra train --extra data --extra server --extra dev \
	  --output-file requirements.lock pyproject.toml

SBOM := build

sbom: $(READY) ## List what is installed (CycloneDX), and its licences, in build/
	mkdir -p $(SBOM)
	$(VENV)/bin/cyclonedx-py environment --pyproject pyproject.toml \
	  --output-reproducible --output-file $(SBOM)/sbom.json $(PYTHON)
	$(VENV)/bin/pip-licenses --python $(PYTHON) --with-urls --order license \
	  --format csv --output-file $(SBOM)/licenses.csv

# `--strict`, since a package that isn't found would pass for one without advisories.
LOCK  := requirements.lock
AUDIT := --vulnerability-service pypi

audit: $(READY) ## Look the locked packages up among PyPI's advisories (needs PyPI itself)
	@mkdir -p $(SBOM)
	@$(VENV)/bin/pip-audit --requirement $(LOCK) --disable-pip --require-hashes --strict \
	  --progress-spinner off $(AUDIT) 2> $(SBOM)/audit.log; code=$$?; \
	tail -n 1 $(SBOM)/audit.log >&2; \
	test $$code = 0 || grep -q "^Found" $(SBOM)/audit.log || echo "error: not audited:" \
	  "the advisories can't be reached from here; a mirror of PyPI has none" >&2; \
	exit $$code

# What the Dockerfile runs, in this order, where there is no .venv yet. The lock file's
# versions and hashes hold here, too; what the extra `cuda` adds to it is the newest that
# fits. The two folders are for volumes, whoever the image runs as.
EXTRAS := server
# Now, since a container may write none.
BYTECODE := --compile-bytecode

image-packages: ## For an image: a VENV with the locked packages of EXTRAS
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet "uv>=$(UV_VERSION)"
	$(PYTHON) -m uv pip install --quiet --python $(PYTHON) $(BYTECODE) \
	  --constraint requirements.lock --requirement pyproject.toml \
	  $(addprefix --extra ,$(EXTRAS))

image-code: ## For an image: this checkout into VENV, and no installer left in it
	$(PYTHON) -m uv pip install --quiet --python $(PYTHON) --no-deps --editable .
	test ! -x $(VENV)/bin/baml-cli || \
	  $(VENV)/bin/baml-cli generate --from baml_src > /dev/null
	$(PYTHON) -m compileall -q pokejax server data_tools configs
	$(PYTHON) -m pip uninstall --quiet --yes uv
	$(PYTHON) -m pip uninstall --quiet --yes pip
	install -d -m 1777 data runs
	@touch $(READY)

clean: ## Remove runs, pictures and caches
	rm -rf runs outputs site .pytest_cache .ruff_cache

clean-all: clean ## Also remove the dataset, the sprites and .venv
	rm -rf $(DATASET) $(IMAGES) $(VENV) .venv-js .venv-parity .venv-docs baml_client
