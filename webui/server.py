"""The web server of `pantau web`: gunicorn with threads, one process, or waitress where there is no gunicorn."""

from __future__ import annotations

import sys
from typing import Any

from config.processes import die_with_parent
from config.settings import Settings
from webui import create_app

THREADS_BESIDE_STREAMS = 16


def run(settings: Settings) -> None:
    """Serve until told to stop. Every live page holds a thread; `settings.streams` of them at most."""
    app = create_app(settings)
    threads = settings.streams + THREADS_BESIDE_STREAMS
    if sys.platform == "win32":
        from waitress import serve

        serve(app, host=settings.host, port=settings.port, threads=threads, ident="")
        return
    _gunicorn(settings, app, threads)


def _gunicorn(settings: Settings, app: Any, threads: int) -> None:
    from gunicorn.app.base import BaseApplication

    class Server(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            values = {
                "bind": f"{host}:{settings.port}",
                "worker_class": "gthread",
                "workers": 1,
                "threads": threads,
                "timeout": 60,
                "graceful_timeout": 3,
                "keepalive": 15,
                "limit_request_fields": 100,
                "limit_request_line": 8190,
                "loglevel": "warning",
                "post_fork": lambda server, worker: die_with_parent(),
                "worker_tmp_dir": "/dev/shm" if sys.platform == "linux" else None,  # noqa: S108 - gunicorn's heartbeat file
                "proc_name": "pantau web",
                "control_socket_disable": True,
            }
            for name, value in values.items():
                if name in self.cfg.settings:
                    self.cfg.set(name, value)

        def load(self) -> Any:
            return app

    Server().run()
