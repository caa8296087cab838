# All that is needed to build, run, check and test Attestry. CARGO_TARGET_DIR is respected.

CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TARGET_DIR
# What cargo installs comes first: another package manager may have left an older cargo-deny in the path.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)
RELEASE := $(CARGO_TARGET_DIR)/release

.PHONY: run build deb ui check test demo-db bench fuzz clean

## run: build everything and start Attestry on this host, without any configuration
run: build
	$(RELEASE)/attestry run

## build: the release binaries, attestry and attestry-verify, with the web page inside
build: ui
	cargo build --release --locked --bin attestry --bin attestry-verify
	@echo "built $(RELEASE)/attestry and $(RELEASE)/attestry-verify"

## deb: the Debian package, in $(CARGO_TARGET_DIR)/debian
deb: build
	scripts/deb $(RELEASE)/attestry $(RELEASE)/attestry-verify $(CARGO_TARGET_DIR)/debian

## ui: the web page, as static files in ui/dist; made only when something of it changed, because the server is built with it
ui: ui/dist/index.html

ui/dist/index.html: $(shell find ui/src ui/public ui/index.html ui/vite.config.ts ui/svelte.config.js ui/package-lock.json -type f) | ui/node_modules
	cd ui && npm run --silent build

ui/node_modules: ui/package-lock.json
	cd ui && npm ci --no-audit --no-fund --loglevel=error
	touch $@

## check: format, lints, licences, spelling, unused dependencies, the page's lint and types
check: ui
	scripts/check-deps
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo deny --locked check bans licenses sources
	cargo machete --skip-target-dir
	typos
	cd ui && npm run --silent check

## test: installs what the tests need from Debian's packages, then runs them all
test: ui
	scripts/test-deps
	cargo test --workspace --locked
	cd ui && npm test --silent
	scripts/e2e

## demo-db: two databases in temporary folders, a small bank in each, and somebody who cheats; Attestry tells
demo-db: build
	scripts/demo-db $(RELEASE)/attestry

## bench: builds for release, measures, prints figures (ONLY=store, ONLY=flows or ONLY=audit: a part of it)
bench: build
	cargo run --release --locked -p attestry-bench -- --server $(RELEASE)/attestry $(if $(ONLY),--only $(ONLY))

## fuzz: one target for a while, from its seeds; needs cargo-fuzz and a nightly compiler (FUZZ=event_json FUZZ_SECONDS=60)
FUZZ ?= event_json
FUZZ_SECONDS ?= 60
fuzz:
	mkdir -p fuzz/corpus/$(FUZZ)
	cargo +nightly fuzz run $(FUZZ) fuzz/corpus/$(FUZZ) fuzz/seeds/$(FUZZ) -- -max_total_time=$(FUZZ_SECONDS)

clean:
	cargo clean
	rm -rf ui/dist ui/node_modules
