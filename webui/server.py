"""The web server of `pantau web`: gunicorn with threads, one process, or waitress where there is no gunicorn."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import ssl
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from config import database, sandbox
from config.processes import die_with_parent
from config.settings import Settings, networks_of
from webui import create_app
from webui.patience import Patience

_log = logging.getLogger("web")
THREADS_BESIDE_STREAMS, FILES_BESIDE = 16, 300
SCRATCH = "/dev/shm"  # noqa: S108 - a directory of our own is made there: what is sent to us is no business of the disk
SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/proc", "/sys/devices/system/cpu", "/dev/urandom", "/dev/zero",
    *(f"/etc/{name}" for name in (
        "ssl", "pki", "ca-certificates", "alternatives", "ld.so.cache", "localtime", "timezone", "mime.types", "passwd",
        "group", "hosts", "host.conf", "nsswitch.conf", "resolv.conf", "services", "protocols", "gai.conf",
    )),
)  # fmt: skip
"""What every program needs of its system; nothing of it is secret."""
PACKAGES = ("config", "domain", "probes", "notifier", "webui", "migrations", "pantau.py", "wsgi.py")


def run(settings: Settings) -> None:
    """Serve until told to stop. Every live page holds a thread; `settings.streams` of them at most."""
    if not enclose(settings):
        _log.warning("This system cannot shut the web server out of the vault's keys; SECURITY.md says why.")
    app = create_app(settings)
    if sys.platform == "win32":
        from waitress import serve as wait_and_serve

        threads = settings.streams + THREADS_BESIDE_STREAMS
        wait_and_serve(app, host=settings.host, port=settings.port, threads=threads, ident="")
        return
    serve(settings, app)


def enclose(settings: Settings) -> bool:
    """Keep this process from every file but its own: the programs, and of the data what it may know.

    Above all it cannot read the keys that open secrets, nor the passwords of the other rooms in the database. False
    where the system knows no such thing.
    """
    scratch = tempfile.mkdtemp(prefix="pantau-web-", dir=SCRATCH if os.path.isdir(SCRATCH) else None)
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    tempfile.tempdir = scratch
    packages = [Path(__file__).parent.parent / name for name in PACKAGES]
    pair = settings.pair()
    own = [
        *([pair.certificate, pair.key] if pair else []),
        settings.vault_public,
        settings.notifier_public,
        settings.web_key,
        database.passwords(settings.sockets, "web"),
        *([settings.ldap_ca] if settings.ldap_ca else ()),
    ]
    read = [*map(Path, SYSTEM), Path(sys.prefix), Path(sys.base_prefix), *packages, *own, settings.sockets]
    sandbox.renounce()
    return sandbox.enter(read, [Path(scratch), Path("/dev/null")])


def _secured(settings: Settings) -> dict[str, Any]:
    """HTTPS by TLS 1.2 or newer, where it is set. Raises TlsError."""
    pair = settings.pair()
    if pair is None:
        return {}
    pair.verify()

    def context(_config: Any, _usual: Any) -> ssl.SSLContext:
        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.load_cert_chain(pair.certificate, pair.key)
        return made

    return {"certfile": str(pair.certificate), "keyfile": str(pair.key), "ssl_context": context}


def serve(settings: Settings, app: Any, patience: Patience | None = None) -> None:
    """Serve any WSGI application by gunicorn. Who says nothing, or slowly, waits outside the threads (webui/waiting.py)."""
    from gunicorn.app.base import BaseApplication

    asked = patience or Patience()
    threads = settings.streams + THREADS_BESIDE_STREAMS + asked.heavy
    room = min(asked.room, _files(asked.room + threads + FILES_BESIDE) - threads - FILES_BESIDE)
    granted = replace(asked, room=max(room, 10))

    class Server(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            self.patience = granted
            self.proxies = networks_of(settings.proxies)
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            values = {
                "bind": f"{host}:{settings.port}",
                "worker_class": "webui.waiting.Worker",
                "workers": 1,
                "threads": threads,
                "worker_connections": granted.room + 2 * threads,
                "timeout": 60,
                "graceful_timeout": 3,
                "keepalive": 5,  # only whether; how long is for webui/patience.py to say
                "limit_request_fields": 100,
                "limit_request_line": 8190,
                "loglevel": "warning",
                "post_fork": lambda server, worker: die_with_parent(),
                **_secured(settings),
                "forwarded_allow_ips": "",  # whom to believe is for webui/forwarded.py to say
                "worker_tmp_dir": tempfile.gettempdir(),
                "proc_name": "pantau web",
                "control_socket_disable": True,
            }
            for name, value in values.items():
                if name in self.cfg.settings:
                    self.cfg.set(name, value)

        def load(self) -> Any:
            return app

    Server().run()


def _files(wanted: int) -> int:
    """Files this process may have open, after asking for so many."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return wanted if soft == resource.RLIM_INFINITY else soft
