# The one interface to the project. CI runs `make test`, as people do.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
PYTHON ?= python3
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Where scripts/setup.sh keeps what it builds
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kudzu-tools
# Where rustup puts cargo, for shells that do not know yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

# make demo ARGS="--seed 7 --scale 0.2"
ARGS ?=
# make rank SEEDS=101-120 SCALE=0.2
SEEDS ?= 101-120
SCALE ?= 0.2
# make bench-dns MASSDNS=path/to/massdns; without it massdns is left out
MASSDNS ?=
# make load SCENARIO=steady ARGS="--rate 2"
SCENARIO ?= headline
# make fuzz CASES=200000
CASES ?= 20000
# make fuzz-dns RUNS=10000000
RUNS ?= 1000000

# What is compiled in for tests alone: planted faults, and a source that kills its process. The
# whole workspace is named with it, so that nothing else is built anew.
FAULTY := kudzu-coordinator/planted,kudzu-worker/poison,kudzu-cli/poison

.PHONY: help
help: ## List what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 19

.PHONY: build
build: ## Build the command, optimised
	$(CARGO) build --release

.PHONY: dist
dist: ## Build it as it is deployed: a twelfth less processor time, a longer build
	$(CARGO) build --profile dist -p kudzu-cli

.PHONY: image
image: ## Build the container image as an OCI archive, without a daemon, and check it (docs/IMAGE.md)
	@scripts/setup.sh image
	$(MAKE) dist
	CARGO="$(CARGO)" $(PYTHON) scripts/image.py build --program $(TARGET)/dist/kudzu --out $(TARGET)/image $(ARGS)
	$(PYTHON) scripts/image.py verify $(TARGET)/image/kudzu.tar

.PHONY: image-check
image-check: ## Test what builds and checks the image, with another program in it
	@scripts/setup.sh image-check
	$(PYTHON) -B -m unittest discover -s scripts -p 'test_image*.py'

.PHONY: demo
demo: ## Run everything offline: a simulated internet, and a pivot from an attack in it
	$(CARGO) run --release -- demo $(ARGS)

.PHONY: test
test: setup lint doc ## Install what is missing, then run every test, lint and check of the documentation
	$(CARGO) test --workspace
	$(CARGO) test --workspace --test clusters -- --ignored --test-threads=1
	$(CARGO) test --workspace --features $(FAULTY) --test planted --test poison
	$(MAKE) helm-check image-check

.PHONY: setup
setup: ## Check for the tools of the tests; install those that are missing
	@scripts/setup.sh test

.PHONY: lint
lint: ## Check format and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

.PHONY: helm-check
helm-check: ## Check the chart without a cluster: Helm 3 and 4, every Kubernetes from 1.30 on
	@scripts/setup.sh helm
	$(PYTHON) helm/tests/check.py --helm $(TOOLS)/helm-3.22.0 --helm $(TOOLS)/helm-4.2.3 \
		--kubeconform $(TOOLS)/kubeconform-0.8.0 --schemas $(TOOLS)/kube-schemas-1

# make kube-test KUBE_IMAGE_LOAD="kind load image-archive" ARGS="--part first"
# What is upgraded to: an archive of another version; without one the same program by another tag
KUBE_NEXT ?=
.PHONY: kube-test
kube-test: ## Test the chart on the cluster of KUBECONFIG: install, scale, upgrade, kill (docs/OPERATING.md)
	@scripts/setup.sh helm
	$(MAKE) image ARGS=
	CARGO="$(CARGO)" $(PYTHON) scripts/image.py build --program $(TARGET)/dist/kudzu --out $(TARGET)/image-next \
		--name localhost/kudzu:next
	$(PYTHON) helm/kube/test.py --helm $(TOOLS)/helm-4.2.3 --image $(TARGET)/image/kudzu.tar \
		--next $(or $(KUBE_NEXT),$(TARGET)/image-next/kudzu.tar) $(ARGS)

.PHONY: chart
chart: ## Write the chart's schema and the table of its README from its values
	$(PYTHON) scripts/chart_schema.py
	$(PYTHON) scripts/chart_readme.py

.PHONY: tidy
tidy: ## Check the house rules alone: sizes, paths in documents, sources with tests
	$(CARGO) test -p kudzu-cli --test tidy

.PHONY: doc
doc: ## Build the documentation of the code
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

.PHONY: deny
deny: ## Check licences, advisories and origin of dependencies
	@scripts/setup.sh deny
	$(CARGO) deny check

.PHONY: bench
bench: build ## Run the demo at full size and print its figures
	$(TARGET)/release/kudzu demo --quiet --out $(TARGET)/bench --force $(ARGS) > /dev/null
	@cat $(TARGET)/bench/summary.json; echo

.PHONY: bench-dns
bench-dns: build ## Measure the DNS engine on NSD and simnet, beside massdns (MASSDNS=source folder)
	@scripts/setup.sh bench-dns
	$(CARGO) build --release -p kudzu-dns --example hickory
	$(PYTHON) scripts/bench_dns.py --kudzu $(TARGET)/release/kudzu --hickory $(TARGET)/release/examples/hickory \
		--massdns "$(MASSDNS)" $(ARGS)

.PHONY: cluster
cluster: setup ## Run the tests on clusters of real processes, one after another
	$(CARGO) test --workspace --test clusters -- --ignored --test-threads=1

.PHONY: chaos
chaos: ## Kill, freeze and cut off everything while jobs run (ARGS="--kills 200 --jobs 20")
	@scripts/setup.sh test
	$(CARGO) build --release -p kudzu-cli -p kudzu-loadtest
	$(TARGET)/release/kudzu-loadtest chaos --kudzu $(TARGET)/release/kudzu $(ARGS)

.PHONY: load
load: ## Run a scenario of the load harness on a fresh cluster (SCENARIO=headline; docs/LOAD.md)
	@scripts/setup.sh test
	$(CARGO) build --release -p kudzu-cli -p kudzu-loadtest
	$(TARGET)/release/kudzu-loadtest run $(SCENARIO) $(ARGS)

.PHONY: rank
rank: build ## Measure the ranking against the truth of worlds SEEDS, beside baselines
	@scripts/setup.sh rank
	$(PYTHON) scripts/rank_eval.py --kudzu $(TARGET)/release/kudzu --seeds $(SEEDS) --scale $(SCALE)

.PHONY: same
same: build ## Compare the tree of one seed over jitter, loss, workers and windows
	@scripts/setup.sh rank
	$(PYTHON) scripts/same_answer.py --kudzu $(TARGET)/release/kudzu

.PHONY: fuzz-dns
fuzz-dns: ## Fuzz the DNS engine's acceptor and record walker with RUNS inputs each (nightly Rust)
	@scripts/setup.sh fuzz
	@mkdir -p $(TARGET)/fuzz
	cd dns/fuzz && for target in acceptor walker; do \
		$(CARGO) +nightly fuzz run --fuzz-dir . --target-dir "$(abspath $(TARGET))/fuzz" $$target -- -runs=$(RUNS) -max_len=1500; \
	done

.PHONY: fuzz
fuzz: ## Run the property tests with CASES cases each where they set no number of their own
	PROPTEST_CASES=$(CASES) $(CARGO) test --release -p kudzu-shared -p kudzu-dns -p kudzu-worker -p kudzu-coordinator
