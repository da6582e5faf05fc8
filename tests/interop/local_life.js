// Unmodified device and module SDKs that talk to each other through the gateway: outputs, routes, inputs, an inbox and direct
// methods, online and after a restart with the hub away. argv[2] is the SDK's language, "node" or "python". P1, P4, P8.
'use strict';

const assert = require('assert');
const fs = require('fs');
const os = require('os');
const path = require('path');
const { run, waitFor, exited, Client, ownAddress, skipWithout } = require('./harness');

const EACH = 20;
const language = process.argv[2];
skipWithout(language, 'messages and methods between modules and devices');

// The SDKs of modules know no other ports than 8883 and 443, so the gateway gets an address of its own.
const address = ownAddress();
const settings = {
  modulesContent: {
    $edgeHub: {
      'properties.desired': {
        schemaVersion: '1.1',
        routes: {
          pipeline: 'FROM /messages/modules/mod1/outputs/out1 INTO BrokeredEndpoint("/modules/mod2/inputs/in1")',
          children: 'FROM /messages/* WHERE NOT IS_DEFINED($connectionModuleId) INTO BrokeredEndpoint("/modules/mod2/inputs/children")',
          inbox: 'FROM /messages/modules/mod2/outputs/orders INTO BrokeredEndpoint("/devices/dev1/inbox")',
          up: 'FROM /messages/modules/mod1/outputs/up INTO $upstream',
        },
        storeAndForwardConfiguration: { timeToLiveSecs: 7200 },
      },
    },
  },
};
const settingsDir = fs.mkdtempSync(path.join(os.tmpdir(), 'hf-settings-'));
const settingsFile = path.join(settingsDir, 'deployment.json');
fs.writeFileSync(settingsFile, JSON.stringify(settings));
process.on('exit', () => fs.rmSync(settingsDir, { recursive: true, force: true }));

const bodies = (from, to) => Array.from({ length: to - from }, (_, n) => JSON.stringify({ n: from + n }));

// First copies of what arrived under `word`, once `count` have. The SDK for Python runs its handlers on four threads, where one message
// may overtake another: their order is looked at with Node alone.
async function received(client, word, count) {
  const distinct = () => [...new Set(client.all(word))];
  await waitFor(`${count} x "${word}"`, () => distinct().length >= count || exited(client.process));
  return language === 'python' ? distinct().sort((a, b) => JSON.parse(a).n - JSON.parse(b).n) : distinct();
}

async function send(client, output, from, to) {
  for (const body of bodies(from, to)) client.tell(`send ${output} ${body}`);
  for (let n = from; n < to; ++n) await client.next('sent');
}

// Everybody starts, talks to everybody, and stops. `from`: the number of the first message.
async function talk(gateway, from) {
  const [mod1, mod2] = gateway.info.modules.map((m) => new Client(language, 'local_client', m.environment));
  const device = new Client(language, 'local_client', {
    CA_FILE: gateway.info.ca_file,
    CONNECTION_STRING: gateway.info.devices[0].connection_string.replace(/GatewayHostName=[^;]*/, `GatewayHostName=${address}`),
  });
  for (const client of [mod1, mod2, device]) await client.next('ready');

  const to = from + EACH;
  await send(mod1, 'out1', from, to);
  assert.deepStrictEqual(await received(mod2, 'input in1', EACH), bodies(from, to));
  await send(device, '-', from, to);
  assert.deepStrictEqual(await received(mod2, 'input children', EACH), bodies(from, to));
  await send(mod2, 'orders', from, to);
  assert.deepStrictEqual(await received(device, 'inbox', EACH), bodies(from, to));
  await send(mod1, 'up', from, to);

  const { device_id: own } = gateway.info.modules[0];
  const payload = JSON.stringify({ on: true, text: 'grün', list: [1, 2.5, null] });
  for (const [target, name] of [[mod2, `${own} mod2`], [device, `${gateway.info.devices[0].id} -`]]) {
    const result = await mod1.ask(`call ${name} echo ${payload}`, 'result');
    assert.match(result, /^201 /);
    assert.deepStrictEqual(JSON.parse(result.slice(4)), { got: JSON.parse(payload) });
    assert.deepStrictEqual(JSON.parse((await target.next('method echo'))), JSON.parse(payload));
  }
  assert.match(await mod1.ask(`call ${own} nobody echo null`, 'failed'), /404|not found|not connected|NotFound/i);
  return { mod1, mod2, device };
}

run({
  devices: 1,
  modules: 2,
  environment: {
    HOLDFAST_GATEWAY_HOSTNAME: address,
    HOLDFAST_ROUTER_MQTTS_ADDRESS: `${address}:8883`,
    HOLDFAST_ROUTER_HTTPS_ADDRESS: `${address}:443`,
    HOLDFAST_ROUTER_SETTINGS_FILE: settingsFile,
  },
}, async (gateway, hub) => {
  let clients = await talk(gateway, 0);
  await waitFor('what is for the hub is there', () => hub.bodies('edge1').length === EACH);
  assert.deepStrictEqual(hub.bodies(gateway.info.devices[0].id), [], 'no route leads from devices to the hub');
  for (const client of Object.values(clients)) await client.stop();
  console.log('online: output to input, device to module, module to inbox, methods of module and device');

  await hub.stop();
  await gateway.stop();
  await gateway.start();
  clients = await talk(gateway, EACH);
  console.log('hub away, gateway and clients restarted: the same again');

  // What is for a module that is not there waits for it.
  await clients.mod2.kill();
  await send(clients.mod1, 'out1', 2 * EACH, 3 * EACH);
  await gateway.crash('router');
  const mod2 = new Client(language, 'local_client', gateway.info.modules[1].environment);
  await mod2.next('ready');
  // Before them may come what the one that was killed had not acknowledged.
  const expected = bodies(2 * EACH, 3 * EACH);
  const late = async () => (await received(mod2, 'input in1', 0)).filter((body) => expected.includes(body));
  await waitFor('what was sent meanwhile', async () => (await late()).length === EACH);
  assert.deepStrictEqual(await late(), expected);
  console.log('module and router killed: its messages waited for it');
  await mod2.stop();
  for (const client of [clients.mod1, clients.device]) await client.kill();

  await hub.start();
  await waitFor('all is at the hub', () => hub.bodies('edge1').length === 2 * EACH);
  assert.deepStrictEqual(hub.bodies('edge1'), bodies(0, 2 * EACH));
});
