// The unmodified Azure IoT device SDK through GatewayHostName, over TLS: telemetry with properties, offline, reconnect while
// offline, restart of the gateway. P1, P2, P4.
'use strict';

const assert = require('assert');
const { Client, Message } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { run, waitFor } = require('./harness');

async function connect(gateway, index) {
  const client = Client.fromConnectionString(gateway.connectionString(index), Mqtt);
  await client.setOptions({ ca: gateway.ca });
  client.on('error', (error) => console.error(`SDK: ${error.message}`));
  await client.open();
  return client;
}

function telemetry(n) {
  const message = new Message(JSON.stringify({ n }));
  message.messageId = `id-${n}`;
  message.contentType = 'application/json';
  message.contentEncoding = 'utf-8';
  message.properties.add('room', 'küche & bad/2');
  message.properties.add('n', String(n));
  return message;
}

async function sendAll(client, from, to) {
  const pending = [];
  for (let n = from; n < to; ++n) pending.push(client.sendEvent(telemetry(n)));
  await Promise.all(pending);
}

function expectInOrder(hub, device, count) {
  assert.deepStrictEqual(hub.bodies(device), Array.from({ length: count }, (_, n) => JSON.stringify({ n })),
    'every message, in the order in which it was sent');
}

run({ devices: 2 }, async (gateway, hub) => {
  const device = gateway.info.devices[0].id;
  let client = await connect(gateway, 0);
  await sendAll(client, 0, 50);
  await waitFor('50 messages at the hub', () => hub.bodies(device).length === 50);
  const first = hub.messages[0].properties;
  assert.strictEqual(first['$.mid'], 'id-0');
  assert.strictEqual(first['$.ct'], 'application/json');
  assert.strictEqual(first['$.ce'], 'utf-8');
  assert.strictEqual(first.room, 'küche & bad/2');
  console.log('online: 50 messages with their properties');

  await hub.stop();
  await sendAll(client, 50, 150);
  console.log('hub gone: 100 messages acknowledged');

  await client.close();
  client = await connect(gateway, 0);
  await sendAll(client, 150, 200);
  console.log('reconnected while offline');

  await client.close();
  await gateway.stop();
  await gateway.start();
  client = await connect(gateway, 0);
  await sendAll(client, 200, 250);
  console.log('gateway restarted offline, authenticated, 50 more');

  const pending = sendAll(client, 250, 300);
  await gateway.crash('router');
  await pending;
  console.log('router killed under an open client: the SDK came back by itself');

  await hub.start();
  await waitFor('300 messages at the hub', () => hub.bodies(device).length === 300);
  const bodies = hub.bodies(device);
  // The SDK sends what the crash interrupted again in an order of its own; what it had acknowledged before is in order.
  expectInOrder({ bodies: () => bodies.slice(0, 250) }, device, 250);
  assert.strictEqual(new Set(bodies).size, 300);
  await client.close();

  const wrong = Client.fromConnectionString(gateway.connectionString(1).replace(/SharedAccessKey=[^;]*/,
    `SharedAccessKey=${Buffer.alloc(32, 7).toString('base64')}`), Mqtt);
  await wrong.setOptions({ ca: gateway.ca });
  await assert.rejects(wrong.open(), /Not authorized|Unauthorized/i);
  console.log('wrong key refused');
});
