#!/usr/bin/env bash
# Runs one libFuzzer target from its seeds for FUZZ_SECONDS (30). New inputs go to a scratch folder; a crash prints its input.
set -euo pipefail
binary=$1 seeds=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/corpus"
seed_args=()
[ -d "$seeds" ] && seed_args+=("$seeds")
cd "$work"
"$binary" -max_total_time="${FUZZ_SECONDS:-30}" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
  "$work/corpus" "${seed_args[@]}" || {
  status=$?
  for crash in "$work"/crash-* "$work"/timeout-* "$work"/oom-*; do
    [ -f "$crash" ] && echo "input that failed ($crash):" && xxd "$crash" | head -40
  done
  exit $status
}
