"""A device or a module as anybody would write it, in Python, that talks to its neighbours; the same as local_client.js."""
import json
import os
import sys

from azure.iot.device import IoTHubDeviceClient, IoTHubModuleClient, Message, MethodResponse


def say(line):
    print(line, flush=True)


def create():
    connection_string = os.environ.get("CONNECTION_STRING")
    if not connection_string:
        return IoTHubModuleClient.create_from_edge_environment()
    with open(os.environ["CA_FILE"], encoding="utf-8") as file:
        ca = file.read()
    return IoTHubDeviceClient.create_from_connection_string(connection_string, server_verification_cert=ca)


def on_message(message):
    body = message.data.decode()
    say(f"inbox {body}" if is_device else f"input {message.input_name} {body}")


def on_method(request):
    say(f"method {request.name} {json.dumps(request.payload)}")
    client.send_method_response(MethodResponse.create_from_method_request(request, 201, {"got": request.payload}))


def call(line):
    _, device, module, name, payload = line.split(" ", 4)
    parameters = {"methodName": name, "payload": json.loads(payload), "responseTimeoutInSeconds": 5, "connectTimeoutInSeconds": 0}
    try:
        target = (device,) if module == "-" else (device, module)
        result = client.invoke_method(parameters, *target)
        say(f"result {result['status']} {json.dumps(result['payload'])}")
    except Exception as error:  # pylint: disable=broad-except
        say(f"failed {error} {error.__cause__}".replace("\n", " "))


client = create()
is_device = isinstance(client, IoTHubDeviceClient)
client.on_message_received = on_message
client.on_method_request_received = on_method
client.connect()
say("ready")
for line in sys.stdin:
    line = line.rstrip("\n")
    if line.startswith("call "):
        call(line)
        continue
    _, output, body = line.split(" ", 2)
    if output == "-":
        client.send_message(Message(body))
    else:
        client.send_message_to_output(Message(body), output)
    say("sent")
client.shutdown()
