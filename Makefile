# Raylink. The two commands for a newcomer are `make demo` and `make test`; both install what they need on a bare Debian, as root.
SHELL := bash
SETUP := raylink/devnet/setup
TAGS  := hashicorpmetrics
export CGO_ENABLED := 0

# The architecture of the worker image: this machine's, or the other one's through an emulator.
HOST  := $(shell go env GOHOSTARCH 2>/dev/null)
ARCH  ?= $(HOST)

.PHONY: help build image images cross demo dev test kuberay fast crash bench clean

help: ## show the targets
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/raylink
	@go build -tags $(TAGS) -trimpath -o bin/raylink ./raylink/cmd/raylink

image: ## build the worker image, raylink/worker:2.60.0-py311 (ARCH=arm64 or amd64: for another architecture than this machine's)
	@$(SETUP)/build.sh bin/linux-$(ARCH)/raylink $(ARCH)
	@$(SETUP)/engine.sh up
	@supplier/worker/build.sh --arch $(ARCH) bin/linux-$(ARCH)/raylink

cross: ## build for every system without cgo, as machines without a C compiler do
	@for t in linux/amd64 linux/arm64 darwin/arm64; do GOOS=$${t%/*} GOARCH=$${t#*/} go build -tags $(TAGS) -trimpath -o bin/cross/raylink-$${t%/*}-$${t#*/} ./raylink/cmd/raylink || exit 1; done

images: ## build the worker image for amd64 and for arm64
	@$(MAKE) -s image ARCH=amd64
	@$(MAKE) -s image ARCH=arm64

demo: ## from nothing to a Ray job and its bill, on this machine (KEEP=1 leaves it running)
	@$(SETUP)/with.sh demo

dev: ## a network on this machine for development; ^C cleans up
	@$(SETUP)/with.sh dev

test: ## every test, the real end-to-end run included
	@$(SETUP)/with.sh test

kuberay: ## compare our ray start lines with KubeRay's own pod builder (the first time compiles for minutes)
	@cd raylink/manifest/kuberaytest && go test ./...

fast: ## the tests that need nothing: no Docker, no root
	@go vet -tags $(TAGS) ./... && go test -tags $(TAGS) ./...

crash: ## kill coordinators and signer a thousand times, and freeze some, while money goes in and out (about 40 minutes)
	@$(SETUP)/with.sh crash

bench: ## measure: an idle agent, cluster create to ready beside a raw ray start, and the rooms' benchmarks
	@$(SETUP)/with.sh bench

clean: ## remove what make built here; images and caches stay
	@rm -rf bin
