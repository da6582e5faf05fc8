// mosquitto_pub over TLS, and what the CLI says about it.
'use strict';

const assert = require('assert');
const childProcess = require('child_process');
const crypto = require('crypto');
const { run, waitFor } = require('./harness');

run({ devices: 1 }, async (gateway, hub) => {
  const { id, key } = gateway.info.devices[0];
  const resource = encodeURIComponent(`${gateway.info.hub_hostname}/devices/${id}`);
  const expiry = Math.floor(Date.now() / 1000) + 3600;
  const signature = crypto.createHmac('sha256', Buffer.from(key, 'base64')).update(`${resource}\n${expiry}`).digest('base64');
  const token = `SharedAccessSignature sr=${resource}&sig=${encodeURIComponent(signature)}&se=${expiry}`;
  const args = (port, ...more) => ['-h', 'localhost', '-p', String(port), '-i', id, '-V', 'mqttv311', '-q', '1',
    '-u', `${gateway.info.hub_hostname}/${id}/?api-version=2021-04-12`, '-P', token, '-t', `devices/${id}/messages/events/a=b`, ...more];

  childProcess.execFileSync('mosquitto_pub', args(gateway.info.mqtts_port, '--cafile', gateway.info.ca_file, '-m', 'over TLS'));
  childProcess.execFileSync('mosquitto_pub', args(gateway.info.mqtt_port, '-l'),
    { input: Array.from({ length: 300 }, (_, n) => `line ${n}\n`).join('') });
  await waitFor('301 messages at the hub', () => hub.bodies(id).length === 301);
  assert.deepStrictEqual(hub.bodies(id).slice(1), Array.from({ length: 300 }, (_, n) => `line ${n}`));
  assert.strictEqual(hub.messages[0].properties.a, 'b');
});
