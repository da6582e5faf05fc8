// Twins of unmodified device SDKs while the hub is away: get, reported properties, desired properties set here, over a kill of router and a
// restart of the gateway. argv[2] is the SDK's language, "node" or "python". P10, P1.
'use strict';

const assert = require('assert');
const childProcess = require('child_process');
const path = require('path');
const { run, waitFor, Client, ownAddress, skipWithout } = require('./harness');

const language = process.argv[2];
skipWithout(language, 'twins by IoTHubDeviceClient');

const address = ownAddress();

class Device extends Client {
  constructor(gateway) {
    super(language, 'twin_device', {
      CA_FILE: gateway.info.ca_file,
      CONNECTION_STRING: gateway.info.devices[0].connection_string.replace(/GatewayHostName=[^;]*/, `GatewayHostName=${address}`),
    });
  }

  async get() {
    return JSON.parse(await this.ask('get', 'twin'));
  }

  // "taken" or "refused".
  async report(patch) {
    return this.ask(`report ${JSON.stringify(patch)}`, 'report');
  }

  // The SDK for Node tells of desired properties when it has read the twin, too: up to the one with `version`.
  async desired(version) {
    for (;;) {
      const patch = JSON.parse(await this.next('desired'));
      if (patch.$version === version) return patch;
    }
  }
}

function setDesired(gateway, patch) {
  const out = childProcess.execFileSync(path.join(process.env.HOLDFAST_BIN_DIR, 'holdfast'),
    ['--run-dir', gateway.info.run_dir, '--json', 'twin', 'set', gateway.info.devices[0].id, JSON.stringify(patch)]);
  return JSON.parse(out.toString()).document.desired.$version;
}

run({
  devices: 1,
  environment: { HOLDFAST_GATEWAY_HOSTNAME: address, HOLDFAST_ROUTER_MQTTS_ADDRESS: `${address}:8883` },
}, async (gateway, hub) => {
  await hub.stop();
  let device = new Device(gateway);
  await device.next('ready');
  let twin = await device.get();
  assert.strictEqual(twin.desired.$version, 0);
  console.log('hub away: an empty twin, at once');

  assert.strictEqual(await device.report({ fw: '1.2', net: { ip: '10.0.0.7' } }), 'taken');
  assert.strictEqual(await device.report({ net: { up: true }, fw: null }), 'taken');
  assert.strictEqual(await device.report({ text: 'x'.repeat(5000) }), 'refused');
  twin = await device.get();
  assert.deepStrictEqual(twin.reported.net, { ip: '10.0.0.7', up: true });
  assert.strictEqual(twin.reported.fw, undefined);
  assert.strictEqual(twin.reported.text, undefined);
  console.log('reported properties: taken, merged, refused');

  const patch = await (async () => {
    const version = setDesired(gateway, { interval: 10, mode: { night: 'küche' } });
    return device.desired(version);
  })();
  assert.strictEqual(patch.interval, 10);
  assert.deepStrictEqual(patch.mode, { night: 'küche' });
  console.log('desired properties set here reach the device');

  await gateway.crash('router');
  // The SDK for Python fails a report at once when nobody listens in that moment, and connects again by a timer of its own.
  await waitFor('a report is taken again', async () => (await device.report({ after: 'kill' })) === 'taken');
  console.log('router killed: reported after that, too');

  await device.stop();
  await gateway.stop();
  await gateway.start();
  device = new Device(gateway);
  await device.next('ready');
  twin = await device.get();
  assert.strictEqual(twin.desired.interval, 10);
  assert.deepStrictEqual(twin.reported.net, { ip: '10.0.0.7', up: true });
  assert.strictEqual(twin.reported.after, 'kill');
  const version = setDesired(gateway, { interval: null });
  const gone = await device.desired(version);
  assert.strictEqual(gone.interval, null);
  console.log('gateway restarted offline: everything is there, changes still come');
  await device.stop();
});
