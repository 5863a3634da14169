# Two commands: `make repro` rebuilds everything that has changed, `make test` runs the tests. Both set up .venv first.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro parallel search results row erase purge verify test chaos bench lint clean
.DEFAULT_GOAL := repro

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

repro: .venv/installed
	@python -m unlearning check
	@python -m unlearning run

# e.g. make parallel SLOTS=4: several stages at once, each on a GPU of its own (docs/scale.md)
parallel: .venv/installed
	@python -m unlearning check
	@python -m unlearning parallel --slots $(SLOTS)

# e.g. make search METHOD=cu, or METHOD=all: chooses lr and epochs on the validation split; an interrupted search goes on
search: .venv/installed
	@python -m unlearning search $(METHOD)

# e.g. make erase METHOD=ec: from your own checkpoint, without retraining (docs/erase.md)
erase: .venv/installed
	@python -m unlearning erase $(METHOD)
	@python -m unlearning check
	@python -m unlearning run train@original
	@python -m unlearning estimate
	@python -m unlearning run

# e.g. make results SCENARIO=cifar100_random10_small: the whole table of a scenario, into results/<scenario>
results: .venv/installed
	@python -m unlearning scenario $(SCENARIO)
	@python -m unlearning run
	@python -m unlearning publish results/$(SCENARIO)

# e.g. make row SCENARIO=cifar100_random10_small ROW=ec: one row of it, metrics/raw/<row>.json
row: .venv/installed
	@python -m unlearning scenario $(SCENARIO)
	@python -m unlearning run evaluate@$(ROW)

# where copies of the erased images and of the original remain; e.g. make purge WHAT="--images --original --yes" removes them
purge: .venv/installed
	@python -m unlearning purge $(WHAT)

# are all outputs as dvc.lock has them? e.g. make verify MODEL=ec: and does this model measure as its record says?
verify: .venv/installed
	@python -m unlearning verify $(MODEL)

test: .venv/installed
	@command -v chromium > /dev/null || echo "chromium is missing: what looks at metrics/report.html is skipped (Debian: apt-get install chromium)"
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# kills, full disks, damaged files, odd pictures, wrong parameters, by thousands: half an hour; makes docs/reliability.md
chaos: .venv/installed
	@mkdir -p .scratch && rm -f .scratch/chaos.jsonl
	CHAOS=$${CHAOS:-1} CHAOS_TALLY=$(CURDIR)/.scratch/chaos.jsonl OMP_NUM_THREADS=1 python -m pytest -m chaos -n 2; \
	  failed=$$?; python -m tests.chaos .scratch/chaos.jsonl docs/reliability.md && exit $$failed

# what is fast and what is not, beside other ways to do the same: docs/speed.md. The peers are for this alone, and pin an old torch:
# without their dependencies, in a folder of their own; without them, or without a network, their lines are left out
PEERS := .scratch/peers
bench: .venv/installed
	@test -d $(PEERS) || python -m pip install --quiet --no-deps --target $(PEERS) pytorch-metric-learning==2.9.0 \
	  supreme-unlearning==0.1.5 lightning lightning-utilities torchmetrics wandb opentelemetry-api xxhash debugpy || true
	@PYTHONPATH=.:$(PEERS) python -m benchmarks

lint: .venv/installed
	ruff check .
	ruff format --check .
	mypy

clean:
	rm -rf .venv .scratch build src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
