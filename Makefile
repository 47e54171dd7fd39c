# `make help` lists the targets. The work is done by cargo and the scripts in scripts/, which can be run by themselves.

SHELL := /bin/bash
export PATH := $(PATH):$(HOME)/.cargo/bin

PREFIX ?= /usr/local
DESTDIR ?=
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
# The names under which the one binary takes the command lines of the programs it replaces.
NAMES := provisioner workspacectl templatectl jobctl

.DEFAULT_GOAL := help
.PHONY: help build run dev test test-coverage lint fmt conformance bench install clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 23

build: ## compile the release binary into bin/, with its other names
	@scripts/setup-build
	PITON_COMMIT=$$(git rev-parse --short HEAD 2>/dev/null) cargo build --release --locked --package piton
	@mkdir -p bin
	@install -m 0755 $(TARGET_DIR)/release/piton bin/piton
	@for name in $(NAMES); do ln -sfn piton bin/$$name; done
	@echo "built bin/piton ($(NAMES))"

run: build ## build, then run the daemon on examples/quickstart
	@tool=$$(scripts/setup-tool) && PATH="$$PATH$${tool:+:$$tool}" exec bin/piton serve --dir examples/quickstart

dev: fmt lint test build ## format, lint, test, build

test: ## install what the tests need, then check and test everything
	@scripts/test

test-coverage: ## run the tests with coverage; installs cargo-llvm-cov
	@scripts/test-coverage

lint: ## check house rules, formatting and lints
	cargo xtask tidy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny check; else echo "cargo-deny is not installed: deny.toml not checked"; fi

fmt: ## format the code
	cargo fmt --all

conformance: ## run the conformance tables of PITON_CONFORMANCE_DIR
	@scripts/conformance

bench: build ## measure, and print the results beside their goals
	@bench/run

install: bin/piton ## install into PREFIX (default /usr/local), with a systemd unit; DESTDIR is honoured
	@scripts/install "$(PREFIX)" "$(DESTDIR)"

# Not built again where it is there, so that `sudo make install` needs no toolchain of root's.
bin/piton:
	@$(MAKE) build

clean: ## remove what was built; the data of examples stays
	cargo clean
	rm -rf bin
