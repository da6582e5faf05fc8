// Unmodified Azure IoT device SDKs behind the gateway, the gateway behind hubsim, the registry edited by the unmodified service
// SDK: one sync, then the link is cut, everything is restarted, and everybody is let in; children added, removed, disabled,
// given new keys or another parent while the gateway was away. P4, P5, P11.
'use strict';

const assert = require('assert');
const childProcess = require('child_process');
const fs = require('fs');
const path = require('path');
const { NoRetry } = require('azure-iot-common');
const { Client, Message } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { runHub } = require('./hubsim_harness');
const { Gateway, waitFor } = require('./harness');

// `holdfast dev`, with the hub's gateway "edge" as its own identity.
class EdgeGateway extends Gateway {
  constructor(dir, hub, edgeHubKey) {
    super(dir, null, 1);
    const secret = path.join(dir, 'edge_connection_string');
    fs.writeFileSync(secret, `HostName=hub.test;DeviceId=edge;ModuleId=$edgeHub;SharedAccessKey=${edgeHubKey}\n`, { mode: 0o600 });
    this.upstream = `iothub://localhost:${hub.info.mqtts_port}`;
    this.environment = {
      HOLDFAST_GATEWAY_HUB_HOSTNAME: 'hub.test',
      HOLDFAST_AUTH_IDENTITIES_FILE: '',
      HOLDFAST_AUTH_HUB_CONNECTION_STRING_FILE: secret,
      HOLDFAST_UPLINK_HUB_REST_URL: hub.info.rest_url,
      HOLDFAST_UPLINK_CA_FILE: path.join(hub.dir, 'server.pem'),
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

async function send(client, from, to) {
  const sent = [];
  for (let n = from; n < to; ++n) sent.push(client.sendEvent(new Message(JSON.stringify({ n }))));
  await Promise.all(sent);
}

// First copies of what the hub has of a device, in the order of arrival.
async function arrived(hub, device) {
  const events = await hub.control('GET', '/events?from=0');
  for (const event of events) assert.strictEqual(event.actor, 'edge', 'the gateway speaks for its children');
  return [...new Set(events.filter((e) => e.device_id === device.deviceId).map((e) => Buffer.from(e.body, 'base64').toString()))];
}

async function expectAll(hub, device, count) {
  await waitFor(`${count} messages of ${device.deviceId}`, async () => (await arrived(hub, device)).length === count);
  assert.deepStrictEqual(await arrived(hub, device), Array.from({ length: count }, (_, n) => JSON.stringify({ n })),
    'every message, in the order in which it was sent');
}

async function outage(hub, gateway, one, two) {
  let clients = [await gateway.connect(one), await gateway.connect(two)];
  await Promise.all(clients.map((c) => send(c, 0, 50)));
  await expectAll(hub, one, 50);
  await expectAll(hub, two, 50);
  console.log('online: two devices, 50 messages each');

  await hub.control('POST', '/faults', { kind: 'refuse' });
  await Promise.all(clients.map((c) => send(c, 50, 100)));
  await Promise.all(clients.map((c) => c.close()));
  await gateway.stop();
  await gateway.start();
  clients = [await gateway.connect(one), await gateway.connect(two)];
  await Promise.all(clients.map((c) => send(c, 100, 150)));
  console.log('cut off, everything restarted: both are let in again, 100 messages each are held');

  await hub.control('DELETE', '/faults');
  await expectAll(hub, one, 150);
  await expectAll(hub, two, 150);
  console.log('back: all arrived, in order');
  return clients;
}

// What the registry said while the gateway could not hear it.
async function changes(hub, gateway, registry, edge, [one, two], clients) {
  const create = async (deviceId) => (await registry.create({ deviceId, deviceScope: edge.deviceScope })).responseBody;
  const added = await create('added');
  await (await gateway.connect(added)).close();
  console.log('a child added a moment ago is let in when it first connects: the gateway asks the hub');

  const [removed, disabled, rekeyed, moved] = [await create('removed'), await create('disabled'), await create('rekeyed'), await create('moved')];
  for (const child of [removed, disabled, rekeyed, moved]) clients.push(await gateway.connect(child));
  // For the gateway alone: the registry can still be edited.
  await hub.control('POST', '/faults', { kind: 'rest_status', code: 503, path: 'edgeHub' });
  await hub.control('POST', '/faults', { kind: 'refuse', target: 'mqtt' });
  const other = (await registry.create({ deviceId: 'other', capabilities: { iotEdge: true } })).responseBody;
  const late = await create('late');
  await registry.delete('removed');
  await registry.update({ ...disabled, status: 'disabled' });
  const key = Buffer.alloc(32, 7).toString('base64');
  const newKeys = { ...rekeyed, authentication: { type: 'sas', symmetricKey: { primaryKey: key, secondaryKey: key } } };
  await registry.update(newKeys);
  await registry.update({ ...moved, deviceScope: other.deviceScope, parentScopes: [other.deviceScope] });
  for (const child of [removed, disabled, rekeyed, moved]) await (await gateway.connect(child)).close();
  await gateway.refuses(late);
  console.log('cut off: what was known is what counts');

  await hub.control('DELETE', '/faults');
  await waitFor('the sync', () => gateway.identities().includes('late') && !gateway.identities().includes('removed'));
  for (const child of [removed, disabled, rekeyed, moved]) await gateway.refuses(child);
  for (const child of [late, newKeys, one, two]) await (await gateway.connect(child)).close();
  assert(!gateway.identities().includes('moved'), 'the child of another gateway');
  console.log('back: removed, disabled, moved and old keys are out; the new child and the new keys are in');
}

runHub(async (hub) => {
  const registry = hub.registry();
  const edge = (await registry.create({ deviceId: 'edge', capabilities: { iotEdge: true } })).responseBody;
  const edgeHub = (await registry.getModule('edge', '$edgeHub')).responseBody;
  const children = [];
  for (const deviceId of ['one', 'two']) {
    children.push((await registry.create({ deviceId, deviceScope: edge.deviceScope })).responseBody);
  }
  const gatewayDir = path.join(hub.dir, 'gw');
  fs.mkdirSync(gatewayDir);
  const gateway = new EdgeGateway(gatewayDir, hub, edgeHub.authentication.symmetricKey.primaryKey);

  await hub.control('POST', '/faults', { kind: 'refuse' });
  await gateway.start();
  await gateway.refuses(children[0], /Server unavailable/);
  console.log('before the first sync the gateway says that it is not there yet');
  await hub.control('DELETE', '/faults');
  await waitFor('the first sync', () => gateway.identities().includes('two'));

  try {
    const clients = await outage(hub, gateway, ...children);
    await changes(hub, gateway, registry, edge, children, clients);
    await gateway.stop();
  } catch (error) {
    console.error(fs.readFileSync(path.join(gatewayDir, 'gateway.log'), 'utf8').slice(-8000));
    gateway.process.kill('SIGTERM');
    throw error;
  }
});
