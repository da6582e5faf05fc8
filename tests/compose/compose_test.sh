#!/bin/bash
# The image and deploy/compose.yaml in a real Docker engine: up, healthy, publish over TLS with a SAS token, kill each container's
# process under load, everything acknowledged arrives at a mosquitto hub.
# Promises: P1 (no acknowledged message is lost), P2 (order), here in containers.
#
#   compose_test.sh BUILD_DIR        COMPOSE="docker-compose" chooses between several
#
# Exit code 0 passed, 1 failed, 77 skipped (no Docker engine can be had here). Starts an engine of its own if none answers and it is root.
set -uo pipefail

build_dir=$(realpath "${1:?usage: compose_test.sh BUILD_DIR}")
root=$(realpath "$(dirname "$0")/../..")
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

compose() { "${compose_command[@]}" -f "$root/deploy/compose.yaml" -f "$work/override.yaml" --project-directory "$work" "$@"; }

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

write_config() {
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
  printf '[[identity]]\ndevice_id = "dev1"\nprimary_key = "%s"\n' "$key" >"$work/identities.toml"
  chown 10001:10001 "$work/identities.toml" 2>/dev/null
  chmod 0400 "$work/identities.toml"
  chmod 0755 "$work"
  printf 'services:\n  uplink:\n    extra_hosts: ["hub:host-gateway"]\n' >"$work/override.yaml"
  export HOLDFAST_IMAGE=$image HOLDFAST_MQTTS_PORT=$mqtts_port HOLDFAST_CONFIG=$work/holdfast.toml HOLDFAST_IDENTITIES=$work/identities.toml
}

start_hub() {
  printf 'listener %s 0.0.0.0\nallow_anonymous true\npersistence false\nmax_queued_messages 0\nmax_inflight_messages 0\n' "$hub_port" >"$work/hub.conf"
  mosquitto -c "$work/hub.conf" >"$work/hub.log" 2>&1 &
  mosquitto_pid=$!
  wait_for 10 "mosquitto" mosquitto_pub -p "$hub_port" -t none -m x
  stdbuf -oL mosquitto_sub -p "$hub_port" -q 1 -t 'devices/#' -t probe >"$work/delivered" 2>"$work/sub.log" &
  subscriber_pid=$!
  # shellcheck disable=SC2016
  wait_for 10 "the subscriber" sh -c 'mosquitto_pub -p "$0" -t probe -m probe && grep -q probe "$1"' "$hub_port" "$work/delivered"
}

sas_token() {
  local resource=holdfast.local%2Fdevices%2Fdev1 expiry signature
  expiry=$(($(date +%s) + 3600))
  signature=$(printf '%s\n%s' "$resource" "$expiry" |
    openssl dgst -sha256 -mac HMAC -macopt "hexkey:$(printf %s "$key" | base64 -d | od -An -tx1 -v | tr -d ' \n')" -binary |
    base64 -w0 | sed 's/+/%2B/g; s#/#%2F#g; s/=/%3D/g')
  printf 'SharedAccessSignature sr=%s&sig=%s&se=%s' "$resource" "$signature" "$expiry"
}

# publish TEXT: once, acknowledged, or a failure. mosquitto_pub ends with 0 only after the PUBACK.
publish() {
  timeout 10 mosquitto_pub -h localhost -p "$mqtts_port" --cafile "$work/root_ca.pem" -i dev1 -q 1 -c \
    -u 'holdfast.local/dev1/?api-version=2021-04-12' -P "$(sas_token)" -t devices/dev1/messages/events/ -m "$1"
}

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

delivered_all() { ! grep -vxFf "$work/delivered" "$work/acknowledged"; }

kill_and_recover() {
  local service=$1 id pid before
  id=$(compose ps -q "$service")
  pid=$(docker inspect -f '{{.State.Pid}}' "$id")
  before=$(docker inspect -f '{{.RestartCount}}' "$id")
  say "kill -9 of $service's process"
  kill -9 "$pid" || fail "can't kill $service"
  publish_until_acknowledged "after-kill-of-$service"
  wait_for 30 "$service to be restarted by its policy" \
    sh -c "[ \$(docker inspect -f '{{.RestartCount}}' $id) -gt $before ]"
  wait_for 60 "all containers to be healthy again" healthy
}

check_confinement() {
  local service id
  for service in store auth router uplink; do
    id=$(compose ps -q $service)
    docker exec "$id" sh -c 'touch /usr/x 2>/dev/null' && fail "$service can write to its root"
    [ "$(docker exec "$id" id -u)" = 10001 ] || fail "$service runs as another user"
    docker exec "$id" grep -q '^CapEff:.*0000000000000000' /proc/1/status || fail "$service has capabilities"
  done
  for service in store auth; do
    [ "$(docker exec "$(compose ps -q $service)" sh -c 'ls /sys/class/net')" = lo ] || fail "$service has a network"
  done
  docker exec "$(compose ps -q router)" sh -c 'ls /var/lib/holdfast/secrets/* 2>/dev/null' && fail "router sees auth's keys"
  docker exec "$(compose ps -q uplink)" sh -c 'ls /etc/holdfast/identities.toml 2>/dev/null' && fail "uplink sees the devices' keys"
  say "confinement holds: read-only root, no capabilities, user 10001, no network for store and auth, keys only with auth"
}

# replicas_healthy SERVICE COUNT
replicas_healthy() {
  local ids
  ids=$(compose ps -q "$1")
  [ "$(echo "$ids" | wc -l)" = "$2" ] || return 1
  for id in $ids; do [ "$(docker inspect -f '{{.State.Health.Status}}' "$id")" = healthy ] || return 1; done
}

# scale SERVICE COUNT
scale() {
  compose up -d --no-recreate --scale "$1=$2" >"$work/scale.log" 2>&1 || { tail "$work/scale.log"; fail "up --scale $1=$2"; }
  wait_for 90 "$2 healthy of $1" replicas_healthy "$1" "$2"
}

# Two auths: whichever dies, devices are still let in.
scale_auth() {
  scale auth 2
  local id
  for id in $(compose ps -q auth); do
    docker pause "$id" >/dev/null || fail "pause"
    publish_until_acknowledged "with-one-of-two-auths-$id"
    docker unpause "$id" >/dev/null || fail "unpause"
  done
  scale auth 1
  publish_until_acknowledged "after-scaling-auth-down"
  say "auth scaled to two and back; devices got in while either was paused"
}

# Two routers, each on a port of a range: a device may use either, and whichever is left.
scale_router() {
  local own=$mqtts_port id
  export HOLDFAST_MQTTS_PORT=$own-$((own + 1))
  scale router 2
  for id in $(compose ps -q router); do
    mqtts_port=$(docker port "$id" 8883 | head -1 | sed 's/.*://')
    publish_until_acknowledged "through-router-on-port-$mqtts_port"
  done
  scale router 1
  mqtts_port=$own
  export HOLDFAST_MQTTS_PORT=$own
  publish_until_acknowledged "after-scaling-router-down"
  wait_for 60 "everything acknowledged at the hub" delivered_all
  say "router scaled to two and back; a device published through either"
}

# Two uplinks: the one that is left has the link.
scale_uplink() {
  scale uplink 2
  local id
  for id in $(compose ps -q uplink); do
    docker pause "$id" >/dev/null || fail "pause"
    publish_until_acknowledged "with-one-of-two-uplinks-$id"
    wait_for 30 "messages at the hub while one uplink stands still" delivered_all
    docker unpause "$id" >/dev/null || fail "unpause"
  done
  scale uplink 1
  publish_until_acknowledged "after-scaling-uplink-down"
  wait_for 60 "everything acknowledged at the hub" delivered_all
  say "uplink scaled to two and back; messages arrived while either was paused"
}

main() {
  for tool in mosquitto mosquitto_pub openssl python3; do
    command -v $tool >/dev/null || [ -x /usr/sbin/$tool ] || skip "$tool is not installed"
  done
  PATH=$PATH:/usr/sbin
  start_engine
  find_compose
  say "$("${compose_command[@]}" version | head -1)"
  hub_port=$(free_port)
  mqtts_port=$(free_port)
  write_config
  say "building the image"
  "$root/deploy/build-image.sh" "$build_dir" "$image" >"$work/build.log" 2>&1 || { tail -5 "$work/build.log"; fail "the image can't be built"; }
  start_hub
  up=yes
  compose run --rm certs >"$work/certs.log" 2>&1 || { cat "$work/certs.log"; fail "certs init"; }
  compose up -d >"$work/up.log" 2>&1 || { tail "$work/up.log"; fail "up"; }
  docker cp "$(compose ps -q auth):/var/lib/holdfast/secrets/root_ca.pem" "$work/root_ca.pem" || fail "no root CA"
  wait_for 90 "all containers to be healthy" healthy
  say "all four are healthy"
  check_confinement
  publish_until_acknowledged first
  wait_for 30 "the first message at the hub" delivered_all
  compose run --rm cli status || fail "holdfast status"

  for service in store auth router uplink; do kill_and_recover $service; done

  scale_auth
  scale_router
  scale_uplink

  say "docker kill of all four, then up again"
  docker kill $(compose ps -q store auth router uplink) >/dev/null || fail "docker kill"
  compose up -d >/dev/null 2>&1 || fail "up after docker kill"
  wait_for 90 "all containers to be healthy after docker kill" healthy
  publish_until_acknowledged after-docker-kill
  wait_for 60 "everything acknowledged at the hub" delivered_all

  say "the hub goes away and comes back"
  kill $subscriber_pid $mosquitto_pid
  wait $subscriber_pid $mosquitto_pid 2>/dev/null
  for i in $(seq 5); do publish_until_acknowledged "offline-$i"; done
  healthy || fail "a hub that is away made a container unhealthy"
  grep -h offline- "$work/acknowledged" >"$work/expected"
  # The subscriber first: what a broker gets while nobody is subscribed it throws away.
  compose pause uplink >/dev/null 2>&1 || fail "pause"
  start_hub
  compose unpause uplink >/dev/null 2>&1 || fail "unpause"
  wait_for 60 "what was stored while the hub was away" \
    sh -c "[ \"\$(grep -h offline- '$work/delivered' | awk '!seen[\$0]++')\" = \"\$(cat '$work/expected')\" ]"
  say "PASSED: $(wc -l <"$work/acknowledged") messages acknowledged, all delivered"
}

main
