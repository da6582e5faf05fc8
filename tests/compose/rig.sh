# What the tests of this folder share: a Docker engine, compose, a hub, a device. To be sourced, with `root` set. Sets traps: what was
# started ends with the test.
# shellcheck shell=bash disable=SC2154
set -uo pipefail

work=$(mktemp -d /tmp/holdfast-compose.XXXXXX)
image=holdfast:compose-test
project=holdfast-compose-test-$$
export COMPOSE_PROJECT_NAME=$project
dockerd_pid=
mosquitto_pid=
subscriber_pid=
up=

say() { printf '%s %s\n' "$(date +%T)" "$*"; }
skip() { say "SKIPPED: $*"; exit 77; }

cleanup() {
  [ -z "$up" ] || compose down --volumes --timeout 5 >/dev/null 2>&1
  for pid in $subscriber_pid $mosquitto_pid; do kill "$pid" 2>/dev/null; done
  if [ -n "$dockerd_pid" ]; then
    kill "$dockerd_pid" 2>/dev/null
    wait "$dockerd_pid" 2>/dev/null
    # The engine leaves its network namespace mounted.
    umount "$work"/docker-exec/netns/* 2>/dev/null
  fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

fail() {
  say "FAILED: $*"
  if [ -n "$up" ]; then
    compose ps
    compose logs --tail=20
  fi
  exit 1
}

# With the files of the test: `compose_files`.
compose() { "${compose_command[@]}" "${compose_files[@]}" "$@"; }

# wait_for SECONDS WHAT COMMAND…
wait_for() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || fail "waited in vain: $what"
    sleep 0.2
  done
}

start_engine() {
  docker version >/dev/null 2>&1 && return
  [ "$(id -u)" = 0 ] || skip "no Docker engine answers, and only root can start one"
  command -v dockerd >/dev/null || skip "no Docker engine answers, and docker.io is not installed"
  export DOCKER_HOST=unix://$work/docker.sock
  local flags=(--data-root "$work/docker" --exec-root "$work/docker-exec" -H "$DOCKER_HOST" --pidfile "$work/docker.pid")
  for more in "" "--storage-driver=vfs"; do
    # shellcheck disable=SC2086
    dockerd "${flags[@]}" $more >"$work/dockerd.log" 2>&1 &
    dockerd_pid=$!
    for _ in $(seq 100); do
      docker version >/dev/null 2>&1 && { say "started a Docker engine ${more:-with its default storage}"; return; }
      kill -0 "$dockerd_pid" 2>/dev/null || break
      sleep 0.2
    done
    kill "$dockerd_pid" 2>/dev/null
    wait "$dockerd_pid" 2>/dev/null
    dockerd_pid=
  done
  tail -3 "$work/dockerd.log"
  skip "dockerd does not start here (its last words are above)"
}

find_compose() {
  if [ -n "${COMPOSE:-}" ]; then
    read -ra compose_command <<<"$COMPOSE"
  elif docker compose version >/dev/null 2>&1; then
    compose_command=(docker compose)
  elif command -v docker-compose >/dev/null; then
    compose_command=(docker-compose)
  else
    skip "neither docker-compose nor the compose plugin is installed"
  fi
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'; }

# require TOOL…: or the test is skipped.
require() {
  PATH=$PATH:/usr/sbin
  local tool
  for tool in "$@"; do command -v "$tool" >/dev/null || skip "$tool is not installed"; done
  start_engine
  find_compose
  say "$("${compose_command[@]}" version | head -1)"
}

# build_image ARGUMENT…: of deploy/build-image.sh.
build_image() {
  "$root/deploy/build-image.sh" "$@" >"$work/build.log" 2>&1 || { tail -5 "$work/build.log"; fail "the image can't be built"; }
}

write_config() {
  local device
  key=$(openssl rand -base64 32)
  cat >"$work/holdfast.toml" <<EOF
[gateway]
hostname = "localhost"
alternative_names = ["127.0.0.1"]
hub_hostname = "holdfast.local"
[auth]
identities_file = "/etc/holdfast/identities.toml"
[uplink]
upstream = "mqtt://hub:$hub_port"
EOF
  for device in dev1 load1 load2 load3; do
    printf '[[identity]]\ndevice_id = "%s"\nprimary_key = "%s"\n' $device "$key"
  done >"$work/identities.toml"
  chown 10001:10001 "$work/identities.toml" 2>/dev/null
  chmod 0400 "$work/identities.toml"
  chmod 0755 "$work"
  printf 'services:\n  uplink:\n    extra_hosts: ["hub:host-gateway"]\n' >"$work/override.yaml"
  compose_files=(-f "$root/deploy/compose.yaml" -f "$work/override.yaml" --project-directory "$work")
  export HOLDFAST_MQTTS_PORT=$mqtts_port HOLDFAST_CONFIG=$work/holdfast.toml HOLDFAST_IDENTITIES=$work/identities.toml
}

start_hub() {
  printf 'listener %s 0.0.0.0\nallow_anonymous true\npersistence false\nmax_queued_messages 0\nmax_inflight_messages 0\n' "$hub_port" >"$work/hub.conf"
  mosquitto -c "$work/hub.conf" >"$work/hub.log" 2>&1 &
  mosquitto_pid=$!
  wait_for 10 "mosquitto" mosquitto_pub -p "$hub_port" -t none -m x
  stdbuf -oL mosquitto_sub -p "$hub_port" -q 1 -t 'devices/#' -t probe >>"$work/delivered" 2>"$work/sub.log" &
  subscriber_pid=$!
  # shellcheck disable=SC2016
  wait_for 10 "the subscriber" sh -c 'mosquitto_pub -p "$0" -t probe -m "$2" && grep -q "$2" "$1"' "$hub_port" "$work/delivered" "probe-$subscriber_pid"
}

stop_hub() {
  kill $subscriber_pid $mosquitto_pid
  wait $subscriber_pid $mosquitto_pid 2>/dev/null
  subscriber_pid=
  mosquitto_pid=
}

# The subscriber first: what a broker gets while nobody is subscribed it throws away. So uplink is not there meanwhile.
hub_comes_back() {
  local uplink
  uplink=$(compose ps -q uplink)
  docker stop "$uplink" >/dev/null || fail "stop of uplink"
  start_hub
  docker start "$uplink" >/dev/null || fail "start of uplink"
}

# sas_token DEVICE
sas_token() {
  local resource=holdfast.local%2Fdevices%2F$1 expiry signature
  expiry=$(($(date +%s) + 3600))
  signature=$(printf '%s\n%s' "$resource" "$expiry" |
    openssl dgst -sha256 -mac HMAC -macopt "hexkey:$(printf %s "$key" | base64 -d | od -An -tx1 -v | tr -d ' \n')" -binary |
    base64 -w0 | sed 's/+/%2B/g; s#/#%2F#g; s/=/%3D/g')
  printf 'SharedAccessSignature sr=%s&sig=%s&se=%s' "$resource" "$signature" "$expiry"
}

# as_device DEVICE SECONDS ARGUMENT…: mosquitto_pub as that device. It ends with 0 only after the last PUBACK.
as_device() {
  local device=$1 seconds=$2
  shift 2
  timeout "$seconds" mosquitto_pub -h localhost -p "$mqtts_port" --cafile "$work/root_ca.pem" -i "$device" -q 1 \
    -u "holdfast.local/$device/?api-version=2021-04-12" -P "$(sas_token "$device")" -t "devices/$device/messages/events/" "$@"
}

# publish TEXT: once, acknowledged, or a failure. The session of dev1 is kept.
publish() { as_device dev1 10 -c -m "$1"; }

healthy() {
  local service
  for service in store auth router uplink; do
    [ "$(docker inspect -f '{{.State.Health.Status}}' "$(compose ps -q $service)")" = healthy ] || return 1
  done
}

# Publishes until one message is acknowledged; notes those that were. What was sent and not acknowledged may arrive or not.
publish_until_acknowledged() {
  local end=$((SECONDS + 60))
  until publish "$1" 2>>"$work/pub.log"; do
    [ $SECONDS -lt $end ] || fail "nothing was acknowledged within 60 s ($1): $(tail -1 "$work/pub.log")"
    sleep 0.2
  done
  echo "$1" >>"$work/acknowledged"
}

# But for what `load` devices send, which are too many to be looked for one by one.
delivered_all() { ! grep -v '^load' "$work/delivered" | grep -vxFf - "$work/acknowledged"; }

# delivered_in_order PREFIX: what was acknowledged and begins so, copies left out.
delivered_in_order() {
  [ "$(grep "^$1" "$work/delivered" | grep -xFf "$work/acknowledged" | awk '!seen[$0]++')" = "$(grep "^$1" "$work/acknowledged")" ]
}

# Whether the gateway still has the session of dev1: a CONNECT with CleanSession 0 is answered with "session present" (MQTT 3.1.1, 3.2.2.2).
session_present() {
  python3 - "$mqtts_port" "$work/root_ca.pem" "$(sas_token dev1)" <<'EOF'
import socket, ssl, struct, sys
def text(value):
    return struct.pack(">H", len(value)) + value.encode()
body = text("MQTT") + b"\x04\xc0" + struct.pack(">H", 60) + text("dev1") + text("holdfast.local/dev1/?api-version=2021-04-12") + text(sys.argv[3])
length = bytes([len(body) % 128 | 128, len(body) // 128])
tls = ssl.create_default_context(cafile=sys.argv[2])
with socket.create_connection(("localhost", int(sys.argv[1])), 10) as plain, tls.wrap_socket(plain, server_hostname="localhost") as s:
    s.sendall(b"\x10" + length + body)
    answer = s.recv(4)
    s.sendall(b"\xe0\x00")
sys.exit(0 if answer == b"\x20\x02\x01\x00" else f"CONNACK {answer.hex()}")
EOF
}
