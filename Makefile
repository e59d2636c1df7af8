# `make help` lists the targets. Everything is installed into .venv by the targets themselves.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
SO = $(if $(filter Darwin,$(shell uname)),dylib,so)
CARGO = cargo
RUST = $(shell find rust-core/src rust-core/fft rust-core/linalg rust-core/build.rs rust-core/Cargo.toml -type f 2>/dev/null)
NATIVE = $(RUST) rust-core/include/rustorch.h build_ffi.py build_ffi.c setup.py pyproject.toml

.DEFAULT_GOAL := help
PYTEST = $(BIN)/python -m pytest -n $(shell nproc 2>/dev/null || echo 2) --dist worksteal

.PHONY: help dev demo test test-torch test-rust test-aarch64 soak fuzz mutants gen fmt lint bench size clean

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# The package, built in place so that tests and coverage see the sources.
$(VENV)/built: $(BIN)/python $(NATIVE)
	$(BIN)/python -m pip install --quiet --editable ".[test,demo]"
	touch $@

$(VENV)/torch: $(VENV)/built
	$(BIN)/python -m pip install --quiet "torch==2.13.0" expecttest
	touch $@

$(VENV)/lint: $(VENV)/built
	$(BIN)/python -m pip install --quiet ruff mypy
	touch $@

dev: $(BIN)/python ## A quick, unoptimised and checked build in place of the installed one, for work on the core
	cd rust-core && RUSTORCH_QUICK=1 $(CARGO) build --quiet
	mkdir -p rustorch/lib && cp rust-core/target/debug/librustorch.$(SO) rustorch/lib/
	if [ ! -e rustorch/_ffi.abi3.so ] || [ rust-core/include/rustorch.h -nt rustorch/_ffi.abi3.so ] || [ build_ffi.py -nt rustorch/_ffi.abi3.so ] || [ build_ffi.c -nt rustorch/_ffi.abi3.so ]; then \
	  mkdir -p rustorch/include && cp rust-core/include/*.h* rustorch/include/ && \
	  LIBRARY_PATH=rustorch/lib $(BIN)/python -c 'import build_ffi as b, os; os.replace(b.make().compile(), "rustorch/_ffi.abi3.so")' && \
	  rm -f rustorch/_ffi.c rustorch/_ffi.o; fi
	touch $(VENV)/built

demo: $(VENV)/built ## Train a small CNN on real handwritten digits; pictures and weights go to out/
	$(BIN)/python examples/python/digits.py

test: $(VENV)/built test-rust ## All tests that need no torch
	$(PYTEST) --ignore tests/torch --cov=rustorch --cov-report=term:skip-covered --cov-fail-under=90

# The vector levels are left out here, as in `make dev`: the Python tests run them, in the release build.
test-rust: ## Tests of the Rust core
	cd rust-core && RUSTORCH_QUICK=1 $(CARGO) test --quiet

# The core, its tests and a C program for aarch64, on whatever machine this is: quick, and so with one way through the
# elementwise loops, which on aarch64 is all there is. The linker and qemu are those of Debian.
ARM = aarch64-unknown-linux-gnu
ARM_CC = aarch64-linux-gnu-gcc
ARM_RUN = qemu-aarch64-static -L /usr/aarch64-linux-gnu
ARM_CARGO = RUSTORCH_QUICK=1 CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$(ARM_CC) \
	  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$(ARM_RUN)" $(CARGO)
ARM_OUT = target/aarch64/$(ARM)/debug/deps
test-aarch64: ## Tests of the Rust core for aarch64, in an emulator (CONTRIBUTING.md says what it needs)
	rustup target add $(ARM)
	cd rust-core && $(ARM_CARGO) test --quiet --target $(ARM) --target-dir target/aarch64 --lib --test api
	cd rust-core && RUSTORCH_CPU=portable $(ARM_CARGO) test --quiet --target $(ARM) --target-dir target/aarch64 --lib gemm
	cd rust-core && $(ARM_CARGO) test --quiet --target $(ARM) --target-dir target/aarch64 --test fuzz -- \
	  --seconds $(or $(SECONDS),30) --most 20
	$(ARM_CC) -std=c99 -Wall -Werror -O1 -I rust-core/include examples/c/train.c -L rust-core/$(ARM_OUT) -lrustorch -lm \
	  -o rust-core/$(ARM_OUT)/train
	cd rust-core/$(ARM_OUT) && $(ARM_RUN) -E LD_LIBRARY_PATH=. ./train

test-torch: $(VENV)/torch ## Comparisons with PyTorch (installs it)
	$(PYTEST) tests/torch

soak: $(VENV)/built ## Interrupts, exits, saves, loads and killed savers by the hundred (half an hour)
	$(BIN)/python tests/soak_files.py
	RUSTORCH_SOAK=1 $(BIN)/python -m pytest tests/test_interrupts.py

# RUSTC_BOOTSTRAP lets the stable compiler take the flag; the library of the toolchain is used as it is.
FUZZ_HOST = $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_OPTIONS = detect_leaks=0:allocator_may_return_null=1:max_malloc_fill_size=0:malloc_context_size=1:quarantine_size_mb=16:detect_stack_use_after_return=0
# For long runs: PROFILE=fuzz builds longer and calls faster.
fuzz: ## Call all ops with arguments of every sort for SECONDS (60), under AddressSanitizer
	cd rust-core && RUSTORCH_QUICK=1 RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" ASAN_OPTIONS=$(FUZZ_OPTIONS) \
	  $(CARGO) test --quiet --profile $(or $(PROFILE),dev) --no-default-features --features exact --target $(FUZZ_HOST) --target-dir target/asan \
	  --test fuzz -- --supervise --seconds $(or $(SECONDS),60) $(FUZZ)

mutants: $(VENV)/built ## Plant small faults, one at a time, and count those that the tests notice (not part of CI)
	$(BIN)/python tests/mutants.py $(MUTANTS)

gen: ## Write everything that follows from the op table
	cd rust-core && RUSTORCH_QUICK=1 $(CARGO) run --quiet --no-default-features --features gen --bin gen -- ..

fmt: $(VENV)/lint ## Format the sources
	cd rust-core && $(CARGO) fmt --all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(VENV)/lint ## Formatting, clippy, ruff, mypy
	cd rust-core && $(CARGO) fmt --all --check
	cd rust-core && $(CARGO) clippy --quiet --all-targets --features gen -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/built ## Benchmarks, side by side with torch if it is installed
	$(BIN)/python benchmarks/run.py

size: $(VENV)/built ## Size of the wheel and of the installed package
	$(BIN)/python benchmarks/size.py

clean: ## Remove everything that was built
	rm -rf $(VENV) build dist *.egg-info rust-core/target rustorch/lib rustorch/include rustorch/_ffi.*.so out
