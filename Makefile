# make demo   from a clean clone to a picture of real elevation
# make test   everything that must hold
# make soak   random histories against the dense model, for SECONDS (an hour), from SEED on if it is given
# make torture  kills, cuts of power, failing calls, flipped bits, hostile files, for SECONDS each, from SEED on if it is given
# make fuzz   libFuzzer on every target, for SECONDS (a minute) each, with the nightly toolchain and cargo-fuzz
# make clients  other programs (GDAL, rio-cogeo, xarray, zarr, tensorstore, zarrita, Chromium) read what is exported and served; pip and npm
#               install them, and what cannot be had is named and left out
# make lint   format, clippy, documentation
# make bench  the flow's verbs, timed
# make scale  the verbs on 10,000 to 1,000,000 chunks
# make requests  what verbs ask of object storage, held against a formula, and what that costs
# make instructions  counted under valgrind, and held against benches/instructions.tsv, or with WRITE=1 stored there
# make objects  stores on object storage: the tests, and an S3 server that pip installs
# make gdal    the feature gdal on the system's libgdal, which apt installs: lints and tests against gdalwarp; left out where it cannot be had
# make peers  the same workload on other systems, which pip installs, into target/peers; SIDE and SEEDS choose how much

SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: demo test soak torture fuzz lint bench scale requests instructions objects gdal peers clients build setup

# RocksDB is C++ and takes a quarter of an hour: one profile, one set of features, and a cache beside them.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/gridstone/target
export CC := ccache cc
export CXX := ccache c++
export PATH := $(PATH):$(HOME)/.cargo/bin
CARGO_FLAGS := --release --features cli,server,testing
GRIDSTONE := $(CARGO_TARGET_DIR)/release/gridstone

demo: build
	@.ci/demo $(GRIDSTONE)

test: setup
	cargo test $(CARGO_FLAGS)

SECONDS ?= 3600
soak: setup
	GRIDSTONE_SECONDS=$(SECONDS) $(if $(SEED),GRIDSTONE_SEED=$(SEED)) cargo test $(CARGO_FLAGS) --test suite dense::soak -- --ignored --nocapture

torture: setup
	GRIDSTONE_SECONDS=$(SECONDS) $(if $(SEED),GRIDSTONE_SEED=$(SEED)) cargo test $(CARGO_FLAGS) --test torture -- --nocapture --test-threads=1

# Instrumented as cargo-fuzz does it, which need not be there.
FUZZ_TARGETS := $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
FUZZ_FLAGS := --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
  -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Zsanitizer=address
FUZZ_HOST = $(shell rustc -vV | sed -n 's/host: //p')
fuzz: SECONDS := 60
fuzz:
	RUSTFLAGS="$(FUZZ_FLAGS)" cargo +nightly build --release --manifest-path fuzz/Cargo.toml --target $(FUZZ_HOST) --target-dir fuzz/target
	@for target in $(FUZZ_TARGETS); do mkdir -p fuzz/corpus/$$target; echo "== $$target"; \
	  fuzz/target/$(FUZZ_HOST)/release/$$target fuzz/corpus/$$target tests/data/corpus/$$target -max_total_time=$(SECONDS) \
	    -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 || exit 1; done

lint: setup
	cargo fmt --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_FLAGS) --no-deps

bench: setup
	cargo bench --features cli,testing --bench flow

scale: setup
	cargo bench --features cli,testing --bench scale

requests: setup
	cargo bench --features cli,testing,object-store --bench requests

instructions: setup
	cargo build $(CARGO_FLAGS) --bench instructions
	.ci/instructions "$$(cargo build $(CARGO_FLAGS) --bench instructions --message-format=json 2>/dev/null | \
	  sed -n 's/.*"executable":"\([^"]*\/instructions-[^"]*\)".*/\1/p')" $(if $(WRITE),--write)

objects: setup
	cargo clippy $(CARGO_FLAGS),object-store --all-targets -- -D warnings
	cargo test $(CARGO_FLAGS),object-store --test objects
	cargo build $(CARGO_FLAGS),object-store
	OBJECTS_TEST='cargo test $(CARGO_FLAGS),object-store --test objects kills' .ci/objects $(GRIDSTONE)

gdal: setup
	@.ci/gdal || exit 0; set -e; \
	cargo clippy $(CARGO_FLAGS),gdal --all-targets -- -D warnings; \
	RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_FLAGS),gdal --no-deps; \
	cargo test $(CARGO_FLAGS),gdal --test gdal

# An environment of its own, outside the repository.
PEERS := $(HOME)/.cache/gridstone/peers
SIDE ?= 8192
SEEDS ?= 1,2,3
peers: build
	test -x $(PEERS)/bin/pip || python3 -m venv $(PEERS)
	$(PEERS)/bin/pip install -q -r benches/peers/requirements.txt
	$(PEERS)/bin/python benches/peers/compare.py --gridstone $(GRIDSTONE) --work $(PEERS)/work --side $(SIDE) --seeds $(SEEDS)

# The newest Python that is there has the newest wheels: that of rasterio, and GDAL in it.
PYTHON = $(shell for python in python3.13 python3.12 python3; do $$python -c '' 2>/dev/null && echo $$python && break; done)
CLIENTS = $(HOME)/.cache/gridstone/clients-$(PYTHON)
clients: build
	@test -x $(CLIENTS)/bin/pip || $(PYTHON) -m venv $(CLIENTS) || { echo 'skipped: there is no Python with venv'; exit 0; }; \
	while read -r package; do \
	  $(CLIENTS)/bin/pip install -q "$$package" < /dev/null || echo "skipped: $$package cannot be had"; \
	done < tests/clients/requirements.txt; \
	for script in exports zarr_readers web; do \
	  echo "== $$script"; $(CLIENTS)/bin/python tests/clients/$$script.py $(GRIDSTONE) $(CLIENTS)/work-$$script || exit 1; \
	done

build: setup
	cargo build $(CARGO_FLAGS)

setup:
	@.ci/setup
