#!/bin/sh
# Installs the packages of requirements.txt into a virtual environment $2 by Python $1, unless they are there already.
# Without the package registry it says so and what is not run then, and fails nothing: `complete` in $2 tells.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if cmp -s "$here/requirements.txt" "$2/complete"; then
  echo "packages are up to date"
  exit 0
fi
rm -rf "$2"
if "$1" -m venv "$2" && "$2/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"; then
  cp "$here/requirements.txt" "$2/complete"
else
  echo "the packages of requirements.txt could not be installed; the tests with Python's SDK are NOT RUN"
fi
