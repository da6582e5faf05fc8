#!/usr/bin/env python3
"""Prints the tokens that sas_vectors.h holds, made with Python's hmac, so that the tests don't verify our code with itself."""
import base64
import hashlib
import hmac
import urllib.parse

DEVICE_PRIMARY = bytes(range(32))
DEVICE_SECONDARY = bytes(range(100, 132))
MODULE_PRIMARY = bytes(range(200, 232))


def token(sr, key, se, order="sr sig se", skn=None):
    digest = hmac.new(key, f"{sr}\n{se}".encode(), hashlib.sha256).digest()
    fields = {"sr": sr, "se": se, "sig": urllib.parse.quote(base64.b64encode(digest), safe="")}
    if skn is not None:
        fields["skn"] = skn
        order += " skn"
    return "SharedAccessSignature " + "&".join(f"{n}={fields[n]}" for n in order.split())


END = "1800003600"
VECTORS = {
    "kUpperHex": token("hub.example%2Fdevices%2Fdev1", DEVICE_PRIMARY, END),
    "kLowerHex": token("hub.example%2fdevices%2fdev1", DEVICE_PRIMARY, END),
    "kNotEncoded": token("hub.example/devices/dev1", DEVICE_PRIMARY, END),
    "kSecondary": token("hub.example%2Fdevices%2Fdev1", DEVICE_SECONDARY, END),
    "kGatewayOtherCase": token("GW.Example%2Fdevices%2FDEV1", DEVICE_PRIMARY, END),
    "kOtherHost": token("other.example%2Fdevices%2Fdev1", DEVICE_PRIMARY, END),
    "kOtherDevice": token("hub.example%2Fdevices%2Fdev2", DEVICE_PRIMARY, END),
    "kFourParts": token("hub.example%2Fdevices%2Fdev1%2Fmessages", DEVICE_PRIMARY, END),
    "kFraction": token("hub.example%2Fdevices%2Fdev1", DEVICE_PRIMARY, "1800003600.75"),
    "kPolicyOtherOrder": token("hub.example%2Fdevices%2Fdev1", DEVICE_PRIMARY, END, "se sig sr", "iothubowner"),
    "kEmptyPolicy": token("hub.example%2Fdevices%2Fdev1", DEVICE_PRIMARY, END, "sig se sr", ""),
    "kOddId": token("hub.example%2Fdevices%2Fa%2525b%252B%253F%27", DEVICE_PRIMARY, END),
    "kOddIdOnce": token("hub.example%2Fdevices%2Fa%25b%2B%3F%27", DEVICE_PRIMARY, END),
    "kModule": token("hub.example%2Fdevices%2Fdev1%2Fmodules%2Fmod1", MODULE_PRIMARY, END),
    "kModuleByDevice": token("hub.example%2Fdevices%2Fdev1%2Fmodules%2Fmod1", DEVICE_PRIMARY, END),
    "kDeviceByModule": token("hub.example%2Fdevices%2Fdev1", MODULE_PRIMARY, END),
}

if __name__ == "__main__":
    print("// Printed by sas_vectors.py: tokens made by software that is not ours. For tests.")
    print("#pragma once\n\nnamespace holdfast::iothub::vectors {\n")
    for name, text in VECTORS.items():
        print(f'inline constexpr char {name}[] =\n    "{text}";')
    print("\n}  // namespace holdfast::iothub::vectors")
