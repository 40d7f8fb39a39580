#!/usr/bin/env python3
"""SNMP GETs of ten objects beside netsnmp-cffi, pysnmp (tuned) and snmpget: our CPU for each, v2c and v3.

    python bench/snmp.py [--rounds 3] [--peers PYTHON]

Starts a snmpd on a loopback port. Each contestant is a process of its own that counts only its own CPU, after
a warm-up; the median of the rounds is printed, the rounds interleaved. pysnmp is tuned as far as it goes: one
engine, one transport, no MIB look-ups. `--peers` is a Python that has netsnmp-cffi, where this one has not.
Goals: v2c at most 0.5 x netsnmp-cffi and 1/40 of pysnmp; v3 (SHA-256, AES-128) at most 1/10 of pysnmp, with
every answer authenticated.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

COMMUNITY, USER, AUTH, PRIV = "bench", "bench", "authentic-12", "private-1234"
OBJECTS = [f"1.3.6.1.2.1.1.{n}.0" for n in (1, 3, 5, 6)] + [f"1.3.6.1.2.1.2.2.1.{n}.1" for n in (2, 5, 8, 10, 14, 16)]
COUNTS = {"pantau": 5000, "netsnmp-cffi": 5000, "pysnmp": 500, "snmpget": 40}


async def pantau(port: int, version: str, count: int, flight: int) -> float:
    from probes import names
    from probes.limits import Deadline, Meter
    from probes.snmp import ber, message, usm
    from probes.snmp.engine import Engine
    from probes.snmp.session import Session
    from probes.snmp.voice import Community, Known, Voice

    engine, place = Engine(), names.numeric("127.0.0.1")
    assert place is not None
    voice: Voice = Community(message.V2C, COMMUNITY.encode())
    if version == "3":
        voice = Known(usm.User(USER, "SHA-256", AUTH, "AES-128", PRIV))
    objects = [ber.name(text) for text in OBJECTS]
    deadline = Deadline(600)

    async def rounds(many: int) -> None:
        for _ in range(many):
            session = Session(engine, place, port, voice, deadline, Meter())
            assert len(await session.get(objects)) == len(objects)

    await rounds(50)
    began = time.process_time()
    await asyncio.gather(*(rounds(count // flight) for _ in range(flight)))
    used = time.process_time() - began
    engine.close()
    return used


async def netsnmp(port: int, version: str, count: int, flight: int) -> float:
    from netsnmpy import netsnmp as library
    from netsnmpy import session as sessions
    from netsnmpy.oids import OID

    library.register_log_callback()
    objects = [OID(f".{text}") for text in OBJECTS]
    opened = [
        sessions.SNMPSession(host="127.0.0.1", port=port, version="2c", community=COMMUNITY) for _ in range(flight)
    ]

    async def rounds(session: sessions.SNMPSession, many: int) -> None:
        for _ in range(many):
            assert len(await session.aget(*objects)) == len(objects)

    for session in opened:  # as a fleet has it: a session for each machine
        session.open()
        await rounds(session, 2)
    began = time.process_time()
    await asyncio.gather(*(rounds(session, count // flight) for session in opened))
    return time.process_time() - began


async def pysnmp(port: int, version: str, count: int, flight: int) -> float:
    from pysnmp.hlapi.v3arch import asyncio as library

    engine = library.SnmpEngine()
    way = (
        library.UsmUserData(
            USER, AUTH, PRIV, authProtocol=library.USM_AUTH_HMAC192_SHA256, privProtocol=library.USM_PRIV_CFB128_AES
        )
        if version == "3"
        else library.CommunityData(COMMUNITY)
    )
    target = await library.UdpTransportTarget.create(("127.0.0.1", port))
    context = library.ContextData()
    objects = [library.ObjectType(library.ObjectIdentity(text)) for text in OBJECTS]

    async def rounds(many: int) -> None:
        for _ in range(many):
            error, status, _, found = await library.get_cmd(engine, way, target, context, *objects, lookupMib=False)
            assert not error
            assert not status
            assert len(found) == len(OBJECTS)

    await rounds(20)
    began = time.process_time()
    await asyncio.gather(*(rounds(count // flight) for _ in range(flight)))
    used = time.process_time() - began
    engine.close_dispatcher()
    return used


def snmpget(port: int, version: str, count: int) -> float:
    words = ["snmpget", "-On", "-v", version]
    if version == "3":
        words += ["-l", "authPriv", "-u", USER, "-a", "SHA-256", "-A", AUTH, "-x", "AES", "-X", PRIV]
    else:
        words += ["-c", COMMUNITY]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(count):
        subprocess.run(
            [*words, f"127.0.0.1:{port}", *OBJECTS],
            check=True,
            stdout=subprocess.DEVNULL,
            env={"MIBS": "", "PATH": os.environ["PATH"]},
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@contextmanager
def agent() -> Iterator[int]:
    """A snmpd, answering."""
    with tempfile.TemporaryDirectory() as place, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))
        port = int(line.getsockname()[1])
        line.close()
        conf = Path(place) / "agent.conf"
        conf.write_text(
            f'rocommunity {COMMUNITY} 127.0.0.1\nsysLocation here\nsysName bench\ncreateUser {USER} SHA-256 "{AUTH}" AES "{PRIV}"\n'
            f"rouser {USER} priv\n"
        )
        words = [
            "snmpd",
            "-f",
            "-Lf",
            "/dev/null",
            "-C",
            "-c",
            str(conf),
            "-p",
            f"{place}/pid",
            f"udp:127.0.0.1:{port}",
        ]
        environment = {**os.environ, "SNMP_PERSISTENT_DIR": place, "MIBS": ""}
        process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(1.5)
            yield port
        finally:
            process.terminate()
            process.wait()


ALL = {"pantau": pantau, "netsnmp-cffi": netsnmp, "pysnmp": pysnmp}


def one(python: str, name: str, port: int, version: str, flight: int) -> float:
    """Milliseconds of CPU for one GET."""
    if name == "snmpget":
        return snmpget(port, version, COUNTS[name]) / COUNTS[name] * 1000
    words = [python, __file__, "--one", name, str(port), version, str(flight)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} did not finish:\n{done.stderr[-600:]}")
    return float(json.loads(done.stdout)) / COUNTS[name] * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default=sys.executable)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        name, port, version, flight = asked.one
        print(json.dumps(asyncio.run(ALL[name](int(port), version, COUNTS[name], int(flight)))))
        return
    with_cffi = asked.peers != sys.executable or importlib.util.find_spec("netsnmpy") is not None
    if not with_cffi:
        print("netsnmp-cffi is not installed here (pip install netsnmp-cffi, or --peers PYTHON): left out.")
    with agent() as port:
        for version, flight in (("2c", 1), ("2c", 50), ("3", 1), ("3", 50)):
            names = ["pantau", *(["netsnmp-cffi"] if with_cffi and version == "2c" else []), "pysnmp", "snmpget"]
            runs: dict[str, list[float]] = {name: [] for name in names}
            for _ in range(asked.rounds):
                for name in names:
                    runs[name].append(
                        one(asked.peers if name == "netsnmp-cffi" else sys.executable, name, port, version, flight)
                    )
            middle = {name: statistics.median(each) for name, each in runs.items()}
            print(f"\nversion {version}, {len(OBJECTS)} objects a GET, {flight} at a time")
            for name, value in middle.items():
                print(f"  {name:14}{value:9.3f} ms CPU   {middle['pantau'] / value:7.3f}")
            if "netsnmp-cffi" in middle:
                print(f"  {middle['pantau'] / middle['netsnmp-cffi']:.2f} x netsnmp-cffi (goal 0.5)")
            goal = 40 if version == "2c" else 10
            print(f"  1/{middle['pysnmp'] / middle['pantau']:.0f} of pysnmp (goal 1/{goal}), ", end="")
            print(f"1/{middle['snmpget'] / middle['pantau']:.0f} of snmpget")


if __name__ == "__main__":
    main()
