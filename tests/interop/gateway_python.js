// A device with the unmodified Azure IoT SDK for Python behind the gateway, the gateway behind hubsim: telemetry with properties online;
// then the hub is away, the gateway is restarted, the device reconnects by itself, and a new one starts; all arrives, in order. P1, P2, P4.
'use strict';

const assert = require('assert');
const { runHub } = require('./hubsim_harness');
const { runBehind, expectAll } = require('./edge_gateway');
const { waitFor, exited, Client, ownAddress, skipWithout } = require('./harness');

const EACH = 20;
skipWithout('python', 'IoTHubDeviceClient.create_from_connection_string');

const address = ownAddress();

class Device extends Client {
  constructor(identity, caFile, stderr) {
    const key = identity.authentication.symmetricKey.primaryKey;
    super('python', 'python_device', {
      CONNECTION_STRING: `HostName=hub.test;DeviceId=${identity.deviceId};SharedAccessKey=${key};GatewayHostName=${address}`,
      ...(caFile ? { CA_FILE: caFile } : {}),
    }, stderr);
  }

  // Returns when each was acknowledged.
  async send(from, to) {
    for (let n = from; n < to; ++n) this.tell(n);
    for (let n = from; n < to; ++n) await this.next(`acknowledged ${n}`);
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
    await device.next('ready');
    await device.send(0, EACH);
    await expectAll(hub, leaf, EACH);
    console.log(`online: ${EACH} messages`);

    await hub.control('POST', '/faults', { kind: 'refuse' });
    await device.send(EACH, 2 * EACH);
    await gateway.stop();
    await device.next('disconnected');
    await gateway.start();
    await device.send(2 * EACH, 3 * EACH);
    await device.next('connected');
    console.log('hub away, gateway restarted: the device has reconnected by itself, and its messages are acknowledged');
    await device.stop();
    device = new Device(leaf, gateway.info.ca_file);
    await device.next('ready');
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
