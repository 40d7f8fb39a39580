"""A program that calls the API: it carries a token, and nothing else."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from domain.inventory import Person
from domain.tokens import SCOPES
from webui import bearer

HOME = "/api/v1"


@dataclass
class Program:
    """Whoever knows this token, or nobody where it is empty."""

    client: FlaskClient
    token: str

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        """One request; header names are written with underscores."""
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            said["Authorization"] = f"Bearer {self.token}"
        more = {} if body is None else {"json": body}
        return self.client.open(f"{HOME}{path}", method=method, headers=said, **more)

    def get(self, path: str, **headers: str) -> TestResponse:
        """Read."""
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> TestResponse:
        """Make, or have done."""
        return self.ask("POST", path, body, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> TestResponse:
        """Change."""
        return self.ask("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> TestResponse:
        """Take away."""
        return self.ask("DELETE", path, **headers)


def program(app: Flask, session: Session, person: Person, scopes: Collection[str] = tuple(SCOPES)) -> Program:  # fmt: skip
    """A program in the name of `person`."""
    _, token = bearer.make(session, person, "a test", scopes)
    session.commit()
    return Program(app.test_client(use_cookies=False), token)


def problem(answer: TestResponse, code: int) -> dict[str, Any]:
    """The problem an answer tells; its status is `code`."""
    assert answer.status_code == code, (answer.status_code, answer.text)
    assert answer.mimetype == "application/problem+json"
    told: dict[str, Any] = answer.get_json()
    assert told["status"] == code
    assert told["detail"].endswith("."), told
    return told
