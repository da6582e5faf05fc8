// grpcurl on the sockets: health and reflection of every service, as an operator would ask. GRPCURL = its path.
'use strict';

const assert = require('assert');
const childProcess = require('child_process');
const fs = require('fs');
const path = require('path');
const { run } = require('./harness');

const GRPCURL = process.env.GRPCURL;
const EXPECTED = {
  store: ['holdfast.store.v1.Queues', 'holdfast.store.v1.KeyValue', 'holdfast.store.v1.StoreStatus'],
  auth: ['holdfast.auth.v1.Authentication', 'holdfast.auth.v1.Identities', 'holdfast.auth.v1.Certificates'],
  router: ['holdfast.router.v1.Sessions'],
  uplink: ['holdfast.uplink.v1.UplinkStatus'],
};

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
});
