# `make demo` and `make test` need Python 3.11 or newer and nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
RUN = runs/digits
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.jax_cache
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0.5

.PHONY: demo test checked typed slow lowest bench chaos scale lint clean

demo: $(VENV)/.demo
	$(BIN)/python -m diffjax.train --config=configs/digits/ddpm.py --workdir=$(RUN)
	$(BIN)/python -m diffjax.sample --workdir=$(RUN) --num=100 --solver=ddim --steps=50 --guidance_weight=0.5
	$(BIN)/python -m diffjax.evaluate --workdir=$(RUN)
	@echo
	@echo "the picture:  $(RUN)/samples.png"
	@echo "the numbers:  $(RUN)/evaluation.md"

# What one core does alone is done two at a time, before what two do together.
test: $(VENV)/.test
	$(MAKE) --jobs=2 lint checked
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder $(TYPED:%=--ignore=%)

# What runs with every annotation checked, and only so, in `make test`; `make typed` runs all of it so.
TYPED = tests/guidance/test_guidance_exact.py tests/models/test_conditions.py tests/objectives/test_denoising_exact.py \
        tests/process/test_prediction_algebra.py tests/samplers/test_walk.py tests/systems/test_requests.py \
        tests/training/test_updates.py
checked: $(VENV)/.test
	DIFFJAX_TYPECHECK=1 $(BIN)/python -m pytest -m "not slow" $(TYPED)

typed: $(VENV)/.test
	DIFFJAX_TYPECHECK=1 $(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder

slow: $(VENV)/.test
	DIFFJAX_OPTIMISED=1 $(BIN)/python -m pytest -m slow

# The core of the tests with the lowest versions that setup.cfg allows, in an environment of their own.
CORE = tests/test_border.py tests/test_lean.py tests/test_exact.py tests/process/test_transforms.py \
       tests/samplers/test_walk.py tests/models/test_mlp.py tests/data tests/training/test_checkpoints.py \
       tests/training/test_sharding.py tests/training/test_step.py
lowest: $(VENV)-lowest/.test
	$(VENV)-lowest/bin/python -m pytest -m "not slow" $(CORE)

# Wants a quiet machine. Brings PyTorch; see benchmarks/README.md.
bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks.run --again
	$(BIN)/python -m benchmarks.run --write

# Faults by the hundred, and what full-size configs need on a pod: a table each, half an hour of a core.
chaos: $(VENV)/.test
	PYTHONPATH=tests $(BIN)/python -m chaos --out=runs/chaos.md

scale: $(VENV)/.test
	$(BIN)/python -m benchmarks.scale --out=runs/scale.md

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright --pythonpath $(BIN)/python

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python setup.cfg constraints.txt
	$(BIN)/python -m pip install --quiet --editable . --constraint constraints.txt
	@touch $@

$(VENV)/.test: $(VENV)/bin/python setup.cfg constraints.txt
	$(BIN)/python -m pip install --quiet --editable '.[test]' --constraint constraints.txt
	@touch $@ $(VENV)/.demo

$(VENV)-lowest/.test: setup.cfg
	$(PYTHON) -m venv --clear $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet uv --constraint constraints.txt
	$(VENV)-lowest/bin/uv pip install --quiet --python $(VENV)-lowest --resolution lowest-direct --editable '.[test]'
	@touch $@

$(VENV)/.bench: $(VENV)/bin/python setup.cfg constraints.txt
	$(BIN)/python -m pip install --quiet --editable '.[bench]' --constraint constraints.txt
	@touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) $(VENV)-lowest .jax_cache build diffjax.egg-info
