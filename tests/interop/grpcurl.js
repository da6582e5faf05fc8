// grpcurl on the sockets: health and reflection of every service, as an operator would ask, and what docs/debugging.md shows.
// GRPCURL = its path.
'use strict';

const assert = require('assert');
const childProcess = require('child_process');
const fs = require('fs');
const path = require('path');
const { run, freePort } = require('./harness');
const { runPage } = require('./page');

const GRPCURL = process.env.GRPCURL;
const EXPECTED = {
  store: ['holdfast.store.v1.Queues', 'holdfast.store.v1.KeyValue', 'holdfast.store.v1.StoreStatus'],
  auth: ['holdfast.auth.v1.Authentication', 'holdfast.auth.v1.Identities', 'holdfast.auth.v1.Certificates'],
  router: ['holdfast.router.v1.Sessions'],
  uplink: ['holdfast.uplink.v1.UplinkStatus', 'holdfast.uplink.v1.LinkControl'],
};

// In a gateway of its own, below the test's folder, on ports that are free.
async function tour(dir) {
  const page = path.join(__dirname, '..', '..', 'docs', 'debugging.md');
  const folder = path.join(dir, 'tour');
  const substitutes = [
    ['$PWD/build/release/bin', process.env.HOLDFAST_BIN_DIR], ['$PWD/build/tools', path.dirname(GRPCURL)],
    ['/tmp/gw', folder], ['1883', String(await freePort())], ['1884', String(await freePort())],
  ];
  try {
    console.log(`${page}: ${await runPage(page, substitutes, process.env)} commands do what it shows`);
  } catch (error) {
    if (fs.existsSync(`${folder}.log`)) console.error(fs.readFileSync(`${folder}.log`, 'utf8').slice(-6000));
    throw error;
  }
}

run({ devices: 1 }, async (gateway) => {
  for (const [service, names] of Object.entries(EXPECTED)) {
    const socket = path.join(gateway.info.run_dir, service, '0.sock');
    assert.strictEqual(fs.statSync(socket).mode & 0o777, 0o660);
    const ask = (...rest) => childProcess.execFileSync(GRPCURL, ['-plaintext', '-unix', ...rest], { encoding: 'utf8' });
    const listed = ask(socket, 'list').split('\n');
    for (const name of [...names, 'grpc.health.v1.Health', 'grpc.channelz.v1.Channelz']) assert(listed.includes(name), `${service} must list ${name}`);
    for (const name of ['', ...names]) {
      const health = JSON.parse(ask('-d', JSON.stringify({ service: name }), socket, 'grpc.health.v1.Health/Check'));
      assert.strictEqual(health.status, 'SERVING', `${service} "${name}"`);
      if (name) assert(ask(socket, 'describe', name).includes('rpc '));
    }
  }
  const router = path.join(gateway.info.run_dir, 'router', '0.sock');
  const status = JSON.parse(childProcess.execFileSync(GRPCURL,
    ['-plaintext', '-unix', router, 'holdfast.router.v1.Sessions/GetRouterStatus']).toString());
  // grpcurl prints the names of the .proto or their camelCase forms, by version.
  assert.strictEqual(status.mqtts_port ?? status.mqttsPort, gateway.info.mqtts_port);
  await tour(gateway.dir);
});
