// A module of IoT Edge as anybody would write it: it knows nothing but its environment. Sends a message through output "out1" for each
// number that it reads from stdin, and says when the message was acknowledged.
'use strict';

const readline = require('readline');
const { ModuleClient, Message } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');

async function main() {
  const client = await ModuleClient.fromEnvironment(Mqtt);
  client.on('error', (error) => console.error(`SDK: ${error.message}`));
  await client.open();
  console.log('ready');
  for await (const n of readline.createInterface({ input: process.stdin })) {
    await client.sendOutputEvent('out1', new Message(JSON.stringify({ n: Number(n) })));
    console.log(`acknowledged ${n}`);
  }
  await client.close();
}

main().then(() => process.exit(0), (error) => {
  console.error(`the module could not start: ${error.message}`);
  process.exit(1);
});
