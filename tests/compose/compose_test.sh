#!/bin/bash
# The image and deploy/compose.yaml in a real Docker engine: who may call whom, upgrade in place, publish over TLS with a SAS token, kill
# each container's process under load, scale, memory limits under load, backup and restore; everything acknowledged arrives at a mosquitto hub.
# Promises, here in containers: P1 (no acknowledged message is lost), P2 (order), P4 (offline, after a restore), P6 (keys with auth alone).
#
#   compose_test.sh BUILD_DIR [PART…]    parts: rights load kills scaling outage backup; all if none is named. The upgrade is always made.
#
# COMPOSE="docker-compose" chooses between several. OLD_BUILD_DIR: programs of an older commit, from which it upgrades; without it the older
# image holds the same programs under another name, which proves that containers are replaced and data taken over, and nothing about formats.
# Exit code 0 passed, 1 failed, 77 skipped (no Docker engine can be had here). Starts an engine of its own if none answers and it is root.
build_dir=$(realpath "${1:?usage: compose_test.sh BUILD_DIR [PART…]}")
root=$(realpath "$(dirname "$0")/../..")
parts=" ${*:2} "
# shellcheck source=tests/compose/rig.sh
. "$root/tests/compose/rig.sh"

wants() { [ "$parts" = "  " ] || [[ $parts == *" $1 "* ]]; }

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

# A user of its own for each service, and nothing that it may do besides.
check_confinement() {
  local service id user
  for service in auth:10001 store:10002 router:10003 uplink:10004; do
    user=${service#*:}
    service=${service%:*}
    id=$(compose ps -q $service)
    docker exec "$id" sh -c 'touch /usr/x 2>/dev/null' && fail "$service can write to its root"
    [ "$(docker exec "$id" id -u)" = "$user" ] || fail "$service runs as another user than $user"
    docker exec "$id" grep -q '^CapEff:.*0000000000000000' /proc/1/status || fail "$service has capabilities"
  done
  for service in store auth; do
    [ "$(docker exec "$(compose ps -q $service)" sh -c 'ls /sys/class/net')" = lo ] || fail "$service has a network"
  done
  docker exec "$(compose ps -q router)" sh -c 'ls /var/lib/holdfast/secrets/* 2>/dev/null' && fail "router sees auth's keys"
  docker exec "$(compose ps -q uplink)" sh -c 'ls /etc/holdfast/identities.toml 2>/dev/null' && fail "uplink sees the devices' keys"
  say "confinement holds: read-only root, no capabilities, a user for each service, no network for store and auth, keys only with auth"
}

# For each path: "reached PATH" if something answers on that socket, "refused PATH: why", and "readable PATH" if it is no socket and can be read.
try='use Socket; for my $path (@ARGV) { if ($path !~ /sock$/) { print "readable $path\n" if -r $path; next; }
  socket(my $s, PF_UNIX, SOCK_STREAM, 0); print connect($s, sockaddr_un($path)) ? "reached $path\n" : "refused $path: $!\n"; }'

# check_calls SERVICE ANSWERS: who may call whom, by ARCHITECTURE.md.
check_calls() {
  local target wanted answer
  for target in store auth router uplink; do
    wanted=refused
    case "$1 $target" in "auth store" | "router store" | "router auth" | "uplink store" | "uplink auth" | "uplink router") wanted=reached ;; esac
    [ "$1" != $target ] || wanted=reached
    answer=$(grep -F " ${socket_of[$target]}" "$2")
    [ "${answer%% *}" = $wanted ] || fail "$1 calls $target: should be $wanted, was: $answer"
  done
}

# Twice: as compose.yaml has it, where the sockets of others are not there at all; and with everything of everybody mounted, as by a mistake in
# that file, where users and groups are all that is left.
check_sockets() {
  local service path flags secret=(/var/lib/holdfast/secrets /var/lib/holdfast/store /etc/holdfast/identities.toml)
  local -A id socket_of owner=([${secret[0]}]=auth [${secret[1]}]=store [${secret[2]}]=auth)
  for service in store auth router uplink; do
    id[$service]=$(compose ps -q $service)
    socket_of[$service]=$(docker exec "${id[$service]}" sh -c "ls /run/holdfast/$service/*.sock")
  done
  for service in store auth router uplink; do
    docker exec "${id[$service]}" perl -e "$try" "${socket_of[@]}" >"$work/answers" || fail "perl in $service"
    check_calls $service "$work/answers"
    read -ra flags <<<"--user $(docker inspect -f '{{.Config.User}}{{range .HostConfig.GroupAdd}} --group-add {{.}}{{end}}' "${id[$service]}")"
    for path in "${id[@]}"; do flags+=(--volumes-from "$path"); done
    docker run --rm --network none --cap-drop ALL "${flags[@]}" "$image" perl -e "$try" "${socket_of[@]}" "${secret[@]}" >"$work/answers" || fail "perl as $service"
    check_calls $service "$work/answers"
    ! grep refused "$work/answers" | grep -v "Permission denied" || fail "$service was refused for another reason than its rights"
    for path in "${secret[@]}"; do
      [ "$(grep -cx "readable $path" "$work/answers")" = "$([ "${owner[$path]}" = $service ] && echo 1 || echo 0)" ] || fail "$service and $path: $(cat "$work/answers")"
    done
  done
  say "each process reaches whom it may call and nobody else: by its mounts, and by its user and groups alone; data and keys likewise"
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

# publish_while FILE PREFIX: numbered messages, in the background, until FILE is there. Sets `publisher`.
publish_while() {
  (for i in $(seq 10000); do
    [ ! -e "$1" ] || exit 0
    publish_until_acknowledged "$2-$i"
  done) &
  publisher=$!
}

# queue_for_hub FIELD: of the queue for the hub, such as "records".
queue_for_hub() {
  compose run --rm -T cli --json queues 2>/dev/null |
    python3 -c 'import json, sys; print(*(q[sys.argv[1]] for q in json.load(sys.stdin)["queues"] if q["name"] == "upstream"))' "$1"
}

# A new image over the old one's data, while the hub is away and a device publishes: nothing is lost, session and backlog are there.
upgrade() {
  local old_id service publisher stored acknowledged
  old_id=$(docker image inspect -f '{{.Id}}' "$HOLDFAST_IMAGE")
  for i in $(seq 5); do publish_until_acknowledged "backlog-$i"; done
  publish_while "$work/upgraded" upgrade
  export HOLDFAST_IMAGE=$image
  compose up -d >"$work/up.log" 2>&1 || { tail "$work/up.log"; fail "up with the new image"; }
  wait_for 120 "all containers to be healthy after the upgrade" healthy
  touch "$work/upgraded"
  wait $publisher || fail "a device could not publish during the upgrade"
  for service in store auth router uplink; do
    [ "$(docker inspect -f '{{.Image}}' "$(compose ps -q $service)")" != "$old_id" ] || fail "$service still runs the old image"
  done
  session_present || fail "the session of dev1 did not outlive the upgrade"
  stored=$(queue_for_hub records)
  acknowledged=$(wc -l <"$work/acknowledged")
  [ "$stored" -ge "$acknowledged" ] || fail "$stored messages are stored of $acknowledged acknowledged"
  hub_comes_back
  wait_for 60 "everything acknowledged over the upgrade at the hub" delivered_all
  delivered_in_order backlog- || fail "the backlog came in another order"
  delivered_in_order upgrade- || fail "what was published during the upgrade came in another order"
  say "upgraded under load with a backlog: $acknowledged messages acknowledged and delivered in order, the session kept"
}

load_count=20000

load_delivered() {
  [ "$(grep -c '^load' "$work/delivered")" -ge $((3 * load_count)) ] && [ "$(grep '^load' "$work/delivered" | sort -u | wc -l)" = $((3 * load_count)) ]
}

# Three devices that publish as fast as they can while the hub is away, and then the drain: each process stays below its container's limit.
check_memory() {
  local service id limit peak pids=() device pid
  stop_hub
  for device in load1 load2 load3; do
    seq -f "$device-%.0f-$(printf '%0240d' 0)" $load_count | as_device $device 300 -l &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || fail "a device's messages were not all acknowledged"; done
  hub_comes_back
  wait_for 300 "$((3 * load_count)) messages at the hub" load_delivered
  for service in store auth router uplink; do
    id=$(compose ps -q $service)
    limit=$(docker inspect -f '{{.HostConfig.Memory}}' "$id")
    [ "$limit" -gt 0 ] || fail "$service has no memory limit"
    [ "$(docker inspect -f '{{.State.OOMKilled}} {{.RestartCount}}' "$id")" = "false 0" ] || fail "$service was killed under load"
    peak=$(docker exec "$id" grep VmHWM /proc/1/status | tr -dc 0-9)
    say "$service: at most $((peak / 1024)) MiB resident under load; the limit is $((limit >> 20)) MiB"
    [ $((peak * 1024)) -lt "$limit" ] || fail "$service needs more than its limit"
  done
}

docker_kill() {
  say "docker kill of all four, then up again"
  # shellcheck disable=SC2046
  docker kill $(compose ps -q store auth router uplink) >/dev/null || fail "docker kill"
  compose up -d >/dev/null 2>&1 || fail "up after docker kill"
  wait_for 90 "all containers to be healthy after docker kill" healthy
  publish_until_acknowledged after-docker-kill
  wait_for 60 "everything acknowledged at the hub" delivered_all
}

outage() {
  say "the hub goes away and comes back"
  stop_hub
  for i in $(seq 5); do publish_until_acknowledged "offline-$i"; done
  healthy || fail "a hub that is away made a container unhealthy"
  hub_comes_back
  wait_for 60 "what was stored while the hub was away, in order" delivered_in_order offline-
}

# files [FLAG…] SERVICE TAR-FLAGS: the data of store-files or secret-files, as docs/operating.md has it.
files() { compose run --rm -T --no-deps "$@" 2>"$work/files.log" || { cat "$work/files.log"; fail "$*"; }; }

# Everything is thrown away but the two copies; the identities file is gone for good, and the hub is not there.
restore() {
  compose down --volumes --timeout 20 >"$work/down.log" 2>&1 || { tail "$work/down.log"; fail "down"; }
  sed -i 's#/etc/holdfast/identities.toml#/etc/holdfast/gone.toml#' "$work/holdfast.toml"
  export HOLDFAST_IDENTITIES=/dev/null
  files store-files -xf - <"$work/store.tar"
  files secret-files -xf - <"$work/secrets.tar"
  files --entrypoint touch store-files /var/lib/holdfast/store/db.repaired
  compose up -d >"$work/up.log" 2>&1 || { tail "$work/up.log"; fail "up after the restore"; }
  wait_for 120 "all containers to be healthy after the restore" healthy
  # 16,777,216 further (docs/data-on-disk.md): an hf-id that was given out after the copy is not given out again.
  [ "$(queue_for_hub next_sequence)" -gt 16777216 ] || fail "numbers go on at $(queue_for_hub next_sequence) after a restore"
}

# The store stands still while it is copied; devices wait meanwhile.
backup_running() {
  local publisher
  stop_hub
  publish_while "$work/copied" running
  # shellcheck disable=SC2016
  wait_for 60 "a few messages" sh -c '[ "$(grep -c ^running- "$0")" -ge 5 ]' "$work/acknowledged"
  compose pause store >/dev/null 2>&1 || fail "pause"
  cp "$work/acknowledged" "$work/acknowledged-before"
  files store-files -cf - . >"$work/store.tar"
  compose unpause store >/dev/null 2>&1 || fail "unpause"
  files secret-files -cf - . >"$work/secrets.tar"
  publish_until_acknowledged after-the-copy
  touch "$work/copied"
  wait $publisher || fail "a device could not publish during the backup"
  restore
  # What came after the copy is gone, as it must be.
  mv "$work/acknowledged-before" "$work/acknowledged"
  publish_until_acknowledged running-restored
  session_present || fail "the session of dev1 was not restored"
  hub_comes_back
  wait_for 60 "what was acknowledged before the copy and after the restore" delivered_all
  delivered_in_order running- || fail "the restored backlog came in another order"
  say "copied while running, destroyed, restored: the device got in without identities file and hub, its $(grep -c ^running- "$work/acknowledged") messages came"
}

backup_stopped() {
  stop_hub
  for i in $(seq 5); do publish_until_acknowledged "stopped-$i"; done
  compose stop --timeout 20 >/dev/null 2>&1 || fail "stop"
  files store-files -cf - . >"$work/store.tar"
  restore
  publish_until_acknowledged stopped-restored
  hub_comes_back
  wait_for 60 "the restored backlog" delivered_all
  delivered_in_order stopped- || fail "the restored backlog came in another order"
  say "copied while stopped, destroyed, restored: nothing lost"
}

main() {
  require mosquitto mosquitto_pub openssl python3
  hub_port=$(free_port)
  mqtts_port=$(free_port)
  write_config
  say "building the images"
  build_image "$build_dir" "$image"
  export HOLDFAST_IMAGE=$image-old
  if [ -n "${OLD_BUILD_DIR:-}" ]; then
    build_image "$OLD_BUILD_DIR" "$HOLDFAST_IMAGE"
  else
    printf 'FROM %s\nLABEL older=yes\n' "$image" | DOCKER_BUILDKIT=0 docker build -t "$HOLDFAST_IMAGE" - >"$work/build.log" 2>&1 || fail "the older image"
  fi
  up=yes
  compose run --rm certs >"$work/certs.log" 2>&1 || { cat "$work/certs.log"; fail "certs init"; }
  compose up -d >"$work/up.log" 2>&1 || { tail "$work/up.log"; fail "up"; }
  docker cp "$(compose ps -q auth):/var/lib/holdfast/secrets/root_ca.pem" "$work/root_ca.pem" || fail "no root CA"
  wait_for 90 "all containers to be healthy" healthy
  say "all four are healthy"
  upgrade
  compose run --rm cli status || fail "holdfast status"
  if wants rights; then check_confinement && check_sockets; fi
  if wants load; then check_memory; fi
  if wants kills; then for service in store auth router uplink; do kill_and_recover $service; done; fi
  if wants scaling; then scale_auth && scale_router && scale_uplink; fi
  if wants kills; then docker_kill; fi
  if wants outage; then outage; fi
  if wants backup; then backup_running && backup_stopped; fi
  say "PASSED"
}

main
