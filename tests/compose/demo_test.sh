#!/bin/bash
# deploy/compose.demo.yaml as docs/operating.md has it: one command, and the simulated device's messages are at the simulated hub; an outage
# of the hub, after which everything is there, in order.
# Promises, here with an IoT Hub contract in containers: P1 (no acknowledged message is lost), P2 (order).
#
#   demo_test.sh BUILD_DIR
#
# Exit codes and engine: as compose_test.sh.
build_dir=$(realpath "${1:?usage: demo_test.sh BUILD_DIR}")
root=$(realpath "$(dirname "$0")/../..")
# shellcheck source=tests/compose/rig.sh
. "$root/tests/compose/rig.sh"

# The numbers of the messages at the hub, in the order in which they came, one a line.
numbers() {
  compose logs --no-color hub 2>/dev/null | python3 -c '
import base64, json, sys
for line in sys.stdin:
    if "\"body\":" in line:
        print(json.loads(base64.b64decode(json.loads(line[line.index("{"):])["body"]))["n"])'
}

arrived() { [ "$(numbers | tail -1)" -ge "$1" ] 2>/dev/null; }

# Whether the messages 1 to the last are all there, and in order, copies left out. Of one look at the log: it grows.
complete() {
  numbers >"$work/numbers"
  diff <(awk '!seen[$0]++' "$work/numbers") <(seq "$(sort -n "$work/numbers" | tail -1)") >"$work/diff"
}

stored() {
  [ "$(compose run --rm -T cli --json queues 2>/dev/null |
    python3 -c 'import json, sys; print(*(q["records"] for q in json.load(sys.stdin)["queues"] if q["name"] == "upstream"))')" -ge "$1" ] 2>/dev/null
}

main() {
  require python3
  say "building the images"
  build_image "$build_dir" "$image"
  "$root/deploy/demo/compose/build-image.sh" "$build_dir" "$image-demo" "$image" >"$work/build.log" 2>&1 ||
    { tail -5 "$work/build.log"; fail "the demo's image can't be built"; }
  HOLDFAST_MQTTS_PORT=$(free_port)
  export HOLDFAST_IMAGE=$image HOLDFAST_DEMO_IMAGE=$image-demo HOLDFAST_DEMO_PERIOD=0.2 HOLDFAST_MQTTS_PORT
  compose_files=(-f "$root/deploy/compose.yaml" -f "$root/deploy/compose.demo.yaml")
  up=yes
  compose up -d >"$work/up.log" 2>&1 || { tail "$work/up.log"; fail "up"; }
  wait_for 120 "all containers to be healthy" healthy
  wait_for 60 "five messages at the hub" arrived 5
  compose run --rm cli status || fail "holdfast status"
  say "the device's messages are at the hub"
  compose stop hub >/dev/null 2>&1 || fail "stop of the hub"
  wait_for 60 "ten messages on the gateway's disk" stored 10
  docker kill "$(compose ps -q store)" "$(compose ps -q router)" >/dev/null || fail "kill"
  compose up -d >"$work/up.log" 2>&1 || { tail "$work/up.log"; fail "up again"; }
  local last
  last=$(numbers | tail -1)
  wait_for 120 "messages of after the outage" arrived $((last + 20))
  complete || { head "$work/diff"; fail "not all messages are there, or not in order"; }
  say "PASSED: $(tail -1 "$work/numbers") messages, over an outage of the hub and a kill of store and router, all there and in order"
}

main
