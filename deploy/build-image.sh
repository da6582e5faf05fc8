#!/bin/bash
# Builds the image of the four services from a build directory's binaries.
#
#   deploy/build-image.sh [BUILD_DIR] [TAG]       default: build/release holdfast:latest
#
# BASE=image   base image; default debian:12-slim. If it is neither here nor to be had from a registry, a base is made with debootstrap
#              (root needed) from MIRROR, default http://deb.debian.org/debian.
set -euo pipefail
cd "$(dirname "$0")/.."

build_dir=${1:-build/release}
tag=${2:-holdfast:latest}
base=${BASE:-debian:12-slim}
fallback=holdfast-base:bookworm
mirror=${MIRROR:-http://deb.debian.org/debian}
programs="holdfast holdfast-auth holdfast-store holdfast-router holdfast-uplink"

die() { echo "build-image: $*" >&2; exit 1; }

docker version >/dev/null 2>&1 || die "no Docker engine answers; start it, or set DOCKER_HOST"
for program in $programs; do
  [ -x "$build_dir/bin/$program" ] || die "$build_dir/bin/$program is missing; run \`make build\` first"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make_base() {
  command -v debootstrap >/dev/null || die "can't get $base and debootstrap is not installed: apt-get install debootstrap"
  [ "$(id -u)" = 0 ] || die "can't get $base; making a base with debootstrap needs root"
  echo "build-image: $base is not to be had; making $fallback with debootstrap" >&2
  debootstrap --variant=minbase bookworm "$work/root" "$mirror" >"$work/debootstrap.log" 2>&1 ||
    { tail -5 "$work/debootstrap.log" >&2; die "debootstrap failed"; }
  # Without what debian:12-slim leaves out as well.
  tar -C "$work/root" --exclude=./dev --exclude=./proc --exclude=./sys --exclude='./var/cache/apt/*' --exclude='./usr/share/man/*' \
    --exclude='./usr/share/locale/*' --exclude='./usr/share/doc/*/changelog*' -c . | docker import - "$fallback" >/dev/null
}

if ! docker image inspect "$base" >/dev/null 2>&1 && ! timeout 60 docker pull "$base" >/dev/null 2>&1; then
  [ -z "${BASE:-}" ] || die "base image $BASE is neither here nor to be had from its registry"
  docker image inspect "$fallback" >/dev/null 2>&1 || make_base
  base=$fallback
fi

mkdir -p "$work/context/bin"
for program in $programs; do
  objcopy --strip-debug "$build_dir/bin/$program" "$work/context/bin/$program" 2>/dev/null ||
    cp "$build_dir/bin/$program" "$work/context/bin/$program"
done
cp deploy/packages.txt deploy/Dockerfile "$work/context/"
DOCKER_BUILDKIT=0 docker build --network host --build-arg "BASE=$base" -t "$tag" "$work/context"
