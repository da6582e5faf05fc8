// `holdfast dev` as the gateway "edge" of a simulated hub, and what that hub got through it.
'use strict';

const assert = require('assert');
const childProcess = require('child_process');
const fs = require('fs');
const path = require('path');
const { NoRetry } = require('azure-iot-common');
const { Client } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { Gateway, waitFor } = require('./harness');

// `holdfast dev` as a gateway of the hub's registry. `above`: the hub, or the gateway that it is a child of.
class EdgeGateway extends Gateway {
  constructor(dir, edgeHub, above) {
    super(dir, null, 1);
    const secret = path.join(dir, 'edge_connection_string');
    fs.writeFileSync(secret, `HostName=hub.test;DeviceId=${edgeHub.deviceId};ModuleId=$edgeHub;` +
      `SharedAccessKey=${edgeHub.authentication.symmetricKey.primaryKey}\n`, { mode: 0o600 });
    this.upstream = `iothub://localhost:${above.info.mqtts_port}`;
    this.environment = {
      HOLDFAST_GATEWAY_HUB_HOSTNAME: 'hub.test',
      HOLDFAST_AUTH_IDENTITIES_FILE: '',
      HOLDFAST_AUTH_HUB_CONNECTION_STRING_FILE: secret,
      HOLDFAST_UPLINK_HUB_REST_URL: above.info.rest_url || `https://localhost:${above.info.https_port}`,
      HOLDFAST_UPLINK_CA_FILE: above.info.ca_file || path.join(above.dir, 'server.pem'),
    };
  }

  // An open SDK client behind the gateway; throws what the SDK throws.
  async connect(device, once = false) {
    const client = Client.fromConnectionString(`HostName=hub.test;DeviceId=${device.deviceId};` +
      `SharedAccessKey=${device.authentication.symmetricKey.primaryKey};GatewayHostName=localhost:${this.info.mqtts_port}`, Mqtt);
    await client.setOptions({ ca: this.ca });
    client.on('error', () => {});
    if (once) client.setRetryPolicy(new NoRetry());
    await client.open();
    return client;
  }

  async refuses(device, how = /Not authorized/) {
    await assert.rejects(this.connect(device, true), how, `${device.deviceId} must not be let in`);
  }

  // What `holdfast identities --json` says.
  identities() {
    const text = childProcess.execFileSync(path.join(process.env.HOLDFAST_BIN_DIR, 'holdfast'),
      ['--json', '--run-dir', this.info.run_dir, 'identities'], { encoding: 'utf8' });
    return JSON.parse(text).identities.map((i) => (i.module_id ? `${i.device_id}/${i.module_id}` : i.device_id));
  }
}

// The numbers {n} that the hub has of a device, first copies, in the order of arrival.
async function arrived(hub, device) {
  const events = await hub.control('GET', '/events?from=0');
  for (const event of events) assert.match(event.actor, /^edge(;|$)/, 'the gateway speaks for its children');
  return [...new Set(events.filter((e) => e.device_id === device.deviceId).map((e) => JSON.parse(Buffer.from(e.body, 'base64')).n))];
}

async function expectAll(hub, device, count) {
  await waitFor(`${count} messages of ${device.deviceId}`, async () => (await arrived(hub, device)).length === count);
  assert.deepStrictEqual(await arrived(hub, device), Array.from({ length: count }, (_, n) => n),
    'every message, in the order in which it was sent');
}

// Registers the gateway and children of these names, runs `test(gateway, children, registry, edge)` with the gateway not yet started, and
// prints its log if that throws.
async function runBehind(hub, names, test) {
  const registry = hub.registry();
  const edge = (await registry.create({ deviceId: 'edge', capabilities: { iotEdge: true } })).responseBody;
  const edgeHub = (await registry.getModule('edge', '$edgeHub')).responseBody;
  const children = [];
  for (const deviceId of names) {
    children.push((await registry.create({ deviceId, deviceScope: edge.deviceScope })).responseBody);
  }
  const gatewayDir = path.join(hub.dir, 'gw');
  fs.mkdirSync(gatewayDir);
  const gateway = new EdgeGateway(gatewayDir, edgeHub, hub);
  try {
    await test(gateway, children, registry, edge);
    await gateway.stop();
  } catch (error) {
    console.error(fs.readFileSync(path.join(gatewayDir, 'gateway.log'), 'utf8').slice(-8000));
    gateway.process.kill('SIGTERM');
    throw error;
  }
}

module.exports = { EdgeGateway, runBehind, expectAll };
