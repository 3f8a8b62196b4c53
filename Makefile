# make help lists the targets. Go is all that they need; what else a suite
# could use and does not find is named with the reason, and is an error where
# CI=true.

.SHELLFLAGS := -eu -o pipefail -c
SHELL       := bash
.DELETE_ON_ERROR:
MAKEFLAGS   += --no-print-directory

TOOLS   := .tools
SKIPPED := $(TOOLS)/skipped
LINT    := $(TOOLS)/golangci-lint
REPORT  := $(TOOLS)/report

FUZZTIME ?= 10s
ARGS     ?=

# go test, told by tools/report: failures in full, skips with their reasons. Not
# from its cache, which does not see what a binary that a test starts was made of.
GOTEST = $(REPORT) -skipped $(SKIPPED) go test -json -count 1 -timeout 8m

# What no tag and no missing race detector changes is not run again: these
# folders build or start the binary themselves, both ways.
PORTABLE = go list -tags streamonly ./... | grep -v -e /test/conformance -e /test/load -e /bench/
# Tests of budgets (allocations, bytes, load) are not built with the race
# detector, or skip under it.
BUDGETS  = grep -rlE 'AllocsPerRun|go:build !race' --include='*_test.go' . | xargs -n 1 dirname | sort -u

.PHONY: help check fmt lint test race budgets portable fuzz script conformance bench \
	setup format vet tidy cross skipped

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

check: ## everything: set up, style, builds, lint, tests, fuzzing
	@rm -f $(SKIPPED)
	@for step in setup format vet tidy cross lint race budgets portable fuzz; do \
		began=$$SECONDS; \
		echo "== $$step"; \
		$(MAKE) $$step || exit 1; \
		echo "== $$step: $$((SECONDS - began)) s"; \
	done
	@$(MAKE) skipped
	@echo "check: all passed"

fmt: ## write the code as gofmt does
	gofmt -w $$(git ls-files '*.go')

lint: ## golangci-lint, at the version pinned in tools/go.mod
	@$(MAKE) -s $(LINT) || true
	@lint=$(LINT); \
	test -x $$lint || lint=$$(command -v golangci-lint) || lint=; \
	if [ -n "$$lint" ]; then \
		$$lint run ./...; \
	else \
		$(call skip,lint: golangci-lint is not on PATH and could not be built; see above); \
	fi

test: race budgets portable ## all tests: with the race detector, budgets without it, portable transport

race: $(REPORT) ## all tests with the race detector
	@$(GOTEST) -race ./...

budgets: $(REPORT) ## tests of allocations, memory and load, without it
	@$(GOTEST) $$($(BUDGETS))

portable: $(REPORT) ## tests on the transport that works everywhere
	@$(GOTEST) -tags streamonly $$($(PORTABLE))

fuzz: ## every fuzz target for FUZZTIME (10s)
	@test/fuzz.sh $(FUZZTIME)

script: $(REPORT) ## command lines on the real binary; ARGS='-run TestScripts/demo -v'
	@$(GOTEST) $(ARGS) ./test/script

# The summary is printed when all has run, and stays in .tools/conformance.md.
conformance: $(REPORT) setup ## other people's WebSocket software against the proxy, all of it; takes long
	@rm -f $(TOOLS)/conformance.md
	@CONFORMANCE=full $(GOTEST) -timeout 2h $(ARGS) ./test/conformance || code=$$?; \
	cat $(TOOLS)/conformance.md || true; exit $${code:-0}

bench: ## side by side with other proxies; ARGS='-rounds 1 -scenario echo-100'
	go run ./bench/compare $(ARGS)

# The steps of check.

setup:
	@test ! -x test/conformance/setup.sh || test/conformance/setup.sh

format:
	@bad=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$bad" ]; then echo "make fmt would change:"; echo "$$bad"; exit 1; fi

vet:
	@go vet ./...
	@go vet -tags streamonly ./...
	@go vet -C tools ./...
	@go vet -C bench/peers ./...

# Without the network, modules that only tests of modules need may be missing.
tidy:
	@if ! out=$$(go mod tidy -diff 2>&1); then \
		case $$out in \
		*'dial tcp'*|*'no such host'*|*'module lookup disabled'*) $(call skip,tidy: no network: $${out##*$$'\n'});; \
		*) echo "$$out"; echo "go mod tidy would change go.mod or go.sum"; exit 1;; \
		esac; \
	fi

cross:
	@GOOS=darwin go vet ./...
	@GOOS=darwin go build ./...
	@GOOS=windows go vet ./cmd/... ./internal/...
	@GOOS=windows go build ./...

skipped:
	@if [ -s $(SKIPPED) ]; then echo "== skipped"; sort -u $(SKIPPED); else echo "nothing was skipped"; fi

# skip SUITE: REASON, inside a recipe.
skip = echo "$(1)" | tee -a $(SKIPPED); [ "$${CI:-}" != true ]

# The linter is built from source: a prebuilt binary may lag behind the Go that
# the code needs, and comes from somewhere else. The first time it takes one to
# two minutes on two cores; later the build cache has it.
$(LINT): tools/go.mod tools/go.sum
	@mkdir -p $(TOOLS)
	@echo "building golangci-lint"
	@go build -C tools -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

$(REPORT): $(wildcard tools/report/*.go)
	@mkdir -p $(TOOLS)
	@go build -C tools -o ../$@ ./report
