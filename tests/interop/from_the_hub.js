// An unmodified device SDK behind the gateway, the gateway behind hubsim, and the unmodified service SDK: cloud-to-device messages,
// direct methods and twins, from the hub to the device and back, over an outage. argv[2] is the device's language. P8, P10.
'use strict';

const assert = require('assert');
const { runHub } = require('./hubsim_harness');
const { runBehind } = require('./edge_gateway');
const { waitFor, exited, Client, ownAddress, skipWithout } = require('./harness');

const language = process.argv[2];
skipWithout(language, 'cloud-to-device messages, methods and twins from the hub');

const address = ownAddress();

async function messages(hub, device) {
  const bodies = ['one', 'zwei: grün', 'three'];
  for (const payload of bodies) await hub.control('POST', '/c2d', { device: 'leaf', payload });
  const arrived = [await device.next('inbox'), await device.next('inbox'), await device.next('inbox')];
  // Handlers of the SDK for Python may overtake each other.
  if (language === 'python') assert.deepStrictEqual(arrived.sort(), [...bodies].sort());
  else assert.deepStrictEqual(arrived, bodies);
  await waitFor('the hub has them acknowledged', async () => (await hub.control('GET', '/c2d?device=leaf')).length === 0);
  console.log('cloud-to-device messages arrive, and the hub is told');
}

async function methods(hub, device) {
  const service = hub.serviceClient();
  const call = (methodName, payload) => service.invokeDeviceMethod('leaf', { methodName, payload, responseTimeoutInSeconds: 10, connectTimeoutInSeconds: 10 });
  const payload = { on: true, list: [1, 'zwei', null] };
  const { result } = await call('echo', payload);
  assert.strictEqual(result.status, 201);
  assert.deepStrictEqual(result.payload, { got: payload });
  assert.deepStrictEqual(JSON.parse(await device.next('method echo')), payload);
  console.log('the service calls a method of the device');
}

// Desired properties from the service's SDK to the device's, reported ones back, and both after an outage.
async function twins(hub, registry, start) {
  const device = start('twin_device');
  await device.next('ready');
  const desired = async (interval) => {
    const { responseBody: twin } = await registry.getTwin('leaf');
    await twin.update({ properties: { desired: { interval } } });
  };
  const reported = async (fw) => {
    await waitFor(`the hub has fw ${fw}`, async () => (await registry.getTwin('leaf')).responseBody.properties.reported.fw === fw);
  };
  const said = async (interval) => {
    while (JSON.parse(await device.next('desired')).interval !== interval);
  };
  await desired(10);
  await said(10);
  assert.strictEqual(await device.ask('report {"fw":"1.0"}', 'report'), 'taken');
  await reported('1.0');
  console.log('online: desired properties arrive at the device, reported ones at the hub');

  // For devices alone: the registry can still be edited.
  await hub.control('POST', '/faults', { kind: 'refuse', target: 'mqtt' });
  await desired(20);
  assert.strictEqual(await device.ask('report {"fw":"2.0"}', 'report'), 'taken');
  const twin = JSON.parse(await device.ask('get', 'twin'));
  assert.strictEqual(twin.desired.interval, 10);
  assert.strictEqual(twin.reported.fw, '2.0');
  await hub.control('DELETE', '/faults');
  await said(20);
  await reported('2.0');
  console.log('after an outage both sides agree again');
  await device.stop();
}

runHub((hub) => runBehind(hub, ['leaf'], async (gateway, [leaf], registry) => {
  gateway.environment.HOLDFAST_GATEWAY_HOSTNAME = address;
  gateway.environment.HOLDFAST_ROUTER_MQTTS_ADDRESS = `${address}:8883`;
  await gateway.start();
  await waitFor('the first sync', () => gateway.identities().includes('leaf'));
  const clients = [];
  const start = (script) => {
    const client = new Client(language, script, {
      CA_FILE: gateway.info.ca_file,
      CONNECTION_STRING: `HostName=hub.test;DeviceId=leaf;SharedAccessKey=${leaf.authentication.symmetricKey.primaryKey};GatewayHostName=${address}`,
    });
    clients.push(client);
    return client;
  };
  try {
    const device = start('local_client');
    await device.next('ready');
    await messages(hub, device);
    await methods(hub, device);
    await device.stop();
    await twins(hub, registry, start);
  } finally {
    for (const client of clients) if (!exited(client.process)) client.process.kill('SIGKILL');
  }
}));
