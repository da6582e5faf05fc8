"""The two gateways under test, the hub's side, and the tools, as objects that start and stop. Standard library only."""

import base64
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

SERVICES = ("store", "auth", "router", "uplink")
HUB_HOSTNAME = "hub.bench"
PATIENCE_S = 120


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, condition, timeout_s=PATIENCE_S):
    give_up = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > give_up:
            raise RuntimeError(f"not within {timeout_s} s: {what}")
        time.sleep(0.002)


def port_answers(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def pss_bytes(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        for line in f:
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def fdatasync_us(directory, count=400):
    """Median time of appending what one message takes in a log (400 bytes) and fdatasync, in that directory."""
    path = os.path.join(directory, "fdatasync.probe")
    block = os.urandom(400)
    times = []
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for _ in range(count):
        begin = time.perf_counter_ns()
        os.write(fd, block)
        os.fdatasync(fd)
        times.append(time.perf_counter_ns() - begin)
    os.close(fd)
    os.unlink(path)
    return statistics.median(times) / 1000


class Mosquitto:
    """mosquitto, in memory; as an edge gateway it bridges everything to `hub_port`."""

    name = "mosquitto"

    def __init__(self, directory, hub_port=None, port=None):
        self.port = port or free_port()
        self.config = os.path.join(directory, f"mosquitto-{self.port}.conf")
        text = (f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type error\n"
                "max_inflight_messages 0\nmax_queued_messages 0\n")
        if hub_port:
            text += (f"connection edge\naddress 127.0.0.1:{hub_port}\ntopic devices/# out 1\nbridge_protocol_version mqttv311\n"
                     "try_private false\ncleansession false\nnotifications false\nrestart_timeout 1\n")
        with open(self.config, "w") as f:
            f.write(text)
        self.process = None

    def start(self):
        binary = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self.process = subprocess.Popen([binary, "-c", self.config], stdin=subprocess.DEVNULL)
        wait_for("mosquitto answers", lambda: port_answers(self.port))

    def stop(self):
        self.process.kill()
        self.process.wait()

    def login(self):
        return []

    def subscriber(self):
        """Arguments of a bench-sub that gets what bench-load publishes."""
        return ["--filter", "devices/#"]

    def pss(self):
        return {"mosquitto": pss_bytes(self.process.pid)}


class Holdfast:
    """The four release binaries on a data directory of their own."""

    name = "holdfast"

    # `tls`: MQTT over TLS too, on tls_port, with a certificate made by openssl. `local`: the clients are modules, and what they send is
    # routed to an input of the module gw/sub.
    def __init__(self, bin_dir, directory, hub_port=None, devices=100, tls=False, local=False):
        self.bin_dir = bin_dir
        self.directory = tempfile.mkdtemp(prefix="gw-", dir=directory)
        self.port = free_port()
        self.processes = {}
        self.devices_file = os.path.join(self.directory, "devices.txt")
        self.config = os.path.join(self.directory, "holdfast.toml")
        identities = os.path.join(self.directory, "identities.toml")
        os.mkdir(os.path.join(self.directory, "data"))
        with open(identities, "w") as ids, open(self.devices_file, "w") as lines:
            for i in range(devices):
                key = base64.b64encode(os.urandom(32)).decode()
                name = f'"gw"\nmodule_id = "load{i}"' if local else f'"load{i}"'
                ids.write(f'[[identity]]\ndevice_id = {name}\nprimary_key = "{key}"\n\n')
                lines.write(f"gw/load{i} {key}\n" if local else f"load{i} {key}\n")
            if local:
                self.subscriber_key = base64.b64encode(os.urandom(32)).decode()
                ids.write(f'[[identity]]\ndevice_id = "gw"\nmodule_id = "sub"\nprimary_key = "{self.subscriber_key}"\n')
        os.chmod(identities, 0o600)
        device_id = 'device_id = "gw"\n' if local else ""
        with open(self.config, "w") as f:
            f.write(f'[gateway]\n{device_id}hub_hostname = "{HUB_HOSTNAME}"\nrun_dir = "{self.directory}/run"\n'
                    f'data_dir = "{self.directory}/data"\n[auth]\nidentities_file = "{identities}"\n'
                    f'[router]\nmqtt_address = "127.0.0.1:{self.port}"\n')
            f.write(self.tls_options() if tls else 'mqtts_address = ""\n')
            f.write(f'settings_file = "{self.local_settings()}"\n' if local else "")
            if hub_port:
                f.write(f'[uplink]\nupstream = "mqtt://127.0.0.1:{hub_port}"\n')

    def tls_options(self):
        self.tls_port = free_port()
        key, certificate = self.tls_files = tuple(os.path.join(self.directory, name) for name in ("server.key", "server.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                        "-subj", "/CN=localhost", "-keyout", key, "-out", certificate], check=True, capture_output=True)
        return (f'mqtts_address = "127.0.0.1:{self.tls_port}"\ncertificate_file = "{certificate}"\n'
                f'private_key_file = "{key}"\n')

    def local_settings(self):
        path = os.path.join(self.directory, "settings.json")
        with open(path, "w") as f:
            json.dump({"schemaVersion": "1.1", "routes": {"all": 'FROM /messages/* INTO BrokeredEndpoint("/modules/sub/inputs/in")'},
                       "storeAndForwardConfiguration": {"timeToLiveSecs": 7200}}, f)
        return path

    def subscriber(self):
        """Arguments of a bench-sub that gets what bench-load publishes; `local` only."""
        return ["--filter", "devices/gw/modules/sub/inputs/#", "--client", "gw/sub", "--hub-hostname", HUB_HOSTNAME, "--key", self.subscriber_key]

    def spawn(self):
        for service in SERVICES:
            log = open(os.path.join(self.directory, f"{service}.log"), "ab")
            self.processes[service] = subprocess.Popen(
                [f"{self.bin_dir}/holdfast-{service}", "--config", self.config, "--log-level", "warn"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            log.close()

    def start(self):
        self.spawn()
        wait_for("holdfast's MQTT port answers", lambda: port_answers(self.port))

    def stop(self, remove=True):
        for service in reversed(SERVICES):
            self.processes[service].send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if remove:
            shutil.rmtree(self.directory, ignore_errors=True)

    def login(self):
        return ["--hub-hostname", HUB_HOSTNAME, "--devices", self.devices_file]

    def pss(self):
        return {service: pss_bytes(p.pid) for service, p in self.processes.items()}


class Counter:
    """bench-sink or bench-sub: started with arguments, asked by lines."""

    def __init__(self, bin_dir, tool, *arguments):
        self.process = subprocess.Popen([f"{bin_dir}/{tool}", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.hello = json.loads(self.process.stdout.readline())
        self.port = self.hello.get("port")

    def stat(self, command="stat"):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def wait(self, count, timeout_s=PATIENCE_S):
        """Waits for `count` messages; seconds from the first to the last, and the counters."""
        give_up = time.monotonic() + timeout_s
        while True:
            stat = self.stat()
            if stat["received"] >= count:
                return stat
            if time.monotonic() > give_up:
                raise RuntimeError(f"{stat['received']} of {count} messages arrived at the hub within {timeout_s} s")
            time.sleep(0.005)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def load(bin_dir, gateway, *arguments, wait_s=60):
    command = [f"{bin_dir}/bench-load", "--port", str(gateway.port), "--wait", str(wait_s), *gateway.login(), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{gateway.name}: {' '.join(command)}: {done.stderr.strip()}")
    return json.loads(done.stdout)
