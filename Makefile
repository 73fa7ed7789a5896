# make run     the daemon, out of the box; ends with the URL to open
# make test    everything that can be tested here: unit, browsers, a real Asterisk
# make demo    make run with a real Asterisk beside it
# make check   the quick one for daily work
# make bench   the tables of docs/benchmarks.md;  make bench-peers  other relays beside ours
# make interop foreign clients against the relay
# make chaos   Asterisk dies, its ways to us are cut, 500 calls are hung up at random moments
# make faults  calls on bad networks;  make churn  joins, leaves and deaths for CHURN_MINUTES (default 30)
# make fuzz    each fuzz target for FUZZ_SECONDS (default 300)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

# Outside the tree: the Asterisk tree and compiled foreign clients. 400 MB and more.
export MOQRELAY_CACHE ?= $(if $(filter 0,$(shell id -u)),/var/cache/moqrelay,$(HOME)/.cache/moqrelay)

need := deploy/dev/need
CONFIG ?= config/relay.toml
FUZZ_SECONDS ?= 300
CHURN_MINUTES ?= 30

.PHONY: help run demo test check deny webapp web-modules unit e2e e2e-browsers e2e-asterisk bench bench-peers interop faults chaos churn fuzz release clean

help:
	@sed -n 's/^# //p' Makefile | sed '/^Outside/d'

run: release
	exec target/release/moqrelay --config $(CONFIG)

release: webapp
	@$(need) build
	cargo build --locked --release --package moqrelay

demo: release
	@$(need) asterisk
	deploy/asterisk/rootfs
	exec deploy/asterisk/demo target/release/moqrelay

# Only when a source is newer: the page is built into the daemon, which is linked anew after it.
web_sources := $(shell find webapp/index.html webapp/package.json webapp/vite.config.ts webapp/build-wasm webapp/src webapp/public \
	crates/wasm crates/moqt crates/audio crates/wire -type f -not -name '*.wasm' -not -path '*/tests/*' 2>/dev/null)

webapp: webapp/dist/index.html

webapp/dist/index.html: $(web_sources) | web-modules
	cd webapp && npm run --silent build

web-modules:
	@$(need) build web
	cd webapp
	[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund

check: web-modules
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo xtask floorplan
	cargo xtask coverage
	cargo xtask schema --check
	# The page's modules: what compiles here may lack something there.
	for half in session playout; do
		cargo check --locked --package moqrelay-wasm --lib --no-default-features --features $$half --target wasm32-unknown-unknown
	done
	$(MAKE) unit
	cd webapp && npm run --silent check && npm test --silent

# Licences, sources and banned crates of the dependencies (cargo install --locked cargo-deny).
deny:
	cargo deny --locked check licenses bans sources

# nextest where it is installed, cargo test elsewhere.
unit:
	@$(need) build
	if cargo nextest --version >/dev/null 2>&1; then
		cargo nextest run --locked --workspace --no-fail-fast
	else
		cargo test --locked --workspace --no-fail-fast
	fi

test:
	@deploy/dev/test

e2e: e2e-browsers e2e-asterisk

e2e-browsers: webapp
	@$(need) browsers
	cargo build --locked --package moqrelay
	cd webapp/e2e && node --test --test-concurrency=1 browsers.test.mjs

e2e-asterisk: webapp
	@$(need) browsers asterisk
	deploy/asterisk/rootfs
	cargo build --locked --package moqrelay --bins --example foreign_listener
	cd webapp/e2e && node --test --test-concurrency=1 asterisk.test.mjs callcontrol.test.mjs foreign.test.mjs

bench: release
	@deploy/dev/bench

bench-peers:
	@deploy/dev/bench-peers

# Calls on bad networks: what arrives, how late, and whether the sessions live.
faults:
	@deploy/dev/faults

# Asterisk dies in mid-call, its ways to us are cut, 500 calls are hung up at random moments, AudioSocket peers misbehave.
chaos: web-modules
	@deploy/dev/chaos

# Joins, leaves and deaths for CHURN_MINUTES: memory stays, tables end empty.
churn: release
	cargo run --locked --quiet --package moqrelay --example churn -- --daemon target/release/moqrelay --minutes $(CHURN_MINUTES)

interop:
	@deploy/dev/interop

fuzz:
	@deploy/dev/fuzz $(FUZZ_SECONDS)

clean:
	cargo clean
	rm -rf webapp/dist webapp/node_modules
