"""A small provider of identities on loopback: discovery, codes, PKCE, signed tokens; and the lies one may tell."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

ID, SECRET = "pantau", "s3cret of the client/:+"


@dataclass
class Issuer:
    """What it knows, and `lie`: what it does wrong."""

    port: int = 0
    claims: dict[str, Any] = field(default_factory=dict)
    lie: str = ""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    refused: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"http://127.0.0.1:{self.port}/realm"

    def authorise(self, url: str) -> str:
        """What a browser that logs in there is sent back to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert asked["response_type"] == "code" and asked["client_id"] == ID
        assert asked["code_challenge_method"] == "S256" and "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def token(self, headers: Any, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """A code for a token, once."""
        pair = base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode().split(":")
        asked = self.codes.pop(form.get("code", ""), None)
        made = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=")
        wrong = (
            "client" if [unquote(one) for one in pair] != [ID, SECRET]
            else "code" if asked is None
            else "pkce" if made.decode() != asked["code_challenge"]
            else "redirect" if form.get("redirect_uri") != asked["redirect_uri"]
            else ""
        )  # fmt: skip
        if wrong or asked is None:
            self.refused.append(wrong)
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": self._signed(asked["nonce"])}

    def _signed(self, nonce: str) -> str:
        moment = int(time.time())
        claims = {
            "iss": self.name,
            "aud": ID,
            "sub": "u-1",
            "iat": moment,
            "exp": moment + 300,
            "nonce": nonce,
            **self.claims,
        }
        key: Any = self.key
        header = {"alg": "RS256", "kid": "one"}
        if self.lie == "key":
            key = RSAKey.generate_key(2048, {"kid": "one"})
        elif self.lie == "none":
            parts = [
                base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode()
                for one in ({"alg": "none"}, claims)
            ]
            return f"{parts[0]}.{parts[1]}."
        elif self.lie == "shared":
            header, key = {"alg": "HS256", "kid": "one"}, OctKey.import_key(self.key.as_pem(private=False))
            return jwt.encode(header, claims, key, algorithms=["HS256"])
        claims |= {
            "nonce": {"nonce": "another"}, "aud": {"aud": "somebody else"}, "issuer": {"iss": "https://evil.example"},
            "old": {"exp": moment - 3600, "iat": moment - 7200}, "azp": {"aud": [ID, "other"], "azp": "other"},
        }.get(self.lie, {})  # fmt: skip
        return jwt.encode(header, claims, key)


@contextmanager
def issuer() -> Iterator[Issuer]:
    """A running provider."""
    seen = Issuer()

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            root = f"http://127.0.0.1:{seen.port}"
            if self.path == "/realm/.well-known/openid-configuration":
                doors = {
                    "authorization_endpoint": f"{root}/authorize",
                    "token_endpoint": f"{root}/token",
                    "jwks_uri": f"{root}/keys",
                }
                named = "https://other.example" if seen.lie == "name" else seen.name
                if seen.lie == "plain":
                    doors["token_endpoint"] = "http://idp.example.com/token"
                self._say(200, {"issuer": named, **doors})
            elif self.path == "/keys":
                self._say(200, {"keys": [seen.key.as_dict(private=False)]})
            else:
                self._say(404, {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._say(*seen.token(self.headers, {name: values[0] for name, values in parse_qs(body).items()}))

        def _say(self, status: int, told: dict[str, Any]) -> None:
            packed = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(packed)))
            self.end_headers()
            self.wfile.write(packed)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    seen.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
