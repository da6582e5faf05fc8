// Unmodified Azure IoT device SDKs behind the gateway, the gateway behind hubsim, the registry edited by the unmodified service
// SDK: one sync, then the link is cut, everything is restarted, and everybody is let in; children added, removed, disabled,
// given new keys or another parent while the gateway was away. P4, P5, P11.
'use strict';

const assert = require('assert');
const { Message } = require('azure-iot-device');
const { runHub } = require('./hubsim_harness');
const { runBehind, expectAll } = require('./edge_gateway');
const { waitFor } = require('./harness');

async function send(client, from, to) {
  const sent = [];
  for (let n = from; n < to; ++n) sent.push(client.sendEvent(new Message(JSON.stringify({ n }))));
  await Promise.all(sent);
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

runHub((hub) => runBehind(hub, ['one', 'two'], async (gateway, children, registry, edge) => {
  await hub.control('POST', '/faults', { kind: 'refuse' });
  await gateway.start();
  await gateway.refuses(children[0], /Server unavailable/);
  console.log('before the first sync the gateway says that it is not there yet');
  await hub.control('DELETE', '/faults');
  await waitFor('the first sync', () => gateway.identities().includes('two'));
  const clients = await outage(hub, gateway, ...children);
  await changes(hub, gateway, registry, edge, children, clients);
}));
