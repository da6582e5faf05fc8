# The short words; what they do is in CMakePresets.json, deploy/packages.txt and the scripts that they call.
BIN := build/release/bin

.DEFAULT_GOAL := help
.PHONY: help setup build test compose-test demo bench image deb check fuzz clean

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 22

setup: ## Install the Debian packages that are missing (needs root or sudo)
	@deploy/install-packages.sh

build: setup ## Build every binary into build/release/bin/
	@cmake --preset release -DHOLDFAST_TESTS=$(or $(TESTS),OFF) >build-configure.log 2>&1 || { cat build-configure.log; rm -f build-configure.log; exit 1; }; rm -f build-configure.log
	@cmake --build --preset release

test: ## Build, then run every test: unit, system, fault, interop
	@$(MAKE) --no-print-directory build TESTS=ON
	@deploy/install-packages.sh browser
	@tests/prepare.sh
	@echo "Not run here: the image in a real Docker engine (make compose-test), the fuzz targets (make fuzz)"
	@ctest --test-dir build/release --output-on-failure --no-tests=error -LE compose $(CTEST_ARGS)

compose-test: ## The image and compose.yaml in a real Docker engine (installs one; needs root)
	@deploy/install-packages.sh compose
	@$(MAKE) --no-print-directory build TESTS=ON
	@ctest --test-dir build/release --output-on-failure --no-tests=error -L compose

demo: ## The main job in under a minute: devices, an outage, kill -9, and the count at the end
	@$(MAKE) --no-print-directory build
	@$(BIN)/holdfast-demo

bench: ## Holdfast against mosquitto on this machine; writes build/bench.json
	@$(MAKE) --no-print-directory build TESTS=ON
	@python3 tests/bench/run.py --bin-dir $(BIN) --json build/bench.json $(BENCH_ARGS)

fuzz: setup ## Every fuzz target for 30 s (FUZZ_SECONDS=n)
	@cmake --preset fuzz >/dev/null
	@cmake --build --preset fuzz
	@ctest --test-dir build/fuzz -L fuzz -j$$(nproc) --output-on-failure --no-tests=error

image: build ## The container image holdfast:latest (needs a Docker engine)
	@deploy/build-image.sh $(BIN)

deb: build ## The Debian package, with systemd units: build/release/holdfast_*.deb
	@cd build/release && cpack -G DEB >cpack.log 2>&1 || { cat cpack.log; exit 1; }
	@ls build/release/holdfast_*.deb

check: ## Format, tidy, layout and links: what CI checks before it builds
	@./check

clean: ## Remove build/
	@rm -rf build
