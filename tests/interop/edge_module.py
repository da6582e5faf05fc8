"""A module of IoT Edge as anybody would write it, in Python; the same as edge_module.js."""
import json
import sys

from azure.iot.device import IoTHubModuleClient, Message

client = IoTHubModuleClient.create_from_edge_environment()
client.connect()
print("ready", flush=True)
for line in sys.stdin:
    n = int(line)
    client.send_message_to_output(Message(json.dumps({"n": n})), "out1")
    print(f"acknowledged {n}", flush=True)
client.shutdown()
