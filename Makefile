# `make help` says what is here. Tests: `make test` and nothing else.

SHELL := /bin/bash
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
BINARY ?= bin/claviger
FUZZTIME ?= 30s
BENCH ?= .
TORTURE ?= 10m
SEED ?= 0

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## one static binary, bin/claviger (or BINARY)
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $(BINARY) ./cmd/server

.PHONY: run
run: ## the broker on an embedded database, with nothing to set up
	go run ./cmd/server

.PHONY: demo
demo: ## the broker with a sandbox of Toggl, ClickTime and TimeLog
	go run ./cmd/server demo

.PHONY: test
test: ## everything: linter, vet, govulncheck, all tests on SQLite and PostgreSQL, a real browser
	@scripts/test

.PHONY: test-short
test-short: ## unit tests on SQLite alone: no server, no browser
	@scripts/gotest short

.PHONY: e2e
e2e: ## the black box tests: the built binary, PostgreSQL, an OpenID provider, a browser
	@scripts/e2e

.PHONY: torture
torture: ## refreshing under faults for TORTURE (10m), with SEED (0: any)
	go test -race -count=1 -timeout 0 -v -run '^TestTorture$$' ./e2e -torture.for $(TORTURE) -torture.seed $(SEED)

.PHONY: screenshots
screenshots: ## the pictures of the README, docs/screenshots, made anew
	@scripts/screenshots

.PHONY: lint
lint: .tools/golangci-lint ## golangci-lint and the formatting
	.tools/golangci-lint run ./...

.PHONY: fmt
fmt: .tools/golangci-lint ## format all Go files
	.tools/golangci-lint fmt ./...

.PHONY: fix
fix: .tools/golangci-lint ## format, and apply what the linter can mend itself
	.tools/golangci-lint run --fix ./...

.PHONY: vulncheck
vulncheck: .tools/govulncheck ## known vulnerabilities, where the database can be reached
	@scripts/vulncheck

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (30s)
	@scripts/fuzz $(FUZZTIME)

.PHONY: bench
bench: ## benchmarks matching BENCH, on both databases
	scripts/with-postgres go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

.PHONY: bench-compare
bench-compare: ## headers beside the limit program, on both databases; flags in COMPARE
	scripts/with-postgres go run ./bench/compare $(COMPARE)

.PHONY: bench-lists
bench-lists: ## the console's lists among a million connections, on both databases; flags in LISTS
	scripts/with-postgres go run ./bench/lists $(LISTS)

.PHONY: compose-secrets
compose-secrets: ## the secret files that docker-compose.yml reads, made once
	@scripts/compose-secrets

.PHONY: clean
clean: ## all that was built; databases and tools stay
	rm -rf bin e2e/artifacts
	go clean -testcache

# The tools live in modules of their own: their versions are pinned there and
# nowhere else, and their dependencies stay out of ours.
.tools/%: tools/%/go.mod tools/%/go.sum
	@echo 'building $* $(call tool-version,$*) (once)'
	cd tools/$* && go build -o ../../.tools/$* tool

tool-version = $(shell cd tools/$(1) && go list -f '{{with .Module}}{{.Version}}{{end}}' tool)
