// Unmodified IoT Edge modules, started from their environment and the workload API alone: online, then after everything was restarted with
// the hub away. argv[2] is the language of the module, "node" or "python". P1, P2, P4.
'use strict';

const assert = require('assert');
const childProcess = require('child_process');
const fs = require('fs');
const path = require('path');
const readline = require('readline');
const { run, waitFor, exited } = require('./harness');

const NOT_RUN = 77; // ctest's word for skipped
const EACH = 20;
const python = path.join(process.env.HOLDFAST_VENV || '/nonexistent', 'bin', 'python3');
const commands = {
  node: [process.execPath, path.join(__dirname, 'edge_module.js')],
  python: [python, path.join(__dirname, 'edge_module.py')],
};
const language = process.argv[2];
if (language === 'python' && !fs.existsSync(path.join(process.env.HOLDFAST_VENV || '/nonexistent', 'complete'))) {
  console.log('NOT RUN: IoTHubModuleClient.create_from_edge_environment: azure-iot-device for Python could not be installed');
  process.exit(NOT_RUN);
}

// The SDKs of modules know no other port than 8883, so the gateway gets an address of its own.
const octet = () => 1 + Math.floor(Math.random() * 253);
const address = `127.${octet()}.${octet()}.${octet()}`;

class Module {
  constructor(environment, stderr = 'inherit') {
    const [program, ...args] = commands[language];
    this.process = childProcess.spawn(program, args, {
      stdio: ['pipe', 'pipe', stderr],
      env: { PATH: process.env.PATH, NODE_PATH: process.env.NODE_PATH, ...environment },
    });
    this.lines = [];
    readline.createInterface({ input: this.process.stdout }).on('line', (line) => this.lines.push(line));
  }

  async says(line) {
    await waitFor(`the module says "${line}"`, () => this.lines.includes(line) || exited(this.process));
    assert(this.lines.includes(line), `the module ended before it said "${line}"`);
  }

  // Returns when each was acknowledged.
  async send(from, to) {
    for (let n = from; n < to; ++n) this.process.stdin.write(`${n}\n`);
    for (let n = from; n < to; ++n) await this.says(`acknowledged ${n}`);
  }

  async stop() {
    this.process.stdin.end();
    await this.ended();
    assert.strictEqual(this.process.exitCode, 0);
  }

  async ended() {
    await waitFor('the module ends', () => exited(this.process));
  }
}

run({
  modules: 2,
  environment: { HOLDFAST_GATEWAY_HOSTNAME: address, HOLDFAST_ROUTER_MQTTS_ADDRESS: `${address}:8883` },
}, async (gateway, hub) => {
  const expected = (count) => Array.from({ length: count }, (_, n) => ({ n }));
  const [mod1, mod2] = gateway.info.modules.map((m) => m.environment);

  let module = new Module(mod1);
  await module.says('ready');
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
  await module.says('ready');
  await module.send(EACH, 2 * EACH);
  console.log('hub gone, gateway and module restarted: the module starts and its messages are acknowledged');

  await gateway.crash('auth');
  await module.stop();
  module = new Module(mod1);
  await module.says('ready');
  await module.send(2 * EACH, 3 * EACH);
  console.log('auth killed: a new one has the sockets, the module starts again');

  await hub.start();
  await waitFor('all are at the hub', () => hub.bodies('edge1').length === 3 * EACH);
  assert.deepStrictEqual(hub.bodies('edge1').map((body) => JSON.parse(body)), expected(3 * EACH), 'every message, in the order in which it was sent');
  await module.stop();
});
