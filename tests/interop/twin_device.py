"""A device that works with its twin, as anybody would write it, in Python; the same as twin_device.js."""
import json
import os
import sys

from azure.iot.device import IoTHubDeviceClient

with open(os.environ["CA_FILE"], encoding="utf-8") as file:
    ca = file.read()
client = IoTHubDeviceClient.create_from_connection_string(os.environ["CONNECTION_STRING"], server_verification_cert=ca)
client.on_twin_desired_properties_patch_received = lambda patch: print("desired " + json.dumps(patch), flush=True)
client.connect()
client.get_twin()
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "get":
        print("twin " + json.dumps(client.get_twin()), flush=True)
    else:
        try:
            client.patch_twin_reported_properties(json.loads(line[len("report "):]))
            print("report taken", flush=True)
        except Exception:  # pylint: disable=broad-except
            print("report refused", flush=True)
client.shutdown()
