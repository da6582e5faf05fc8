// The unmodified Azure IoT service SDK against hubsim's REST: the registry of devices and modules, twins, direct methods.
'use strict';

const assert = require('assert');
const { Registry } = require('azure-iothub');
const { runHub } = require('./hubsim_harness');
const { waitFor } = require('./harness');

async function status(promise) {
  const error = await promise.then(() => null, (e) => e);
  assert(error, 'it must fail');
  return error.response ? error.response.statusCode : error;
}

async function devices(hub, registry) {
  const edge = (await registry.create({ deviceId: 'edge', status: 'enabled', capabilities: { iotEdge: true } })).responseBody;
  assert(edge.deviceScope.startsWith('ms-azure-iot-edge://edge-'), edge.deviceScope);
  assert.deepStrictEqual((await registry.getModulesOnDevice('edge')).responseBody.map((m) => m.moduleId).sort(), ['$edgeAgent', '$edgeHub']);
  const leaf = (await registry.create({ deviceId: 'leaf', deviceScope: edge.deviceScope })).responseBody;
  assert.deepStrictEqual(leaf.parentScopes, [edge.deviceScope]);
  assert.strictEqual(Buffer.from(leaf.authentication.symmetricKey.primaryKey, 'base64').length, 32);
  assert.strictEqual(await status(registry.create({ deviceId: 'leaf' })), 409);
  assert.strictEqual(await status(registry.create({ deviceId: 'two', parentScopes: [edge.deviceScope, 'ms-azure-iot-edge://x-1'] })), 400);

  const client = await hub.connect(leaf);
  await registry.update({ ...leaf, status: 'disabled' });
  await waitFor('the disabled device is out', async () => (await hub.control('GET', '/connections')).length === 0);
  const disabled = (await registry.get('leaf')).responseBody;
  assert.deepStrictEqual([disabled.status, disabled.authentication], ['disabled', leaf.authentication]);
  assert.notStrictEqual(disabled.etag, leaf.etag);
  await client.close();
  await registry.update({ deviceId: 'leaf', status: 'enabled' });

  const bulk = Array.from({ length: 50 }, (_, n) => ({ deviceId: `bulk-${n}` }));
  assert((await registry.addDevices(bulk)).responseBody.isSuccessful);
  assert.strictEqual((await registry.list()).responseBody.length, 52);
  assert((await registry.removeDevices(bulk, true)).responseBody.isSuccessful);
  await registry.delete('leaf');
  assert.strictEqual(await status(registry.get('leaf')), 404);
  console.log('devices: create, get, update, list, bulk, delete; one parent; disabled is out');
}

async function modules(registry) {
  await registry.addModule({ deviceId: 'edge', moduleId: 'm1' });
  const module = (await registry.getModule('edge', 'm1')).responseBody;
  await registry.updateModule({ ...module, managedBy: 'me' });
  assert.strictEqual((await registry.getModule('edge', 'm1')).responseBody.managedBy, 'me');
  assert.strictEqual(await status(registry.updateModule(module)), 412);
  await registry.removeModule('edge', 'm1');
  assert.strictEqual(await status(registry.getModule('edge', 'm1')), 404);
  console.log('modules: add, get, update by ETag, remove');
}

async function twins(registry) {
  const twin = (await registry.getTwin('edge')).responseBody;
  const patch = { tags: { site: 'north' }, properties: { desired: { rate: 1 } } };
  const updated = (await registry.updateTwin('edge', patch, twin.etag)).responseBody;
  assert.deepStrictEqual([updated.tags, updated.properties.desired.rate, updated.properties.desired.$version], [{ site: 'north' }, 1, 2]);
  assert.strictEqual(await status(registry.updateTwin('edge', patch, twin.etag)), 412);
  await registry.updateTwin('edge', { tags: { site: null } }, '*');
  assert.deepStrictEqual((await registry.getTwin('edge')).responseBody.tags, {});
  const routes = { properties: { desired: { schemaVersion: '1.1', routes: { up: 'FROM /messages/* INTO $upstream' } } } };
  await registry.updateModuleTwin('edge', '$edgeHub', routes, '*');
  const module = (await registry.getModuleTwin('edge', '$edgeHub')).responseBody;
  assert.deepStrictEqual([module.moduleId, module.properties.desired.routes.up], ['$edgeHub', 'FROM /messages/* INTO $upstream']);
  console.log('twins: get, update by ETag, delete by null; of a module too');
}

async function methods(hub, registry) {
  const service = hub.serviceClient();
  const device = (await registry.create({ deviceId: 'worker' })).responseBody;
  const call = (more) => service.invokeDeviceMethod('worker', { methodName: 'add', payload: [1, 2], ...more });
  assert.strictEqual(await status(call({})), 404);

  // It waits for a device that comes in time.
  const early = call({ connectTimeoutInSeconds: 60 });
  const client = await hub.connect(device);
  client.onDeviceMethod('add', (request, response) => response.send(200, request.payload[0] + request.payload[1]));
  assert.deepStrictEqual((await early).result, { status: 200, payload: 3 });
  client.onDeviceMethod('silent', () => {});
  const silent = service.invokeDeviceMethod('worker', { methodName: 'silent', responseTimeoutInSeconds: 1 });
  assert.strictEqual(await status(silent), 504);
  await client.close();
  console.log('direct methods: answered, awaited, 404, 504');
}

runHub(async (hub) => {
  const registry = hub.registry();
  await devices(hub, registry);
  await modules(registry);
  await twins(registry);
  await methods(hub, registry);
  const wrong = hub.service(Registry.fromConnectionString(hub.info.service_connection_string.replace(/SharedAccessKey=.*/,
    `SharedAccessKey=${Buffer.alloc(32, 7).toString('base64')}`)));
  assert.strictEqual(await status(wrong.list()), 401);
  await hub.control('POST', '/faults', { kind: 'rest_status', code: 429, retry_after: 1, times: 1 });
  assert.strictEqual(await status(registry.list()), 429);
  await registry.list();
  console.log('wrong key refused; throttled once');
});
