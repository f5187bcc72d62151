# make demo   from a clean clone to a picture of real elevation
# make test   everything that must hold
# make soak   random histories against the dense model, for SECONDS (an hour), from SEED on if it is given
# make lint   format, clippy, documentation, licences
# make bench  the flow's verbs, timed
# make peers  the same workload on other systems, which pip installs; SIDE and SEEDS choose how much

SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: demo test soak lint bench peers build setup

# RocksDB is C++ and takes a quarter of an hour: one profile, one set of features, and a cache beside them.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/gridstone/target
export CC := ccache cc
export CXX := ccache c++
export PATH := $(PATH):$(HOME)/.cargo/bin
CARGO_FLAGS := --release --features cli,testing
GRIDSTONE := $(CARGO_TARGET_DIR)/release/gridstone

demo: build
	@.ci/demo $(GRIDSTONE)

test: setup
	cargo test $(CARGO_FLAGS)

SECONDS ?= 3600
soak: setup
	GRIDSTONE_SECONDS=$(SECONDS) $(if $(SEED),GRIDSTONE_SEED=$(SEED)) cargo test $(CARGO_FLAGS) --test suite dense::soak -- --ignored --nocapture

lint: setup
	cargo fmt --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_FLAGS) --no-deps

bench: setup
	cargo bench --features cli,testing

# An environment of its own, outside the repository.
PEERS := $(HOME)/.cache/gridstone/peers
SIDE ?= 8192
SEEDS ?= 1,2,3
peers: build
	test -x $(PEERS)/bin/python || python3 -m venv $(PEERS)
	$(PEERS)/bin/pip install -q -r benches/peers/requirements.txt
	$(PEERS)/bin/python benches/peers/compare.py --gridstone $(GRIDSTONE) --work $(PEERS)/work --side $(SIDE) --seeds $(SEEDS)

build: setup
	cargo build $(CARGO_FLAGS)

setup:
	@.ci/setup
