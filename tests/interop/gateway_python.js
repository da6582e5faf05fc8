// A device with the unmodified Azure IoT SDK for Python behind the gateway, the gateway behind hubsim: telemetry with properties online;
// then the hub is away, the gateway is restarted, the device reconnects by itself, and a new one starts; all arrives, in order. P1, P2, P4.
'use strict';

const assert = require('assert');
const childProcess = require('child_process');
const fs = require('fs');
const path = require('path');
const readline = require('readline');
const { runHub } = require('./hubsim_harness');
const { runBehind, expectAll } = require('./edge_gateway');
const { waitFor, exited } = require('./harness');

const NOT_RUN = 77; // ctest's word for skipped
const EACH = 20;
const venv = process.env.HOLDFAST_VENV || '/nonexistent';
if (!fs.existsSync(path.join(venv, 'complete'))) {
  console.log('NOT RUN: IoTHubDeviceClient.create_from_connection_string: azure-iot-device for Python could not be installed');
  process.exit(NOT_RUN);
}

// The SDK knows no other port than 8883, so the gateway gets an address of its own.
const octet = () => 1 + Math.floor(Math.random() * 253);
const address = `127.${octet()}.${octet()}.${octet()}`;

class Device {
  constructor(identity, caFile, stderr = 'inherit') {
    const key = identity.authentication.symmetricKey.primaryKey;
    this.process = childProcess.spawn(path.join(venv, 'bin', 'python3'), [path.join(__dirname, 'python_device.py')], {
      stdio: ['pipe', 'pipe', stderr],
      env: {
        PATH: process.env.PATH,
        CONNECTION_STRING: `HostName=hub.test;DeviceId=${identity.deviceId};SharedAccessKey=${key};GatewayHostName=${address}`,
        ...(caFile ? { CA_FILE: caFile } : {}),
      },
    });
    this.lines = [];
    readline.createInterface({ input: this.process.stdout }).on('line', (line) => this.lines.push(line));
  }

  async says(line) {
    await waitFor(`the device says "${line}"`, () => this.lines.includes(line) || exited(this.process));
    assert(this.lines.includes(line), `the device ended before it said "${line}"`);
  }

  // Returns when each was acknowledged.
  async send(from, to) {
    for (let n = from; n < to; ++n) this.process.stdin.write(`${n}\n`);
    for (let n = from; n < to; ++n) await this.says(`acknowledged ${n}`);
  }

  async stop() {
    this.process.stdin.end();
    await waitFor('the device ends', () => exited(this.process));
    assert.strictEqual(this.process.exitCode, 0);
  }
}

runHub((hub) => runBehind(hub, ['leaf'], async (gateway, [leaf]) => {
  gateway.environment.HOLDFAST_GATEWAY_HOSTNAME = address;
  gateway.environment.HOLDFAST_ROUTER_MQTTS_ADDRESS = `${address}:8883`;
  await gateway.start();
  await waitFor('the first sync', () => gateway.identities().includes('leaf'));

  const distrustful = new Device(leaf, null, 'ignore');
  await waitFor('it gives up', () => exited(distrustful.process));
  assert.notStrictEqual(distrustful.process.exitCode, 0);
  assert.deepStrictEqual(distrustful.lines, [], 'without the root CA it must not connect');
  console.log('without server_verification_cert the device refuses the gateway');

  let device = new Device(leaf, gateway.info.ca_file);
  try {
    await device.says('ready');
    await device.send(0, EACH);
    await expectAll(hub, leaf, EACH);
    console.log(`online: ${EACH} messages`);

    await hub.control('POST', '/faults', { kind: 'refuse' });
    await device.send(EACH, 2 * EACH);
    await gateway.stop();
    await device.says('disconnected');
    await gateway.start();
    await device.send(2 * EACH, 3 * EACH);
    await device.says('connected');
    console.log('hub away, gateway restarted: the device has reconnected by itself, and its messages are acknowledged');
    await device.stop();
    device = new Device(leaf, gateway.info.ca_file);
    await device.says('ready');
    await device.send(3 * EACH, 4 * EACH);
    await device.stop();
    console.log('hub still away: a device that was started anew is let in');
  } finally {
    if (!exited(device.process)) device.process.kill('SIGKILL');
  }

  await hub.control('DELETE', '/faults');
  await expectAll(hub, leaf, 4 * EACH);
  for (const event of await hub.control('GET', '/events?from=0')) {
    const { n } = JSON.parse(Buffer.from(event.body, 'base64'));
    const expected = {
      '$.mid': `m${n}`, '$.cid': 'a/b&c', '$.ct': 'application/json', '$.ce': 'utf-8', unit: '°C', 'line no': `${n % 2}=x`,
    };
    for (const [name, value] of Object.entries(expected)) assert.strictEqual(event.properties[name], value, `${name} of message ${n}`);
  }
  console.log('back: all arrived, in order, with their properties');
}));
