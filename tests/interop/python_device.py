"""A device behind the gateway as anybody would write it: a connection string with GatewayHostName, and the CA to trust.

Sends a message for each number that it reads from stdin, and says when it was acknowledged. What is not acknowledged is sent again.
"""
import json
import os
import sys
import time

from azure.iot.device import IoTHubDeviceClient, Message
from azure.iot.device.exceptions import ClientError, OperationCancelled

ca = None
if "CA_FILE" in os.environ:
    with open(os.environ["CA_FILE"]) as file:
        ca = file.read()
client = IoTHubDeviceClient.create_from_connection_string(os.environ["CONNECTION_STRING"], server_verification_cert=ca)


def send(n):
    message = Message(json.dumps({"n": n}), message_id=f"m{n}", content_encoding="utf-8", content_type="application/json")
    message.correlation_id = "a/b&c"
    message.custom_properties["unit"] = "°C"
    message.custom_properties["line no"] = f"{n % 2}=x"
    while True:
        try:
            client.send_message(message)
            return
        except (ClientError, OperationCancelled) as error:
            print(f"not sent, again: {error!r}", file=sys.stderr, flush=True)
            time.sleep(0.2)


client.connect()
print("ready", flush=True)
client.on_connection_state_change = lambda: print("connected" if client.connected else "disconnected", flush=True)
for line in sys.stdin:
    n = int(line)
    send(n)
    print(f"acknowledged {n}", flush=True)
client.shutdown()
