#!/usr/bin/env python3
"""Measures Holdfast beside mosquitto in the same run, alternating: see docs/benchmarks.md for what each line means.

  tests/bench/run.py --bin-dir build/release/bin [--quick] [--json results.json] [--only ingest,drain,…]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from peers import HUB_HOSTNAME, Counter, Holdfast, Mosquitto, fdatasync_us, free_port, load, port_answers, wait_for

WINDOW = 64
PAYLOAD = 256


class Bench:
    def __init__(self, options):
        self.bin_dir = os.path.abspath(options.bin_dir)
        self.quick = options.quick
        self.rounds = 1 if options.quick else 3
        self.seconds = 2 if options.quick else 5
        self.backlog = 50_000 if options.quick else 200_000
        self.stored = 100_000 if options.quick else 1_000_000
        self.through = {"mosquitto": 40_000, "holdfast": 200_000} if options.quick else {"mosquitto": 100_000, "holdfast": 1_000_000}
        self.rows = []
        self.raw = {}
        self.directory = options.dir

    # One line of the table. `ok`: value against its target, higher or lower is better.
    def row(self, what, mosquitto, holdfast, unit, ratio=None, must=None, aim=None, lower=False):
        met = None
        if must is not None and ratio is not None:
            met = ratio <= must if lower else ratio >= must
        self.rows.append({"what": what, "mosquitto": mosquitto, "holdfast": holdfast, "unit": unit, "ratio": ratio, "must": must,
                          "aim": aim, "lower_is_better": lower, "met": met})
        print(f"  {what}: mosquitto {mosquitto}, holdfast {holdfast} {unit}, ratio {ratio}", file=sys.stderr, flush=True)

    def gateways(self, hub_port=None):
        return (lambda: Mosquitto(self.directory, hub_port), lambda: Holdfast(self.bin_dir, self.directory, hub_port))

    # Runs `measure(gateway)` on each kind in turn, `rounds` times; medians by name.
    def alternate(self, name, measure, hub_port=None, gateways=None):
        results = {"mosquitto": [], "holdfast": []}
        for _ in range(self.rounds):
            for make in gateways or self.gateways(hub_port):
                gateway = make()
                gateway.start()
                try:
                    results[gateway.name].append(measure(gateway))
                finally:
                    gateway.stop()
        self.raw[name] = results
        return {k: statistics.median(v) for k, v in results.items()}

    def compare(self, what, name, result, unit="msg/s", must=None, aim=None):
        ratio = round(result["holdfast"] / result["mosquitto"], 2) if result["mosquitto"] else None
        self.row(what, round(result["mosquitto"]), round(result["holdfast"]), unit, ratio, must, aim)

    def tools(self):
        """The load tool against the sink: what the measuring itself can do."""
        sink = Counter(self.bin_dir, "bench-sink")

        class Target:
            name, port = "sink", sink.port

            @staticmethod
            def login():
                return []

        for connections in (10, 100):
            rate = load(self.bin_dir, Target, "--connections", connections, "--window", WINDOW, "--seconds", self.seconds)["rate"]
            self.row(f"load tool into the sink, {connections} connections", None, round(rate), "msg/s", round(rate / 1e6, 2), 1.0, None)
        sink.stop()

    def ingest(self):
        for connections in (10, 100):
            result = self.alternate(f"ingest_{connections}", lambda g: load(
                self.bin_dir, g, "--connections", connections, "--window", WINDOW, "--payload", PAYLOAD,
                "--seconds", self.seconds)["rate"])
            self.compare(f"ingest, {connections} connections", "ingest", result, must=4, aim=8)

    # Messages per second from the first PUBLISH to the last one's arrival, while ingesting.
    def measure_through(self, gateway, counter):
        counter.stat("reset")
        count = self.through[gateway.name]
        begin = load(self.bin_dir, gateway, "--connections", 10, "--window", WINDOW, "--payload", PAYLOAD, "--count", count)
        stat = counter.wait(count)
        return stat["received"] / ((stat["last_ns"] - begin["connected_ns"]) / 1e9)

    def through_sink(self):
        sink = Counter(self.bin_dir, "bench-sink")
        result = self.alternate("through_sink", lambda g: self.measure_through(g, sink), sink.port)
        sink.stop()
        self.compare("through, hub = sink", "through", result, must=4, aim=8)

    def through_mosquitto(self):
        hub = Mosquitto(self.directory)
        hub.start()
        sub = Counter(self.bin_dir, "bench-sub", "--port", str(hub.port), "--filter", "devices/#")
        result = self.alternate("through_mosquitto", lambda g: self.measure_through(g, sub), hub.port)
        sub.stop()
        hub.stop()
        self.compare("through, hub = mosquitto", "through", result)

    def local(self):
        """From modules to a module (at mosquitto: clients to a client), 100,000 messages."""
        count = 100_000

        def measure(gateway, senders):
            sub = Counter(self.bin_dir, "bench-sub", "--port", str(gateway.port), *gateway.subscriber())
            begin = load(self.bin_dir, gateway, "--connections", senders, "--window", WINDOW, "--payload", PAYLOAD, "--count", count)
            stat = sub.wait(count)
            sub.stop()
            return stat["received"] / ((stat["last_ns"] - begin["connected_ns"]) / 1e9)

        kinds = (lambda: Mosquitto(self.directory), lambda: Holdfast(self.bin_dir, self.directory, local=True))
        for senders in (1, 10):
            result = self.alternate(f"local_{senders}", lambda g: measure(g, senders), gateways=kinds)
            self.compare(f"module to module, {count:,}, {senders} sending", "local", result)

    # Fills the gateway while its hub is away, lets the hub appear, and measures from the first message there to the last.
    def measure_drain(self, gateway, start_hub):
        load(self.bin_dir, gateway, "--connections", 10, "--window", WINDOW, "--payload", PAYLOAD, "--count", self.backlog)
        counter, stop = start_hub()
        appeared_ns = time.monotonic_ns()
        stat = counter.wait(self.backlog)
        stop()
        self.raw.setdefault("link_back_ms", {}).setdefault(gateway.name, []).append((stat["first_ns"] - appeared_ns) / 1e6)
        return stat["received"] / ((stat["last_ns"] - stat["first_ns"]) / 1e9)

    def drain(self):
        port = free_port()

        def sink_hub():
            sink = Counter(self.bin_dir, "bench-sink", "--port", str(port))
            return sink, sink.stop

        result = self.alternate("drain_sink", lambda g: self.measure_drain(g, sink_hub), port)
        self.compare(f"drain of {self.backlog:,}, hub = sink", "drain", result, must=4, aim=10)
        back = {k: statistics.median(v) for k, v in self.raw["link_back_ms"].items()}
        self.row("link back to first message at the hub", round(back["mosquitto"], 1), round(back["holdfast"], 1), "ms",
                 round(back["holdfast"], 1), 1000, 200, lower=True)

    def drain_mosquitto(self):
        port = free_port()

        def mosquitto_hub():
            # The subscriber must be there before the first message is: it comes through the same port as the bridge.
            hub = Mosquitto(self.directory, port=port)
            hub.start()
            sub = Counter(self.bin_dir, "bench-sub", "--port", str(port), "--filter", "devices/#")

            def stop():
                sub.stop()
                hub.stop()
            return sub, stop

        # What drained before the subscriber was there is not counted: so count what the subscriber got until it stops growing.
        def measure(gateway):
            load(self.bin_dir, gateway, "--connections", 10, "--window", WINDOW, "--payload", PAYLOAD, "--count", self.backlog)
            sub, stop = mosquitto_hub()
            stat = sub.stat()
            while True:
                time.sleep(0.5)
                now = sub.stat()
                if now["received"] == stat["received"] and now["received"] > 0:
                    break
                stat = now
            stop()
            return stat["received"] / ((stat["last_ns"] - stat["first_ns"]) / 1e9)

        self.compare(f"drain of {self.backlog:,}, hub = mosquitto", "drain", self.alternate("drain_mosquitto", measure, port))

    def latency(self):
        sync = []

        # The disk is measured right beside each run: its speed changes with what else the machine does.
        def measure(gateway):
            sync.append(fdatasync_us(self.directory))
            return load(self.bin_dir, gateway, "--connections", 1, "--window", 1, "--payload", PAYLOAD,
                        "--seconds", self.seconds)["latency_us"]["p50"]

        result = self.alternate("latency", measure)
        sync_us = statistics.median(sync)
        self.row(f"PUBACK latency, 1 in flight, median (fdatasync: {sync_us:.0f} us)", round(result["mosquitto"]), round(result["holdfast"]),
                 "us", round(result["holdfast"] / sync_us, 2), 4, 2, lower=True)
        self.raw["fdatasync_us"] = sync_us

    def memory_and_start(self):
        gateway = Holdfast(self.bin_dir, self.directory)
        gateway.start()
        load(self.bin_dir, gateway, "--count", 10, "--connections", 1)
        idle = gateway.pss()
        empty_rate = load(self.bin_dir, gateway, "--seconds", self.seconds)["rate"]
        stored = load(self.bin_dir, gateway, "--count", self.stored, "--connections", 10)
        full = gateway.pss()
        full_rate = load(self.bin_dir, gateway, "--seconds", self.seconds)["rate"]
        self.raw["ingest_empty_and_full"] = [empty_rate, full_rate]
        self.raw["pss"] = {"idle": idle, "stored": full, "stored_messages": stored["acked"] + int(empty_rate * self.seconds)}
        mb = {k: round(sum(v.values()) / 1e6, 1) for k, v in (("idle", idle), ("full", full))}
        self.row("PSS of all four, idle", None, mb["idle"], "MB", mb["idle"], 60, 30, lower=True)
        self.row(f"PSS of all four, {self.stored:,} stored", None, mb["full"], "MB", mb["full"], 200, 100, lower=True)
        self.row(f"ingest with {self.stored:,} stored vs empty", None, round(full_rate), "msg/s", round(full_rate / empty_rate, 2), 0.8, 0.95)
        gateway.stop(remove=False)
        begin_ns = time.monotonic_ns()
        gateway.spawn()
        first = load(self.bin_dir, gateway, "--count", 1, "--connections", 1)
        seconds = (first["first_ack_ns"] - begin_ns) / 1e9
        self.row(f"start to first PUBACK, {self.stored:,} stored", None, round(seconds, 3), "s", round(seconds, 3), 1, 0.3, lower=True)
        gateway.stop()

    def flood(self):
        """Ten clients that publish as fast as they can, alone, and while another one fails to log in a thousand times a second."""
        alone, beside, floods = [], [], []
        gateway = Holdfast(self.bin_dir, self.directory, tls=True)
        gateway.start()
        wait_for("the TLS port answers", lambda: port_answers(gateway.tls_port))

        def rate():
            return load(self.bin_dir, gateway, "--connections", 10, "--window", WINDOW, "--payload", PAYLOAD,
                        "--seconds", self.seconds)["rate"]
        for _ in range(self.rounds):
            alone.append(rate())
            with subprocess.Popen([f"{self.bin_dir}/bench-flood", "--port", str(gateway.tls_port), "--rate", "1000", "--seconds",
                                   str(self.seconds + 6), "--hub-hostname", HUB_HOSTNAME], stdout=subprocess.PIPE, text=True) as flood:
                # The first 2,000 failures (failed_connects_burst) are heard out.
                time.sleep(4)
                beside.append(rate())
                floods.append(json.loads(flood.communicate()[0]))
        gateway.stop()
        self.raw["flood"] = {"alone": alone, "beside": beside, "floods": floods}
        before, during = statistics.median(alone), statistics.median(beside)
        self.row("ingest, 10 connections, beside 1,000 failing connects a second", None, round(during), "msg/s",
                 round(during / before, 2), 0.8, 0.95)

    def tls_clients(self):
        """What a client that is connected and silent costs router: private memory (PSS), and of both processes' sockets nothing."""
        clients = 1000 if self.quick else 10_000
        gateway = Holdfast(self.bin_dir, self.directory, devices=clients, tls=True)
        gateway.start()
        wait_for("the TLS port answers", lambda: port_answers(gateway.tls_port))
        load(self.bin_dir, gateway, "--count", 10, "--connections", 1)
        before = gateway.pss()["router"]
        hold = Counter(self.bin_dir, "bench-hold", "--port", str(gateway.tls_port), "--ca-file", gateway.tls_files[1], *gateway.login())
        kb = (gateway.pss()["router"] - before) / clients / 1024
        hold.stop()
        gateway.stop()
        self.raw["tls_clients"] = hold.hello
        self.row(f"router's memory for each of {clients:,} TLS clients", None, round(kb, 1), "KB", round(kb, 1), 40, 20, lower=True)
        self.row(f"logins over TLS, {clients:,} one after the other", None, round(clients / hold.hello["seconds"]), "1/s")

    def print_table(self):
        print(f"\n{'':62} {'mosquitto':>10} {'holdfast':>10} {'unit':6} {'ratio':>8} {'must':>8} {'aim':>8}")
        for r in self.rows:
            def cell(v, width):
                return f"{'' if v is None else v:>{width}}"
            sign = "<=" if r["lower_is_better"] else ">="
            must = "" if r["must"] is None else f"{sign}{r['must']}"
            aim = "" if r["aim"] is None else f"{sign}{r['aim']}"
            mark = {True: "  met", False: "  MISSED", None: ""}[r["met"]]
            print(f"{r['what']:62} {cell(r['mosquitto'], 10)} {cell(r['holdfast'], 10)} {r['unit']:6} {cell(r['ratio'], 8)} {must:>8} "
                  f"{aim:>8}{mark}")


CASES = ("tools", "ingest", "through_sink", "through_mosquitto", "drain", "drain_mosquitto", "local", "latency", "memory_and_start", "flood", "tls_clients")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin-dir", required=True, help="folder with Holdfast's release binaries and the bench tools")
    parser.add_argument("--quick", action="store_true", help="one round, short: to see that it works")
    parser.add_argument("--only", default=",".join(CASES), help=f"of {', '.join(CASES)}")
    parser.add_argument("--json", "--out", dest="out", default="", help="JSON file for the results")
    parser.add_argument("--dir", default=None, help="where the gateways keep their data (a real disk) [a temporary folder]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hfb-", dir=options.dir) as directory:
        options.dir = directory
        bench = Bench(options)
        for case in options.only.split(","):
            print(f"{case} …", file=sys.stderr, flush=True)
            try:
                getattr(bench, case)()
            except (RuntimeError, subprocess.SubprocessError) as error:
                print(f"  FAILED: {error}", file=sys.stderr)
                bench.rows.append({"what": case, "mosquitto": None, "holdfast": "FAILED", "unit": "", "ratio": None, "must": None,
                                   "aim": None, "lower_is_better": False, "met": False, "error": str(error)})
    bench.print_table()
    if options.out:
        os.makedirs(os.path.dirname(os.path.abspath(options.out)), exist_ok=True)
        with open(options.out, "w") as f:
            json.dump({"rows": bench.rows, "raw": bench.raw, "cpus": os.cpu_count(), "quick": bench.quick,
                       "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}, f, indent=1)
        print(f"\nresults: {options.out}")
    return 0 if not any(r["holdfast"] == "FAILED" for r in bench.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
