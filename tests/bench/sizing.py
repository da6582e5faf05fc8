#!/usr/bin/env python3
"""Measures what docs/sizing.md says: disk and memory for stored messages, memory for connected clients, each process for itself.

  tests/bench/sizing.py --bin-dir build/release/bin [--messages 1000000] [--clients 1000] [--only messages,clients]

Memory is PSS, so that what the four share counts once. Prints the tables of the page.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import os
import resource
import ssl
import struct
import sys
import tempfile
import time
import urllib.parse

from peers import HUB_HOSTNAME, PATIENCE_S, SERVICES, Counter, Holdfast, free_port, load, port_answers, wait_for

PAYLOAD = 256
CONNECTS_AT_ONCE = 50
FILTERS = ("devices/{}/messages/devicebound/#", "$iothub/methods/POST/#", "$iothub/twin/PATCH/properties/desired/#")


def disk_bytes(directory):
    """What the files take on the disk; files that go away meanwhile don't count."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.stat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


def settled(read, quiet_s=3, patience_s=PATIENCE_S):
    """The first value of `read` that stays within 2 % for `quiet_s`: after compaction, after allocations."""
    give_up = time.monotonic() + patience_s
    value, since = read(), time.monotonic()
    while time.monotonic() - since < quiet_s and time.monotonic() < give_up:
        time.sleep(0.2)
        now = read()
        if abs(now - value) > 0.02 * max(value, 1):
            value, since = now, time.monotonic()
    return read()


def memory(gateway):
    settled(lambda: sum(gateway.pss().values()))
    return gateway.pss()


def mb(number):
    return f"{number / 1e6:,.1f}"


def table(head, rows):
    print(f"\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def memory_row(what, pss, *more):
    return [what, *(mb(pss[service]) for service in SERVICES), mb(sum(pss.values())), *more]


def messages(options, directory):
    hub_port = free_port()
    gateway = Holdfast(options.bin_dir, directory, hub_port)
    data = os.path.join(gateway.directory, "data", "store")
    gateway.start()
    rows = []

    def note(what):
        rows.append(memory_row(what, memory(gateway), mb(settled(lambda: disk_bytes(data)))))
        print(f"  {rows[-1]}", file=sys.stderr, flush=True)

    load(options.bin_dir, gateway, "--count", 10, "--connections", 1)
    note("idle")
    for part in range(1, 3):
        load(options.bin_dir, gateway, "--count", options.messages, "--connections", 10, "--payload", PAYLOAD)
        note(f"{part * options.messages:,} stored")
    sink = Counter(options.bin_dir, "bench-sink", "--port", str(hub_port))
    sink.wait(2 * options.messages, 600)
    note("all delivered")
    # What was delivered leaves the disk when LevelDB merges its tables, so by what is written afterwards.
    load(options.bin_dir, gateway, "--count", options.messages, "--connections", 10, "--payload", PAYLOAD)
    sink.wait(3 * options.messages, 600)
    note(f"and {options.messages:,} more stored and delivered")
    sink.stop()
    gateway.stop()
    table(["", *SERVICES, "together", "disk"], rows)


def token(device, key):
    resource_name = urllib.parse.quote(f"{HUB_HOSTNAME}/devices/{device}", safe="")
    expiry = int(time.time()) + 7200
    signature = hmac.new(base64.b64decode(key), f"{resource_name}\n{expiry}".encode(), hashlib.sha256).digest()
    return f"SharedAccessSignature sr={resource_name}&sig={urllib.parse.quote(base64.b64encode(signature), safe='')}&se={expiry}"


def text(value):
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def packet(kind, body):
    length, size = b"", len(body)
    while True:
        size, digit = divmod(size, 128)
        length += bytes([digit | (0x80 if size else 0)])
        if not size:
            return bytes([kind]) + length + body


async def connect(gateway, tls, device, key, room):
    """A device's connection over TLS, with what an SDK subscribes to."""
    async with room:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.tls_port, ssl=tls, server_hostname="localhost")
        writer.write(packet(0x10, text("MQTT") + b"\x04\xc2" + struct.pack(">H", 1200) + text(device) +
                            text(f"{HUB_HOSTNAME}/{device}/?api-version=2021-04-12") + text(token(device, key))))
        answer = await reader.readexactly(4)
        if answer != b"\x20\x02\x00\x00":
            raise RuntimeError(f"CONNACK of {device}: {answer.hex()}")
    return reader, writer


async def subscribe(device, reader, writer, room):
    async with room:
        writer.write(packet(0x82, b"\x00\x01" + b"".join(text(f.format(device)) + b"\x01" for f in FILTERS)))
        await reader.readexactly(4 + len(FILTERS))


async def hold_clients(gateway, count, note):
    tls = ssl.create_default_context(cafile=gateway.tls_files[1])
    room = asyncio.Semaphore(CONNECTS_AT_ONCE)
    with open(gateway.devices_file) as f:
        devices = [line.split() for line in f][:count]
    connections = await asyncio.gather(*(connect(gateway, tls, device, key, room) for device, key in devices))
    await asyncio.to_thread(note, f"{count:,} connected")
    await asyncio.gather(*(subscribe(d, r, w, room) for (d, _), (r, w) in zip(devices, connections)))
    await asyncio.to_thread(note, f"{count:,} connected and subscribed")
    for _, writer in connections:
        writer.close()


def clients(options, directory):
    gateway = Holdfast(options.bin_dir, directory, devices=options.clients, tls=True)
    gateway.start()
    wait_for("the TLS port answers", lambda: port_answers(gateway.tls_port))
    load(options.bin_dir, gateway, "--count", 10, "--connections", 1)
    rows = []

    def note(what):
        rows.append(memory_row(what, memory(gateway)))
        print(f"  {rows[-1]}", file=sys.stderr, flush=True)

    note(f"nobody connected, {options.clients:,} identities")
    asyncio.run(hold_clients(gateway, options.clients, note))
    gateway.stop()
    table(["", *SERVICES, "together"], rows)


CASES = {"messages": messages, "clients": clients}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin-dir", required=True, help="folder with Holdfast's release binaries and the bench tools")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--clients", type=int, default=1_000, help="devices over TLS, 20,000 at most")
    parser.add_argument("--only", default=",".join(CASES), help=f"of {', '.join(CASES)}")
    options = parser.parse_args()
    options.bin_dir = os.path.abspath(options.bin_dir)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536) if hard != resource.RLIM_INFINITY else 65_536, hard))
    with tempfile.TemporaryDirectory(prefix="hfs-") as directory:
        for case in options.only.split(","):
            print(f"{case} …", file=sys.stderr, flush=True)
            CASES[case](options, directory)


if __name__ == "__main__":
    main()
