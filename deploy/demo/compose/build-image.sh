#!/bin/bash
# Builds the image that compose.demo.yaml needs besides the gateway's.
#
#   deploy/demo/compose/build-image.sh [BUILD_DIR] [TAG] [BASE]       default: build/release holdfast-demo:latest holdfast:latest
set -euo pipefail
cd "$(dirname "$0")/../../.."

build_dir=${1:-build/release}
tag=${2:-holdfast-demo:latest}
base=${3:-holdfast:latest}

die() { echo "build-image: $*" >&2; exit 1; }

docker image inspect "$base" >/dev/null 2>&1 || die "$base is missing; run deploy/build-image.sh first"
[ -x "$build_dir/bin/holdfast-hubsim" ] || die "$build_dir/bin/holdfast-hubsim is missing; run \`make build\` first"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
objcopy --strip-debug "$build_dir/bin/holdfast-hubsim" "$work/holdfast-hubsim" 2>/dev/null || cp "$build_dir/bin/holdfast-hubsim" "$work/"
cp deploy/demo/compose/Dockerfile deploy/demo/compose/setup.sh deploy/demo/compose/device.sh "$work/"
DOCKER_BUILDKIT=0 docker build --network host --build-arg "BASE=$base" -t "$tag" "$work"
