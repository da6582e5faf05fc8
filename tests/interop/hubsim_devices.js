// The unmodified Azure IoT device SDK connects to hubsim itself: telemetry, twin, direct methods, cloud-to-device; keys and
// certificates; as a device and as a module.
'use strict';

const assert = require('assert');
const crypto = require('crypto');
const fs = require('fs');
const path = require('path');
const { Message } = require('azure-iot-device');
const { runHub, makeCertificate } = require('./hubsim_harness');
const { waitFor } = require('./harness');

async function telemetry(hub, device) {
  const client = await hub.connect(device);
  const sent = [];
  for (let n = 0; n < 100; ++n) {
    const message = new Message(JSON.stringify({ n }));
    message.messageId = `id-${n}`;
    message.contentType = 'application/json';
    message.contentEncoding = 'utf-8';
    message.properties.add('room', 'küche & bad/2');
    sent.push(client.sendEvent(message));
  }
  await Promise.all(sent);
  const events = await hub.control('GET', '/events?from=0');
  assert.deepStrictEqual(events.map((e) => Buffer.from(e.body, 'base64').toString()), Array.from({ length: 100 }, (_, n) => `{"n":${n}}`));
  assert.deepStrictEqual(events.map((e) => e.seq), Array.from({ length: 100 }, (_, n) => n));
  const { properties } = events[7];
  assert.strictEqual(events[7].device_id, device.deviceId);
  assert.deepStrictEqual([properties['$.mid'], properties['$.ct'], properties['$.ce'], properties.room],
    ['id-7', 'application/json', 'utf-8', 'küche & bad/2']);
  console.log('telemetry: 100 messages with their properties, in order');
  return client;
}

async function twin(hub, client, device) {
  await hub.control('PATCH', `/twins/${device.deviceId}`, { properties: { desired: { rate: 5, gone: 1 } } });
  const document = await client.getTwin();
  assert.strictEqual(document.properties.desired.rate, 5);
  assert.strictEqual(document.properties.desired.$version, 2);

  const pushed = [];
  document.on('properties.desired', (patch) => pushed.push(patch));
  // The SDK gives the current document first.
  await waitFor('the first desired properties', () => pushed.length === 1);
  await waitFor('the subscription', async () => (await hub.control('GET', '/connections'))[0].subscriptions.includes('desired'));
  await hub.control('PATCH', `/twins/${device.deviceId}`, { properties: { desired: { rate: 6, gone: null } } });
  await waitFor('the change', () => pushed.length === 2);
  assert.deepStrictEqual(pushed[1], { rate: 6, gone: null, $version: 3 });

  const report = (patch) => new Promise((resolve, reject) => { document.properties.reported.update(patch, (e) => (e ? reject(e) : resolve())); });
  await report({ state: { on: true, level: 3 }, old: 1 });
  await report({ state: { level: 4 }, old: null });
  const { reported } = (await hub.control('GET', `/twins/${device.deviceId}`)).properties;
  assert.deepStrictEqual([reported.state, reported.old, reported.$version], [{ on: true, level: 4 }, undefined, 3]);
  // This SDK does not look at the status of the answer; the hub's document says what came of it.
  await hub.control('POST', '/faults', { kind: 'twin_status', code: 429, times: 1 });
  await report({ state: null });
  assert.strictEqual((await hub.control('GET', `/twins/${device.deviceId}`)).properties.reported.$version, 3);
  console.log('twin: read, pushed, reported, refused');
}

async function methods(hub, client, device) {
  await new Promise((resolve) => {
    client.onDeviceMethod('openDoor', (request, response) => response.send(207, { got: request.payload }));
    waitFor('the subscription', async () => (await hub.control('GET', '/connections'))[0].subscriptions.includes('methods')).then(resolve);
  });
  const result = await hub.control('POST', `/twins/${device.deviceId}/methods`, { methodName: 'openDoor', payload: { n: [1, null] } });
  assert.deepStrictEqual(result, { status: 207, payload: { got: { n: [1, null] } } });
  console.log('direct method: answered');
}

async function cloudToDevice(hub, client, device) {
  const { deviceId } = device;
  // Sent before anybody listens: kept until then.
  await hub.control('POST', '/c2d', { device: deviceId, payload: 'first', message_id: 'c-1', properties: { a: 'b c' } });
  const received = [];
  client.on('message', (message) => {
    received.push(message);
    client.complete(message, () => {});
  });
  await waitFor('the first message', () => received.length === 1);
  await hub.control('POST', '/c2d', { device: deviceId, payload: 'second' });
  await waitFor('the second message', () => received.length === 2);
  assert.deepStrictEqual(received.map((m) => m.data.toString()), ['first', 'second']);
  assert.strictEqual(received[0].messageId, 'c-1');
  assert.strictEqual(received[0].properties.getValue('a'), 'b c');
  await waitFor('both are acknowledged', async () => (await hub.control('GET', `/c2d?device=${deviceId}`)).length === 0);
  console.log('cloud-to-device: kept, delivered, acknowledged');
}

async function certificates(hub) {
  makeCertificate(hub.dir, 'thumb', 'anything');
  makeCertificate(hub.dir, 'from_ca', 'x-ca', 'device_ca', ['basicConstraints=CA:FALSE']);
  makeCertificate(hub.dir, 'stranger', 'x-ca');
  const pem = fs.readFileSync(path.join(hub.dir, 'thumb.pem'));
  const x509 = new crypto.X509Certificate(pem);
  const strip = (fingerprint) => fingerprint.replace(/:/g, '');
  for (const [id, thumbprint] of [['x-sha1', strip(x509.fingerprint)], ['x-sha256', strip(x509.fingerprint256)]]) {
    await hub.control('PUT', `/devices/${id}`, { authentication: { type: 'selfSigned', x509Thumbprint: { secondaryThumbprint: thumbprint } } });
    const client = await hub.connectX509(id, 'thumb');
    await client.sendEvent(new Message('x'));
    await client.close();
  }
  await hub.control('PUT', '/devices/x-ca', { authentication: { type: 'certificateAuthority' } });
  const client = await hub.connectX509('x-ca', 'from_ca');
  await client.sendEvent(new Message('x'));
  await client.close();
  await assert.rejects(hub.connectX509('x-ca', 'stranger'), /Not authorized|Unauthorized/i);
  await assert.rejects(hub.connectX509('x-sha1', 'stranger'), /Not authorized|Unauthorized/i);
  console.log('certificates: SHA-1, SHA-256, CA; strangers are refused');
}

async function module(hub, device) {
  const identity = await hub.control('PUT', `/devices/${device.deviceId}/modules/m1`, {});
  const client = await hub.connect(identity);
  await client.sendEvent(new Message('from a module'));
  const document = await client.getTwin();
  assert.strictEqual(document.properties.desired.$version, 1);
  const event = (await hub.control('GET', '/events')).pop();
  assert.deepStrictEqual([event.device_id, event.module_id], [device.deviceId, 'm1']);
  await client.close();
  console.log('module: telemetry and twin');
}

runHub(async (hub) => {
  const device = await hub.control('PUT', '/devices/dev1', {});
  const client = await telemetry(hub, device);
  await twin(hub, client, device);
  await methods(hub, client, device);
  await cloudToDevice(hub, client, device);
  await client.close();
  await certificates(hub);
  await module(hub, device);

  await hub.control('PUT', '/devices/dev2', {});
  const wrong = { deviceId: 'dev2', authentication: device.authentication };
  await assert.rejects(hub.connect(wrong), /Not authorized|Unauthorized/i);
  console.log('wrong key refused');
});
