#!/usr/bin/env bash
# The alert rules, by Prometheus's own tool, and that rules, dashboard and docs/metrics.md speak of metrics that exist.
#
#   monitoring_test.sh [BUILD_DIR]    where tests/prepare.sh has put promtool, if it is not installed
set -euo pipefail
build=${1:-}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "monitoring_test: $*" >&2; exit 1; }

# Every metric stands in the sources by its whole name.
grep -rhoE '"holdfast_[a-z_]+"' "$root/services" "$root/lib" --include='*.cc' --include='*.h' --exclude='*_test.cc' | tr -d '"' | sort -u >"$work/known"
grep -ohE 'holdfast_(auth|store|router|uplink)_[a-z_]+' "$root"/deploy/monitoring/* "$root/docs/metrics.md" | sed -E 's/_(bucket|sum|count)$//' | sort -u >"$work/named"
unknown=$(comm -13 "$work/known" "$work/named")
[ -z "$unknown" ] || fail "no process has these metrics: $unknown"
grep -ohE 'holdfast_(auth|store|router|uplink)_[a-z_]+' "$root/docs/metrics.md" | sort -u >"$work/documented"
missing=$(comm -23 "$work/known" "$work/documented")
[ -z "$missing" ] || fail "docs/metrics.md does not tell of $missing"
python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$root/deploy/monitoring/dashboard.json"

[ -z "$build" ] || PATH="$PATH:$build/tools"
if ! command -v promtool >/dev/null; then
  echo "NOT RUN: no promtool here (tests/prepare.sh fetches it); the alert rules were not checked"
  exit 0
fi
cp "$root/deploy/monitoring/alerts.yaml" "$here/alerts_test.yaml" "$work/"
promtool check rules "$work/alerts.yaml"
(cd "$work" && promtool test rules alerts_test.yaml)
