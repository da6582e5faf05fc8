// A device or a module as anybody would write it, in Node, that talks to its neighbours. A module is started from its
// environment, a device from CONNECTION_STRING. What it is told on stdin, a line each: "send OUTPUT JSON" (a device:
// "send - JSON"), "call DEVICE MODULE METHOD JSON" (MODULE "-": the device itself). What it says: "ready", "sent",
// "input NAME BODY", "inbox BODY", "method NAME JSON" (it answers 201 with what it got), "result STATUS JSON", "failed TEXT".
'use strict';

const fs = require('fs');
const readline = require('readline');
const { Client, ModuleClient, Message } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');

const connectionString = process.env.CONNECTION_STRING;

async function open() {
  if (!connectionString) return ModuleClient.fromEnvironment(Mqtt);
  const client = Client.fromConnectionString(connectionString, Mqtt);
  await client.setOptions({ ca: fs.readFileSync(process.env.CA_FILE, 'utf8') });
  return client;
}

function answer(request, response) {
  console.log(`method ${request.methodName} ${JSON.stringify(request.payload)}`);
  response.send(201, { got: request.payload }, () => {});
}

async function call(client, line) {
  const [, device, module, methodName, payload] = /^call (\S+) (\S+) (\S+) (.*)$/.exec(line);
  const parameters = { methodName, payload: JSON.parse(payload), responseTimeoutInSeconds: 5, connectTimeoutInSeconds: 0 };
  try {
    const result = await (module === '-' ? client.invokeMethod(device, parameters) : client.invokeMethod(device, module, parameters));
    console.log(`result ${result.status} ${JSON.stringify(result.payload)}`);
  } catch (error) {
    console.log(`failed ${error.message}`);
  }
}

async function main() {
  const client = await open();
  client.on('error', (error) => console.error(`SDK: ${error.message}`));
  await client.open();
  client.on('inputMessage', (input, message) => {
    client.complete(message, () => {});
    console.log(`input ${input} ${message.getData()}`);
  });
  client.on('message', (message) => {
    client.complete(message, () => {});
    console.log(`inbox ${message.getData()}`);
  });
  (connectionString ? client.onDeviceMethod : client.onMethod).call(client, 'echo', answer);
  console.log('ready');
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (line.startsWith('call ')) {
      await call(client, line);
      continue;
    }
    const [, output, body] = /^send (\S+) (.*)$/.exec(line);
    if (output === '-') await client.sendEvent(new Message(body));
    else await client.sendOutputEvent(output, new Message(body));
    console.log('sent');
  }
  await client.close();
}

main().then(() => process.exit(0), (error) => {
  console.error(`could not go on: ${error.message}`);
  process.exit(1);
});
