// Unmodified IoT Edge modules, started from their environment and the workload API alone: online, then after everything was restarted with
// the hub away. argv[2] is the language of the module, "node" or "python". P1, P2, P4.
'use strict';

const assert = require('assert');
const fs = require('fs');
const path = require('path');
const { run, waitFor, Client, ownAddress, skipWithout } = require('./harness');

const EACH = 20;
const language = process.argv[2];
skipWithout(language, 'IoTHubModuleClient.create_from_edge_environment');

const address = ownAddress();

class Module extends Client {
  constructor(environment, stderr) {
    super(language, 'edge_module', environment, stderr);
  }

  // Returns when each was acknowledged.
  async send(from, to) {
    for (let n = from; n < to; ++n) this.tell(n);
    for (let n = from; n < to; ++n) await this.next(`acknowledged ${n}`);
  }
}

run({
  modules: 2,
  environment: { HOLDFAST_GATEWAY_HOSTNAME: address, HOLDFAST_ROUTER_MQTTS_ADDRESS: `${address}:8883` },
}, async (gateway, hub) => {
  const expected = (count) => Array.from({ length: count }, (_, n) => ({ n }));
  const [mod1, mod2] = gateway.info.modules.map((m) => m.environment);

  let module = new Module(mod1);
  await module.next('ready');
  await module.send(0, EACH);
  await waitFor('its messages are at the hub', () => hub.bodies('edge1').length === EACH);
  for (const message of hub.messages) {
    assert.strictEqual(message.module, 'mod1');
    assert.strictEqual(message.properties['$.on'], 'out1');
  }
  console.log(`online: ${EACH} messages through an output`);

  const impostor = new Module({ ...mod2, IOTEDGE_WORKLOADURI: mod1.IOTEDGE_WORKLOADURI }, 'ignore');
  await impostor.ended();
  assert.notStrictEqual(impostor.process.exitCode, 0);
  assert.deepStrictEqual(impostor.lines, []);
  assert.match(fs.readFileSync(path.join(gateway.dir, 'gateway.log'), 'utf8'), /refused module=mod1 asked_for=mod2/);
  console.log('a module that says to be another one on its own socket does not start');

  await module.stop();
  await hub.stop();
  await gateway.stop();
  await gateway.start();
  module = new Module(mod1);
  await module.next('ready');
  await module.send(EACH, 2 * EACH);
  console.log('hub gone, gateway and module restarted: the module starts and its messages are acknowledged');

  await gateway.crash('auth');
  await module.stop();
  module = new Module(mod1);
  await module.next('ready');
  await module.send(2 * EACH, 3 * EACH);
  console.log('auth killed: a new one has the sockets, the module starts again');

  await hub.start();
  await waitFor('all are at the hub', () => hub.bodies('edge1').length === 3 * EACH);
  assert.deepStrictEqual(hub.bodies('edge1').map((body) => JSON.parse(body)), expected(3 * EACH), 'every message, in the order in which it was sent');
  await module.stop();
});
