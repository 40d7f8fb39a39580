"""Whom a request comes from where a proxy stands in front: its word counts, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Forwarded:
    """Believes X-Forwarded-For, -Proto and -Host (one of each) of the proxies listed, and of nobody else."""

    def __init__(self, app: WSGIApplication, proxies: Iterable[IPv4Network | IPv6Network]) -> None:
        self._plain, self._behind = app, ProxyFix(app, x_for=1, x_proto=1, x_host=1)
        self._proxies = tuple(proxies)

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Answer the request as it really came."""
        if self._listed(str(environ.get("REMOTE_ADDR", ""))):
            return self._behind(environ, start)
        return self._plain(environ, start)

    def _listed(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._proxies)


def install(app: Flask, proxies: Iterable[IPv4Network | IPv6Network]) -> None:
    """Stand before everything else."""
    made: Any = Forwarded(app.wsgi_app, proxies)
    app.wsgi_app = made  # type: ignore[method-assign]
