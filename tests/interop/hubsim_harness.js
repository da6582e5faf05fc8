// What the scripts about hubsim itself share: certificates by openssl, one holdfast-hubsim, its control API, and the SDKs of devices
// and services pointed at it. Needs HOLDFAST_BIN_DIR; node_modules by NODE_PATH.
//
// The SDKs know one port each, 8883 and 443. A device's takes another from GatewayHostName, which is where a device connects
// while its tokens and user name stay the hub's. The service's has no such option: its HTTPS agent is told where the hub is.
'use strict';

const assert = require('assert');
const childProcess = require('child_process');
const fs = require('fs');
const http = require('http');
const https = require('https');
const os = require('os');
const path = require('path');
const readline = require('readline');
const { Client: DeviceClient, ModuleClient, X509AuthenticationProvider } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { Client: ServiceClient, Registry } = require('azure-iothub');
const { waitFor, exited } = require('./harness');

const HOSTNAME = 'hub.test';

function openssl(dir, ...args) {
  childProcess.execFileSync('openssl', args, { cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] });
}

// <name>.pem and <name>.key: signed by `ca`, or by itself.
function makeCertificate(dir, name, subject, ca, extensions = []) {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${name}.key`];
  const more = extensions.flatMap((extension) => ['-addext', extension]);
  const signer = ca ? ['-CA', `${ca}.pem`, '-CAkey', `${ca}.key`] : [];
  openssl(dir, 'req', '-x509', ...key, ...signer, '-out', `${name}.pem`, '-days', '2', '-subj', `/CN=${subject}`, ...more);
}

class Hub {
  constructor(dir) {
    this.dir = dir;
  }

  async start() {
    makeCertificate(this.dir, 'server', 'localhost', null, ['subjectAltName=DNS:localhost']);
    makeCertificate(this.dir, 'device_ca', 'device CA', null, ['keyUsage=critical,keyCertSign']);
    this.log = fs.openSync(path.join(this.dir, 'hubsim.log'), 'a');
    this.process = childProcess.spawn(path.join(process.env.HOLDFAST_BIN_DIR, 'holdfast-hubsim'),
      ['--json', '--hostname', HOSTNAME, '--cert', 'server.pem', '--key', 'server.key', '--device-ca', 'device_ca.pem'],
      { cwd: this.dir, stdio: ['ignore', 'pipe', this.log] });
    const lines = readline.createInterface({ input: this.process.stdout });
    this.info = JSON.parse(await new Promise((resolve, reject) => {
      lines.once('line', resolve);
      this.process.once('exit', (code) => reject(new Error(`holdfast-hubsim ended with code ${code}`)));
    }));
    this.ca = fs.readFileSync(path.join(this.dir, 'server.pem'), 'utf8');
  }

  async stop() {
    this.process.kill('SIGTERM');
    await waitFor('holdfast-hubsim ends', () => exited(this.process));
    assert.strictEqual(this.process.exitCode, 0);
  }

  // The control API: the parsed answer.
  async control(method, target, body) {
    const { status, text } = await new Promise((resolve, reject) => {
      const request = http.request(this.info.control_url + target, { method }, (response) => {
        let received = '';
        response.on('data', (data) => { received += data; });
        response.on('end', () => resolve({ status: response.statusCode, text: received }));
      });
      request.on('error', reject);
      request.end(body === undefined ? undefined : JSON.stringify(body));
    });
    assert(status < 300, `${method} ${target}: ${status} ${text}`);
    return target.startsWith('/events') ? text.split('\n').filter(Boolean).map((line) => JSON.parse(line)) : JSON.parse(text || 'null');
  }

  service(client) {
    const agent = new https.Agent({ keepAlive: false, host: 'localhost', port: Number(new URL(this.info.rest_url).port), servername: 'localhost', ca: this.ca });
    client._restApiClient.setOptions({ http: { agent } });
    return client;
  }

  registry() {
    return this.service(Registry.fromConnectionString(this.info.service_connection_string));
  }

  serviceClient() {
    return this.service(ServiceClient.fromConnectionString(this.info.service_connection_string));
  }

  connectionString(identity, credential) {
    const module = identity.moduleId ? `;ModuleId=${identity.moduleId}` : '';
    return `HostName=${HOSTNAME};DeviceId=${identity.deviceId}${module};${credential};GatewayHostName=localhost:${this.info.mqtts_port}`;
  }

  // An open SDK client of an identity as the registry gave it.
  async connect(identity) {
    const Client = identity.moduleId ? ModuleClient : DeviceClient;
    const key = identity.authentication.symmetricKey.primaryKey;
    const client = Client.fromConnectionString(this.connectionString(identity, `SharedAccessKey=${key}`), Mqtt);
    await client.setOptions({ ca: this.ca });
    client.on('error', () => {});
    await client.open();
    return client;
  }

  // The same with a client certificate from makeCertificate. With one, a connection string's GatewayHostName is not heeded; the
  // credentials' is.
  async connectX509(deviceId, name) {
    const read = (file) => fs.readFileSync(path.join(this.dir, file), 'utf8');
    const provider = new X509AuthenticationProvider({
      host: HOSTNAME, deviceId, gatewayHostName: `localhost:${this.info.mqtts_port}`, x509: { cert: read(`${name}.pem`), key: read(`${name}.key`) },
    });
    const client = DeviceClient.fromAuthenticationProvider(provider, Mqtt);
    await client.setOptions({ ca: this.ca });
    client.on('error', () => {});
    await client.open();
    return client;
  }
}

// Runs `test(hub)`; exits 1 with the hub's log if it throws.
async function runHub(test) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'hf-'));
  const hub = new Hub(dir);
  let failure = null;
  try {
    await hub.start();
    await test(hub);
    await hub.stop();
  } catch (error) {
    failure = error;
  }
  if (hub.process && !exited(hub.process)) hub.process.kill('SIGKILL');
  if (failure) {
    console.error(failure);
    console.error(fs.readFileSync(path.join(dir, 'hubsim.log'), 'utf8').slice(-6000));
  }
  fs.rmSync(dir, { recursive: true, force: true });
  process.exit(failure ? 1 : 0);
}

module.exports = { runHub, makeCertificate };
