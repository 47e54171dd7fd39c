"""Measures supervisord or circus as bench/src/supervision.rs measures Piton: prints one JSON object.

usage: measure.py supervisord|circus CHILDREN ROUNDS
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from http.client import HTTPConnection
from pathlib import Path

# As long as the children of bench/src/supervision.rs sleep, and told from everybody else's by the fraction.
CHILD = f"/bin/sleep 100000.{os.getpid()}"
PATIENCE = 600
BIN = Path(sys.executable).parent


def pss_megabytes(pid):
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("smaps_rollup lacks a line")


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def until(what, holds, pause=0.0005):
    end = time.monotonic() + PATIENCE
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > end:
            raise RuntimeError(f"{what} did not happen")
        time.sleep(pause)


def kill_children():
    """Kills what a supervisor has left: those that run exactly the command line of this measurement."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            line = (entry / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
            if line == CHILD.encode():
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            # It is gone already, or somebody else's.
            continue


class UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a unix socket."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def make_connection(self, host):
        import socket

        connection = HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.path)
        return connection


class Supervisord:
    def __init__(self, directory, children):
        self.socket = f"{directory}/supervisor.sock"
        config = f"{directory}/supervisord.conf"
        Path(config).write_text(
            f"""[supervisord]
nodaemon=true
logfile={directory}/supervisord.log
pidfile={directory}/supervisord.pid
childlogdir={directory}
minfds={5 * children + 200}
[unix_http_server]
file={self.socket}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{self.socket}
[program:sleeper]
command={CHILD}
process_name=%(program_name)s-%(process_num)d
numprocs={children}
startsecs=1
autorestart=true
"""
        )
        self.config = config
        self.process = subprocess.Popen(
            [BIN / "supervisord", "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until("supervisord answers", lambda: os.path.exists(self.socket))

    def all(self):
        rpc = xmlrpc.client.ServerProxy("http://localhost", transport=UnixTransport(self.socket))
        return rpc.supervisor.getAllProcessInfo()

    def running(self):
        try:
            return {p["name"]: p["pid"] for p in self.all() if p["statename"] == "RUNNING"}
        except OSError:
            return {}

    def pid_of(self, name):
        rpc = xmlrpc.client.ServerProxy("http://localhost", transport=UnixTransport(self.socket))
        return rpc.supervisor.getProcessInfo(f"sleeper:{name}")["pid"]

    def command(self):
        return [BIN / "supervisorctl", "-c", self.config, "status"]

    def stop_all(self):
        rpc = xmlrpc.client.ServerProxy("http://localhost", transport=UnixTransport(self.socket))
        rpc.supervisor.stopAllProcesses()


class Circus:
    def __init__(self, directory, children):
        self.endpoint = f"ipc://{directory}/circus.sock"
        config = f"{directory}/circus.ini"
        Path(config).write_text(
            f"""[circus]
endpoint = {self.endpoint}
pubsub_endpoint = ipc://{directory}/pubsub.sock
[watcher:sleeper]
cmd = {CHILD}
numprocesses = {children}
"""
        )
        self.process = subprocess.Popen(
            [BIN / "circusd", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        from circus.client import CircusClient

        self.client = CircusClient(endpoint=self.endpoint, timeout=PATIENCE)

    def all(self):
        return self.client.call({"command": "list", "properties": {"name": "sleeper"}}).get("pids", [])

    def running(self):
        return {str(pid): pid for pid in self.all()}

    def command(self):
        return [BIN / "circusctl", "--endpoint", self.endpoint, "status"]

    def pid_of(self, name):
        known = set(self.all()) - self.known
        return known.pop() if known else 0

    def stop_all(self):
        self.client.call({"command": "stop", "properties": {"waiting": True}})


def main():
    which, children, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    figures = {}
    with tempfile.TemporaryDirectory(prefix="piton-bench-") as directory:
        begun = time.monotonic()
        peer = {"supervisord": Supervisord, "circus": Circus}[which](directory, children)
        try:
            pid = peer.process.pid
            until("all run", lambda: len(peer.running()) == children, 0.05)
            figures["start_s"] = time.monotonic() - begun
            figures["pss_mb"] = pss_megabytes(pid)
            used, at = cpu_seconds(pid), time.monotonic()
            time.sleep(10)
            figures["idle_percent"] = 100 * (cpu_seconds(pid) - used) / (time.monotonic() - at)
            waits = []
            for _ in range(rounds):
                name, victim = next(iter(peer.running().items()))
                peer.known = set(peer.running().values())
                at = time.monotonic()
                os.kill(victim, signal.SIGKILL)
                until("it is replaced", lambda: peer.pid_of(name) not in (0, victim))
                waits.append((time.monotonic() - at) * 1e3)
            figures["replaced_ms"] = sorted(waits)[len(waits) // 2]
            at = time.monotonic()
            peer.all()
            figures["status_ms"] = (time.monotonic() - at) * 1e3
            at = time.monotonic()
            subprocess.run(peer.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            figures["status_command_ms"] = (time.monotonic() - at) * 1e3
            at = time.monotonic()
            peer.stop_all()
            figures["stop_s"] = time.monotonic() - at
        finally:
            peer.process.terminate()
            try:
                peer.process.wait(60)
            except subprocess.TimeoutExpired:
                peer.process.kill()
            kill_children()
    print(json.dumps(figures))


main()
