#!/bin/sh
# A simulated device: a numbered message every PERIOD seconds, at QoS 1, with a token of its own making; the same again until it is acknowledged.
set -eu
trap 'exit 0' TERM
period=${PERIOD:-1}
resource=hub.test%2Fdevices%2Fpress-1

token() {
  expiry=$(($(date +%s) + 86400))
  hex=$(base64 -d /demo/device/key | od -An -tx1 -v | tr -d ' \n')
  signature=$(printf '%s\n%s' $resource $expiry | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$hex" -binary |
    base64 -w0 | sed 's/+/%2B/g; s#/#%2F#g; s/=/%3D/g')
  printf 'SharedAccessSignature sr=%s&sig=%s&se=%s' $resource "$signature" $expiry
}

# publish TEXT: acknowledged, or a failure.
publish() {
  timeout 10 mosquitto_pub -h gateway -p 8883 --cafile /demo/public/root_ca.pem -q 1 -c -i press-1 \
    -u 'hub.test/press-1/?api-version=2021-04-12' -P "$(token)" \
    -t 'devices/press-1/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8' -m "$1"
}

n=1
while :; do
  if publish "$(printf '{"n": %d, "temperature": %d}' $n $((20 + n * 7 % 11)))"; then n=$((n + 1)); fi
  sleep "$period"
done
