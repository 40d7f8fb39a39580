"""Real nginx and Apache on loopback, each with a directory of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from installation import until

from config import processes
from tests.ports import free_port

NGINX, APACHE, MODULES = "/usr/sbin/nginx", "/usr/sbin/apache2", "/usr/lib/apache2/modules"
NGINX_CONF = """
daemon off; master_process off; pid {place}/pid; error_log {place}/log;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3;
  uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;
  server {{
    listen 127.0.0.1:{port}; root {place}/www;
    location = /nginx_status {{ stub_status; allow 127.0.0.1; deny all; }}
    location = /closed {{ stub_status; deny all; }}
  }}
}}
"""
APACHE_CONF = """
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {place}/pid
Mutex file:{place}
ErrorLog {place}/log
DocumentRoot {place}/www
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule authz_host_module {modules}/mod_authz_host.so
LoadModule status_module {modules}/mod_status.so
User {user}
ExtendedStatus On
<Location /server-status>
  SetHandler server-status
  Require local
</Location>
<Location /closed>
  SetHandler server-status
  Require all denied
</Location>
"""


@contextlib.contextmanager
def nginx(**files: str) -> Iterator[int]:
    """nginx, its status page at /nginx_status, serving `files` (underscores are dots)."""
    with _serving([NGINX, "-p", "{place}", "-c", "{place}/conf"], NGINX_CONF, files) as port:
        yield port


@contextlib.contextmanager
def apache(**files: str) -> Iterator[int]:
    """Apache, its status page at /server-status."""
    with _serving([APACHE, "-DFOREGROUND", "-f", "{place}/conf"], APACHE_CONF, files) as port:
        yield port


@contextlib.contextmanager
def _serving(argv: list[str], conf: str, files: dict[str, str]) -> Iterator[int]:
    place = Path(tempfile.mkdtemp(prefix="pantau-web-"))
    place.chmod(0o755)
    port = free_port()
    user = "www-data" if os.geteuid() == 0 else str(os.geteuid())
    (place / "conf").write_text(conf.format(place=place, port=port, modules=MODULES, user=user))
    (place / "www").mkdir()
    for name, text in files.items():
        (place / "www" / name.replace("_", ".")).write_text(text)
    child = processes.spawn([word.format(place=place) for word in argv], death=signal.SIGKILL, quiet=True)
    try:
        until(lambda: _takes(port), 30)
        yield port
    finally:
        processes.stop(child, signal.SIGTERM, 20)
        shutil.rmtree(place, ignore_errors=True)


def _takes(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
