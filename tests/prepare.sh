#!/bin/sh
# What the interop tests download, fetched before the clock of any test runs. Without a registry the tests say so themselves.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-$root/build/release}
if command -v npm >/dev/null; then
  "$root/tests/interop/install_packages.sh" npm "$build/tests/interop/packages" || echo "tests/prepare.sh: npm could not install the packages" >&2
fi
