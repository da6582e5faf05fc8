// mqtt.js, which knows nothing of Holdfast: TLS with the gateway's CA, user name and SAS token by hand; offline, crash of store, QoS 0
// and 1, refusals. P1, P2.
'use strict';

const assert = require('assert');
const crypto = require('crypto');
const mqtt = require('mqtt');
const { run, waitFor } = require('./harness');

function sasToken(hub, device, key) {
  const resource = encodeURIComponent(`${hub}/devices/${device}`);
  const expiry = Math.floor(Date.now() / 1000) + 3600;
  const signature = crypto.createHmac('sha256', Buffer.from(key, 'base64')).update(`${resource}\n${expiry}`).digest('base64');
  return `SharedAccessSignature sr=${resource}&sig=${encodeURIComponent(signature)}&se=${expiry}`;
}

function options(gateway, index, more = {}) {
  const { id, key } = gateway.info.devices[index];
  return {
    clientId: id,
    username: `${gateway.info.hub_hostname}/${id}/?api-version=2021-04-12`,
    password: sasToken(gateway.info.hub_hostname, id, key),
    clean: false,
    ca: gateway.ca,
    reconnectPeriod: 100,
    ...more,
  };
}

function connect(gateway, index, more) {
  const client = mqtt.connect(`mqtts://localhost:${gateway.info.mqtts_port}`, options(gateway, index, more));
  return new Promise((resolve, reject) => {
    client.once('connect', () => { client.on('error', () => {}); resolve(client); });
    client.once('error', (error) => { client.end(true); reject(error); });
  });
}

function publish(client, topic, body, qos = 1) {
  return new Promise((resolve, reject) => client.publish(topic, body, { qos }, (error) => (error ? reject(error) : resolve())));
}

async function publishAll(client, device, from, to) {
  const pending = [];
  for (let n = from; n < to; ++n) pending.push(publish(client, `devices/${device}/messages/events/n=${n}`, String(n)));
  await Promise.all(pending);
}

run({ devices: 3 }, async (gateway, hub) => {
  const device = gateway.info.devices[0].id;
  const client = await connect(gateway, 0);
  await publishAll(client, device, 0, 500);
  await waitFor('500 messages at the hub', () => hub.bodies(device).length === 500);
  console.log('online: 500 messages');

  await hub.stop();
  await publishAll(client, device, 500, 1000);
  const pending = publishAll(client, device, 1000, 1500);
  await gateway.crash('store');
  await pending;
  console.log('hub gone, store killed in mid-flow: 1000 more acknowledged');

  await hub.start();
  await waitFor('1500 messages at the hub', () => hub.bodies(device).length === 1500);
  assert.deepStrictEqual(hub.bodies(device), Array.from({ length: 1500 }, (_, n) => String(n)));
  for (const m of hub.messages) assert.strictEqual(m.properties.n, m.body);

  await publish(client, `devices/${device}/messages/events/`, 'qos 0', 0);
  await waitFor('the message of QoS 0', () => hub.bodies(device).includes('qos 0'));
  await client.endAsync();

  const other = gateway.info.devices[1];
  await assert.rejects(connect(gateway, 1, { password: 'wrong', reconnectPeriod: 0 }), (error) => error.code === 5);
  await assert.rejects(connect(gateway, 1, { ca: undefined, reconnectPeriod: 0 }), /certificate/);
  const intruder = await connect(gateway, 1, { reconnectPeriod: 0 });
  const closed = new Promise((resolve) => intruder.once('close', resolve));
  intruder.publish(`devices/${gateway.info.devices[2].id}/messages/events/`, 'forged', { qos: 1 });
  await closed;
  intruder.end(true);
  assert(!hub.messages.some((m) => m.body === 'forged'), `${other.id} must not speak for another device`);
  console.log('wrong password, unknown CA and a forged topic are refused');
});
