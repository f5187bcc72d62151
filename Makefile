# make demo   from a clean clone to a picture of real elevation
# make test   everything that must hold
# make lint   format, clippy, documentation, licences
# make bench  the flow's verbs, timed

SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: demo test lint bench build setup

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

lint: setup
	cargo fmt --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_FLAGS) --no-deps

bench: setup
	cargo bench --features cli,testing

build: setup
	cargo build $(CARGO_FLAGS)

setup:
	@.ci/setup
