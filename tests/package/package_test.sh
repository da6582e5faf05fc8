#!/usr/bin/env bash
# The Debian package: built, looked into, unpacked, and its programs started from there; its units checked by systemd's own tools.
#
#   package_test.sh BUILD_DIR
set -euo pipefail
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "package_test: $*" >&2; exit 1; }

(cd "$build" && cpack -G DEB -B "$work/out" >"$work/cpack.log" 2>&1) || { cat "$work/cpack.log"; fail "cpack failed"; }
deb=$(ls "$work"/out/holdfast_*.deb)
dpkg-deb -x "$deb" "$work/root"
dpkg-deb -e "$deb" "$work/control"
echo "package: $(basename "$deb"), $(du -k "$deb" | cut -f1) KiB"

for program in holdfast holdfast-auth holdfast-store holdfast-router holdfast-uplink; do
  "$work/root/usr/bin/$program" --version >/dev/null || fail "$program does not start"
done
# Each program has its page, and mandoc finds nothing wrong with it.
for page in man1/holdfast.1 man8/holdfast-{auth,store,router,uplink}.8; do
  file="$work/root/usr/share/man/$page"
  [ -s "$file" ] || file="$file.gz"
  [ -s "$file" ] || fail "there is no manual page $page"
  if command -v mandoc >/dev/null; then
    mandoc -T lint -W warning "$file" || fail "mandoc complains of $page"
  else
    echo "NOT RUN: no mandoc here; $page was not checked"
  fi
done
grep -q '^.Ss holdfast link offline' "$work/root/usr/share/man/man1/holdfast.1" || fail "the page of holdfast does not have its commands"

grep -q '^Depends:.*libgrpc' "$work/control/control" || fail "the package does not depend on the libraries that it links"
grep -qx /etc/holdfast/holdfast.toml "$work/control/conffiles" || fail "the configuration is no conffile: an upgrade would overwrite it"
for script in postinst prerm postrm; do sh -n "$work/control/$script" || fail "$script does not parse"; done

# The configuration that it installs is one that the programs take: a store starts with it.
store="$work/root/usr/bin/holdfast-store"
mkdir -p "$work/run" "$work/data"
HOLDFAST_RUN_DIR="$work/run" HOLDFAST_GATEWAY_DATA_DIR="$work/data" \
  "$store" --config "$work/root/etc/holdfast/holdfast.toml" >"$work/store.log" 2>&1 &
pid=$!
for _ in $(seq 200); do [ -S "$work/run/store/0.sock" ] && break; kill -0 $pid 2>/dev/null || break; sleep 0.05; done
[ -S "$work/run/store/0.sock" ] || { cat "$work/store.log"; fail "holdfast-store does not start with the installed configuration"; }
kill $pid
wait $pid || fail "holdfast-store does not stop cleanly"

if ! command -v systemd-analyze >/dev/null; then
  echo "NOT RUN: no systemd-analyze here; the units were not checked"
  exit 0
fi
units="$work/root/lib/systemd/system"
sed -i "s#ExecStart=/usr/bin/#ExecStart=$work/root/usr/bin/#" "$units"/*.service
# Of the units alone: man pages and the user are not there before an installation.
systemd-analyze verify --man=no "$units"/*.service "$units/holdfast.target" 2>"$work/verify.log" || true
if grep -E "holdfast.*(Unknown|Failed to parse|ignoring|Invalid)" "$work/verify.log"; then fail "systemd-analyze verify complains"; fi
for unit in "$units"/*.service; do
  exposure=$(systemd-analyze security --offline=true --no-pager "$unit" 2>/dev/null | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
  [ -n "$exposure" ] || fail "systemd-analyze security says nothing of $(basename "$unit")"
  awk "BEGIN { exit !($exposure <= 2.0) }" || fail "$(basename "$unit") is exposed: $exposure, 2.0 is allowed"
  echo "$(basename "$unit"): exposure $exposure of 10"
done
echo "package_test: ok"
