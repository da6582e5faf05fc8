#!/bin/sh
# What the interop tests download, fetched before the clock of any test runs. Without a registry the tests say so themselves.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-$root/build/release}
if command -v npm >/dev/null; then
  "$root/tests/interop/install_packages.sh" npm "$build/tests/interop/packages" || echo "tests/prepare.sh: npm could not install the packages" >&2
fi
# promtool, out of Debian's package, without installing (and starting) a Prometheus.
if ! command -v promtool >/dev/null && [ ! -x "$build/tools/promtool" ]; then
  mkdir -p "$build/tools"
  (cd "$build/tools" && apt-get download -qq prometheus >/dev/null && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xO ./usr/bin/promtool >promtool.part &&
    chmod +x promtool.part && mv promtool.part promtool; rm -f prometheus_*.deb promtool.part) ||
    echo "tests/prepare.sh: promtool could not be fetched; the alert rules are not tested" >&2
fi
