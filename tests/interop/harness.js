// What the interop scripts share: a gateway by `holdfast dev`, a mosquitto as its hub, and a subscriber there that writes everything
// down. Needs HOLDFAST_BIN_DIR; node_modules by NODE_PATH.
'use strict';

const assert = require('assert');
const childProcess = require('child_process');
const fs = require('fs');
const net = require('net');
const os = require('os');
const path = require('path');
const readline = require('readline');
const mqtt = require('mqtt');

const BIN_DIR = process.env.HOLDFAST_BIN_DIR;
const PATIENCE_MS = 60_000;

// Asks until `condition` (may be async) is true; throws `what` after PATIENCE_MS.
async function waitFor(what, condition, timeoutMs = PATIENCE_MS) {
  const giveUp = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > giveUp) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function portAnswers(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('connect', () => { socket.destroy(); resolve(true); });
    socket.on('error', () => resolve(false));
  });
}

function exited(child) {
  return child.exitCode !== null || child.signalCode !== null;
}

// A property bag as an object; the hub's view of what a device attached.
function parseBag(bag) {
  const properties = {};
  for (const pair of bag.split('&').filter((p) => p !== '')) {
    const at = pair.indexOf('=');
    const key = decodeURIComponent(at < 0 ? pair : pair.slice(0, at));
    properties[key] = at < 0 ? null : decodeURIComponent(pair.slice(at + 1));
  }
  return properties;
}

// mosquitto, and a client of it with a persistent session that records.
class Hub {
  constructor(dir, port) {
    this.dir = dir;
    this.port = port;
    this.messages = []; // {topic, device, module, properties, body}
  }

  async start() {
    const config = path.join(this.dir, 'mosquitto.conf');
    fs.chmodSync(this.dir, 0o777);
    fs.writeFileSync(config, `listener ${this.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n` +
      `persistence true\npersistence_location ${this.dir}/\nautosave_interval 0\nlog_type error\n`);
    const binary = fs.existsSync('/usr/sbin/mosquitto') ? '/usr/sbin/mosquitto' : 'mosquitto';
    this.process = childProcess.spawn(binary, ['-c', config], { stdio: 'inherit' });
    await waitFor('mosquitto answers', () => portAnswers(this.port));
    if (this.client) return;
    this.client = mqtt.connect(`mqtt://127.0.0.1:${this.port}`, { clientId: 'recorder', clean: false, reconnectPeriod: 50 });
    this.client.on('error', () => {});
    this.client.on('message', (topic, payload) => this.record(topic, payload));
    await new Promise((resolve, reject) => {
      this.client.subscribe('devices/#', { qos: 1 }, (error) => (error ? reject(error) : resolve()));
    });
  }

  record(topic, payload) {
    const match = /^devices\/([^/]+)(?:\/modules\/([^/]+))?\/messages\/events\/(.*)$/.exec(topic);
    assert(match, `unexpected topic at the hub: ${topic}`);
    this.messages.push({ topic, device: match[1], module: match[2], properties: parseBag(match[3]), body: payload.toString() });
  }

  // First copies of the bodies of one device, in the order of arrival.
  bodies(device) {
    return [...new Set(this.messages.filter((m) => m.device === device).map((m) => m.body))];
  }

  async stop() {
    this.process.kill('SIGTERM');
    await waitFor('mosquitto ends', () => exited(this.process));
  }
}

class Gateway {
  constructor(dir, hub, devices) {
    this.dir = dir;
    this.upstream = hub && `mqtt://127.0.0.1:${hub.port}`;
    this.devices = devices;
    this.modules = 0;
    this.environment = {}; // for `holdfast dev` and its services
  }

  async start() {
    const log = fs.openSync(path.join(this.dir, 'gateway.log'), 'a');
    this.process = childProcess.spawn(path.join(BIN_DIR, 'holdfast'),
      ['dev', '--json', '--dir', path.join(this.dir, 'gateway'), '--upstream', this.upstream, '--devices', String(this.devices),
        '--modules', String(this.modules)],
      { stdio: ['ignore', 'pipe', log], env: { ...process.env, ...this.environment } });
    const lines = readline.createInterface({ input: this.process.stdout });
    const line = await new Promise((resolve, reject) => {
      lines.once('line', resolve);
      this.process.once('exit', (code) => reject(new Error(`holdfast dev ended with code ${code}`)));
      setTimeout(() => reject(new Error('holdfast dev did not say that it is up')), 2 * PATIENCE_MS).unref();
    });
    this.info = JSON.parse(line);
    this.ca = fs.readFileSync(this.info.ca_file, 'utf8');
  }

  // The SDK takes the port of the gateway from its host name, as it would a standard one.
  connectionString(index) {
    return this.info.devices[index].connection_string.replace('GatewayHostName=localhost', `GatewayHostName=localhost:${this.info.mqtts_port}`);
  }

  pid(service) {
    return JSON.parse(fs.readFileSync(path.join(this.dir, 'gateway', 'dev.json'), 'utf8')).pids[service];
  }

  // kill -9; `holdfast dev` starts it again. Returns when it has.
  async crash(service) {
    const before = this.pid(service);
    process.kill(before, 'SIGKILL');
    await waitFor(`${service} is started again`, () => this.pid(service) !== before);
  }

  async stop() {
    this.process.kill('SIGINT');
    await waitFor('holdfast dev ends', () => exited(this.process));
    assert.strictEqual(this.process.exitCode, 0);
  }
}

const NOT_RUN = 77; // ctest's word for skipped
const venv = process.env.HOLDFAST_VENV || '/nonexistent';
const programs = {
  node: (script) => [process.execPath, path.join(__dirname, `${script}.js`)],
  python: (script) => [path.join(venv, 'bin', 'python3'), path.join(__dirname, `${script}.py`)],
};

// Ends this test as skipped, and says what was not run, if the SDK for `language` is not there.
function skipWithout(language, what) {
  if (language !== 'python' || fs.existsSync(path.join(venv, 'complete'))) return;
  console.log(`NOT RUN: ${what}: azure-iot-device for Python could not be installed`);
  process.exit(NOT_RUN);
}

// SDKs of modules, and those for Python, know no other ports than 8883 and 443: an address of its own for a gateway that has those.
function ownAddress() {
  const octet = () => 1 + Math.floor(Math.random() * 253);
  return `127.${octet()}.${octet()}.${octet()}`;
}

// Software of a device or module, a process of its own: `script` in `language` ("node", "python"). It is told a line each on its stdin
// and says a line each on its stdout, the first word being what it is about.
class Client {
  constructor(language, script, environment, stderr = 'inherit') {
    const [program, ...args] = programs[language](script);
    this.process = childProcess.spawn(program, args, {
      stdio: ['pipe', 'pipe', stderr],
      env: { PATH: process.env.PATH, NODE_PATH: process.env.NODE_PATH, ...environment },
    });
    this.lines = [];
    readline.createInterface({ input: this.process.stdout }).on('line', (line) => this.lines.push(line));
  }

  tell(line) {
    this.process.stdin.write(`${line}\n`);
  }

  // The next line that begins with `words`, taken away; what stands behind them.
  async next(words) {
    const find = () => this.lines.findIndex((line) => line === words || line.startsWith(`${words} `));
    await waitFor(`it says "${words}"; it said ${JSON.stringify(this.lines)}`, () => find() >= 0 || exited(this.process));
    assert(find() >= 0, `it ended before it said "${words}"; it said ${JSON.stringify(this.lines)}`);
    return this.lines.splice(find(), 1)[0].slice(words.length + 1);
  }

  async ask(line, answer) {
    this.tell(line);
    return this.next(answer);
  }

  // What stands behind `words` in each line so far that begins with them.
  all(words) {
    return this.lines.filter((line) => line.startsWith(`${words} `)).map((line) => line.slice(words.length + 1));
  }

  async ended() {
    await waitFor('it ends', () => exited(this.process));
  }

  async stop() {
    this.process.stdin.end();
    await this.ended();
    assert.strictEqual(this.process.exitCode, 0);
  }

  async kill() {
    this.process.kill('SIGKILL');
    await this.ended();
  }
}

// Runs `test(gateway, hub)` with both up, in a directory that is gone afterwards; exits 1 with the gateway's log if it throws.
async function run(options, test) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'hf-'));
  fs.chmodSync(dir, 0o755);
  fs.mkdirSync(path.join(dir, 'hub'));
  const hub = new Hub(path.join(dir, 'hub'), await freePort());
  const gateway = new Gateway(dir, hub, options.devices || 1);
  gateway.modules = options.modules || 0;
  gateway.environment = options.environment || {};
  let failure = null;
  try {
    await hub.start();
    await gateway.start();
    await test(gateway, hub);
    await gateway.stop();
  } catch (error) {
    failure = error;
  }
  for (const child of [gateway.process, hub.process]) {
    if (child && !exited(child)) child.kill(child === gateway.process ? 'SIGTERM' : 'SIGKILL');
  }
  if (gateway.process) await waitFor('the gateway ends', () => exited(gateway.process)).catch(() => {});
  if (failure) {
    console.error(failure);
    console.error(fs.readFileSync(path.join(dir, 'gateway.log'), 'utf8').slice(-6000));
  }
  fs.rmSync(dir, { recursive: true, force: true });
  process.exit(failure ? 1 : 0);
}

module.exports = { run, freePort, Gateway, Client, ownAddress, skipWithout, waitFor, parseBag, exited };
