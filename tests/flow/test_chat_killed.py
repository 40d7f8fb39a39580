"""The web server is killed between a message and its answer; what is sent again under its name is said exactly once."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import signal
import socket
import threading
import time
import urllib.parse

import psycopg
import requests

from tests.installation import Installation, installed, until

ROUNDS = 6


def enter(running: Installation) -> tuple[str, int]:
    """(cookie, thread) of an administrator."""
    token = secrets.token_urlsafe(32)
    with psycopg.connect(running.database_url, autocommit=True) as connection:
        person = connection.execute(
            "insert into person (login, name, password_hash, role) values ('rina', 'Rina', '-', 'admin') returning id"
        ).fetchone()
        assert person
        connection.execute(
            "insert into session (id, person_id, seen_at) values (%s, %s, now() + interval '1 hour')",
            [hashlib.sha256(token.encode()).hexdigest(), person[0]],
        )
        found = connection.execute("select id from thread where person_id = %s", person).fetchone()
    assert found
    return token, int(found[0])


def send_and_leave(running: Installation, cookie: str, path: str, body: str) -> None:
    """The whole request, and nobody waits for the answer."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nCookie: pantau-session={cookie}\r\nAccept: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    line = socket.create_connection(("127.0.0.1", running.port), 5)
    line.sendall((head + body).encode())
    threading.Timer(5, line.close).start()


def test_a_message_survives_kills_of_the_web_between_sending_and_answer_exactly_once() -> None:
    with installed() as running:
        until(lambda: running.answers)
        cookie, thread = enter(running)
        session = requests.Session()
        session.cookies.set("pantau-session", cookie, domain="127.0.0.1")
        for number in range(ROUNDS):
            until(lambda: running.answers)
            page = session.get(f"{running.address}/chat/{thread}", timeout=20).text
            token = re.search(r'name="csrf" value="([^"]+)"', page)
            assert token
            form = {"csrf": token[1], "client": f"message-number-{number}", "text": f"word {number}"}
            send_and_leave(running, cookie, f"/chat/{thread}", urllib.parse.urlencode(form))
            time.sleep(number * 0.02)  # before it is read, while it is written, after it was
            web = until(lambda: running.children().get("web"))
            os.kill(web, signal.SIGKILL)
            until(lambda gone=web: running.answers and running.children().get("web") not in (None, gone))  # type: ignore[misc]
            answer = session.post(
                f"{running.address}/chat/{thread}", form, headers={"Accept": "application/json"}, timeout=30
            )
            assert answer.status_code == 200, answer.text[:300]
        said = running.query("select body, number from message where kind = 'said' order by number")
        assert [body for body, _ in said] == [f"word {number}" for number in range(ROUNDS)]
        news = session.get(f"{running.address}/chat/{thread}/messages?after=0", timeout=20).json()
        assert [one["number"] for one in news["messages"]] == [number for _, number in said]
