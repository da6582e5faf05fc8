#!/usr/bin/env bash
# Installs the packages of deploy/packages.txt that are missing. Arguments: the sections wanted; none = all.
# Prints what it installs; prints nothing when nothing is missing.
set -euo pipefail
list="$(dirname "$0")/packages.txt"
wanted=" ${*:-build runtime check test} "
packages=$(awk -v wanted="$wanted" '
  /^#/ || /^$/ { next }
  /^\[/ { section = substr($0, 2, length($0) - 2); next }
  index(wanted, " " section " ") { print $1 }' "$list")

missing=()
for package in $packages; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
# Node and its npm may come from elsewhere than Debian; what counts is that they run.
for tool in nodejs:node npm:npm; do
  if command -v "${tool#*:}" >/dev/null; then missing=("${missing[@]/#${tool%%:*}/}"); fi
done
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sed '/^$/d')
[ ${#missing[@]} -gt 0 ] || exit 0

sudo=""
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "these packages are missing: ${missing[*]}; run as root, or install sudo" >&2; exit 1; }
  sudo=sudo
fi
echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
$sudo apt-get update -qq
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
