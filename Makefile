# make demo    the main job on the embedded model, the baselines and all-MiniLM-L6-v2: mini benchmark, leaderboard
# make leaderboard  the demo, and its leaderboard and picture in the README
# make test    all tests; short forms of the long campaigns included
# make check   ruff, mypy --strict, import layers
# make parity  published scores of all-MiniLM-L6-v2 on every task below ../shared/mteb_offline
# make gate    the mini benchmark against its stored baseline
# make soak    the long fault and property campaigns
# make study   how many examples, which, at what cost: the embedded model on mini and on ../shared/mteb_offline (docs/study.md)
# make bench   the encoder against its peers, side by side
# make test-gpu  what needs a CUDA device: equality, out of memory, Mistral-7B's shape

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SHARED ?= ../shared
DEMO_DIR ?= results/runs/demo
GATE_DIR ?= results/runs/gate
STUDY_DIR ?= results/runs/study
STUDY_PARTS := tweets mini newsgroups
STUDY_mini := --num-fewshot 0,1,2,3,5,8 --benchmark mini --tasks STSBenchmark,BIOSSES,SICK-R,STS12,STS14,STS16,SciFact,AmazonCounterfactualClassification,Banking77Classification,EmotionClassification
STUDY_tweets := --num-fewshot 0,1,2,3,5 --tasks TwitterURLCorpus
STUDY_newsgroups := --num-fewshot 0,1,2,3,5 --tasks TwentyNewsgroupsClustering
DEMO_THREADS ?= 1
DEMO_MODELS := embedded all-MiniLM-L6-v2 static-bag tfidf bag-of-words
SHOTS_embedded := 0,3,5
STAMP := $(VENV)/.installed

# The shim must be in the same command as the extra `air` (see shims/pytrec-eval/pyproject.toml).
INSTALL := -c constraints.txt ./shims/pytrec-eval -e .[air,minilm,reference,test,dev]

.PHONY: demo leaderboard test test-gpu check gate parity soak study bench install clean format

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt shims/pytrec-eval/pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(INSTALL)
	$(BIN)/python -m pip check
	touch $(STAMP)

# One run per model, two at a time, each on one thread: half the time on two cores, and the same scores.
demo: $(STAMP)
	$(MAKE) --no-print-directory -j2 $(DEMO_MODELS:%=demo-%) demo-air-bench
	$(BIN)/icl-harness report --output-dir $(DEMO_DIR) --format md,parquet,html $(DEMO_MODELS:%=$(DEMO_DIR)/%)

demo-air-bench: $(STAMP)
	OMP_NUM_THREADS=$(DEMO_THREADS) $(BIN)/icl-harness run --quiet --offline --model embedded --benchmark AIR-Bench_mini --num-fewshot 0,3 --output-dir $(DEMO_DIR)/air-bench

demo-%: $(STAMP)
	OMP_NUM_THREADS=$(DEMO_THREADS) $(BIN)/icl-harness run --quiet --offline --model $* --benchmark mini --num-fewshot $(or $(SHOTS_$*),0) --output-dir $(DEMO_DIR)/$*

leaderboard: demo
	$(BIN)/python tools/leaderboard.py $(DEMO_MODELS:%=$(DEMO_DIR)/%)

test: $(STAMP)
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not parity and not soak and not gpu" $(PYTEST_ARGS)

test-gpu: $(STAMP)
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m gpu tests $(PYTEST_ARGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

gate: $(STAMP)
	rm -rf $(GATE_DIR)
	$(BIN)/icl-harness run --quiet --offline --no-cache --model embedded --benchmark mini --num-fewshot 0,3 --output-dir $(GATE_DIR)
	$(BIN)/icl-harness check $(GATE_DIR) --baseline results/baselines/mini.parquet --tolerance-file results/baselines/mini-tolerances.yaml

bench: $(STAMP)
	HF_HUB_OFFLINE=1 $(BIN)/python benchmarks/run.py

# Two runs at a time, each on one thread. Their store is their own, so that times are those of encoding.
study: $(STAMP)
	$(MAKE) --no-print-directory -j2 $(STUDY_PARTS:%=study-%)
	$(BIN)/python benchmarks/study.py $(STUDY_PARTS:%=$(STUDY_DIR)/%)

study-%: $(STAMP)
	OMP_NUM_THREADS=1 HARNESS_CACHE=$(abspath $(STUDY_DIR))/cache $(BIN)/icl-harness run --quiet --offline --model embedded $(STUDY_$*) --data-dir $(SHARED)/mteb_offline --fewshot-seed 1,2,3 --output-dir $(STUDY_DIR)/$*

parity: $(STAMP)
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -s -m "parity or reference" tests/parity

soak: $(STAMP)
	HF_HUB_OFFLINE=1 HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest -m "soak" tests

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist results/runs
