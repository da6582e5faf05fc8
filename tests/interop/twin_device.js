// A device that works with its twin, as anybody would write it, in Node. What it is told on stdin, a line each: "get",
// "report <json>". What it says: "ready", "twin <json>", "report taken", "report refused", "desired <json>".
'use strict';

const fs = require('fs');
const readline = require('readline');
const { Client } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');

const plain = (value) => JSON.parse(JSON.stringify(value));

async function main() {
  const client = Client.fromConnectionString(process.env.CONNECTION_STRING, Mqtt);
  await client.setOptions({ ca: fs.readFileSync(process.env.CA_FILE, 'utf8') });
  client.on('error', (error) => console.error(`SDK: ${error.message}`));
  await client.open();
  const twin = await client.getTwin();
  twin.on('properties.desired', (patch) => console.log(`desired ${JSON.stringify(plain(patch))}`));
  console.log('ready');
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (line === 'get') {
      await twin.get();
      const { desired } = twin.properties;
      const reported = plain(twin.properties.reported);
      console.log(`twin ${JSON.stringify({ desired: plain(desired), reported })}`);
    } else {
      await new Promise((resolve) => {
        twin.properties.reported.update(JSON.parse(line.slice('report '.length)), (error) => {
          console.log(error ? 'report refused' : 'report taken');
          resolve();
        });
      });
    }
  }
  await client.close();
}

main();
