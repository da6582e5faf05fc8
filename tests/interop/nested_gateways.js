// An unmodified device SDK at a gateway that is the child of a gateway: hubsim ← edge ← lower ← device. The child is made when its parent has synced already. Cut at
// either link, with restarts.
// P1, P2, P4.
'use strict';

const fs = require('fs');
const path = require('path');
const { Message } = require('azure-iot-device');
const { runHub } = require('./hubsim_harness');
const { EdgeGateway, runBehind, expectAll } = require('./edge_gateway');
const { waitFor } = require('./harness');

const EACH = 50;

async function send(client, from) {
  await Promise.all(Array.from({ length: EACH }, (_, n) => client.sendEvent(new Message(JSON.stringify({ n: from + n })))));
}

runHub((hub) => runBehind(hub, [], async (edge, children, registry, edgeDevice) => {
  await edge.start();
  await waitFor('the parent has synced', () => edge.identities().length > 0);
  const lowerDevice = (await registry.create({ deviceId: 'lower', capabilities: { iotEdge: true }, parentScopes: [edgeDevice.deviceScope] })).responseBody;
  const leaf = (await registry.create({ deviceId: 'leaf', deviceScope: lowerDevice.deviceScope })).responseBody;
  const edgeHub = (await registry.getModule('lower', '$edgeHub')).responseBody;
  const dir = path.join(hub.dir, 'lower');
  fs.mkdirSync(dir);
  const lower = new EdgeGateway(dir, edgeHub, edge);
  try {
    await lower.start();
    await waitFor('the child gateway learns of the device from its parent', () => lower.identities().includes('leaf'));
    let client = await lower.connect(leaf);
    await send(client, 0);
    await expectAll(hub, leaf, EACH);
    console.log('online: through both gateways to the hub');

    await hub.control('POST', '/faults', { kind: 'refuse' });
    await send(client, EACH);
    console.log('hub cut off: acknowledged all the same');
    await client.close();
    await edge.stop();
    await lower.stop();
    await lower.start();
    client = await lower.connect(leaf);
    await send(client, 2 * EACH);
    console.log('parent gone, child restarted: the device is let in, its messages are held');

    await edge.start();
    await send(client, 3 * EACH);
    await hub.control('DELETE', '/faults');
    await expectAll(hub, leaf, 4 * EACH);
    console.log('parent and hub back: all arrived, in order');
    await client.close();
    await lower.stop();
  } catch (error) {
    console.error(fs.readFileSync(path.join(dir, 'gateway.log'), 'utf8').slice(-4000));
    lower.process.kill('SIGTERM');
    throw error;
  }
}));
