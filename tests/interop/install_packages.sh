#!/bin/sh
# Installs the packages of package-lock.json into directory $2 by npm $1, unless they are there already.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$2"
cd "$2"
if [ -d node_modules ] && cmp -s "$here/package-lock.json" package-lock.json; then
  echo "packages are up to date"
  exit 0
fi
cp "$here/package.json" "$here/.npmrc" .
cp "$here/package-lock.json" package-lock.wanted
cp package-lock.wanted package-lock.json
if ! "$1" ci --ignore-scripts --no-audit --no-fund; then
  rm -f package-lock.json
  exit 1
fi
rm package-lock.wanted
