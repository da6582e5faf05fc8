#!/bin/sh
# Once for each demo: certificates of gateway and hub, keys, and in a folder for each what that container may see.
set -eu
[ ! -e /demo/device/key ] || exit 0
umask 077
new_key() { head -c 32 /dev/urandom | base64 -w0; }
gateway_key=$(new_key)
device_key=$(new_key)

holdfast --config /etc/holdfast/holdfast.toml certs init
holdfast --config /etc/holdfast/holdfast.toml certs issue --name hub --out /demo/hub
install -m 0644 /var/lib/holdfast/secrets/root_ca.pem /demo/public/root_ca.pem
cat >/demo/hub/registry.json <<REGISTRY
{"devices": [
  {"deviceId": "edge1", "capabilities": {"iotEdge": true}, "modules": [
    {"moduleId": "\$edgeHub", "authentication": {"type": "sas", "symmetricKey": {"primaryKey": "$gateway_key"}}}]},
  {"deviceId": "press-1", "parent": "edge1", "authentication": {"type": "sas", "symmetricKey": {"primaryKey": "$device_key"}}}]}
REGISTRY
printf 'HostName=hub.test;DeviceId=edge1;ModuleId=$edgeHub;SharedAccessKey=%s\n' "$gateway_key" >/demo/gateway/hub_connection_string
# Last, and whole: it says that all is there.
printf %s "$device_key" >/demo/device/key.new
mv /demo/device/key.new /demo/device/key
