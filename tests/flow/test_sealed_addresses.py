"""Addresses that are secrets: stored in a box, opened by the notifier alone, delivered to, and of no use anywhere else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.errors import CheckViolation, InsufficientPrivilege
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from config import vault
from notifier import addresses
from notifier.channels import catalogue
from notifier.channels.anything import Address as AppriseAddress
from notifier.channels.base import Undelivered
from notifier.channels.webhook import Address as HookAddress
from notifier.hands import Hands
from notifier.outbox import ROUTE
from poller import rotation
from poller.rotation import Ring
from probes.base import Keep
from tests.channels.standin import Provider, Reply, provider
from tests.channels.test_channel_webpush import OPTIONS, SECRET, Device
from tests.flow.people import Village
from tests.flow.test_moved_channels import MESSAGE
from tests.installation import until

TOKEN = "canarytoken0123456789"
HERE = {"hosts": ["127.0.0.1"]}


@pytest.fixture
def village(database_url: str, tmp_path: Path) -> Village:
    made = Village(database_url, tmp_path)
    made.division("finance")
    return made


@pytest.fixture
def peer() -> Iterator[Provider]:
    """A machine that takes webhooks, an ntfy server and a push service, all in one."""
    with provider(Reply(201, b"{}")) as running:
        yield running


@pytest.fixture
def hands(village: Village) -> Iterator[Hands]:
    keep = Keep()
    yield Hands(vault.opener(village.place / "notifier.key"), keep)
    keep.close()


def places(peer: Provider) -> dict[str, Any]:
    """An address of each kind that is a secret, and all of them lead to `peer`."""
    return {
        "webhook": HookAddress(f"{peer.url}/hook/{TOKEN}"),
        "apprise": AppriseAddress(f"json://127.0.0.1:{peer.port}/{TOKEN}"),
        "webpush": Device(f"{peer.url}/push/{TOKEN}").address,
    }


def channels(village: Village) -> dict[str, int]:
    """A channel of each of these kinds."""
    made = {kind: village.channel(kind, kind, HERE) for kind in ("webhook", "apprise")}
    made["webpush"] = village.channel("webpush", "webpush", {**asdict(OPTIONS), "hosts": ["127.0.0.1"]})
    place = vault.new_place(made["webpush"])
    box = vault.sealer(village.place / "notifier.pub").seal(json.dumps(SECRET).encode(), f"channel:{place}")
    village.ask("update channel set sealed = %s, seal_id = %s where id = %s", box, place, made["webpush"])
    return made


def lay(village: Village, person: int, channel: int, kind: str, address: Any) -> int:
    """A route as the pages store it."""
    id = int(village.one("select nextval(pg_get_serial_sequence('route', 'id'))"))
    found = addresses.stored(
        catalogue()[kind], address, id, lambda: vault.sealer(village.place / "notifier.pub")
    )  # fmt: skip
    village.ask(
        "insert into route (id, person_id, channel_id, address, sealed, seal_id, verified_at) values (%s, %s, %s, %s, %s, %s, now())",
        id, person, channel, Jsonb(found.address), found.sealed, found.seal_id,
    )  # fmt: skip
    return id


def everything(village: Village) -> str:
    """What a dump of the database would hold, and the files beside it."""
    tables = village.ask("select tablename from pg_tables where schemaname = 'public'")
    rows = [
        str([row["row"] for row in village.ask(f'select t::text as row from "{one["tablename"]}" t')]) for one in tables
    ]
    files = [path.read_text(errors="replace") for path in village.place.iterdir() if path.is_file()]
    return "\n".join(rows + files)


@pytest.mark.timeout(300)
def test_addresses_of_before_are_sealed_and_told_all_the_same_also_after_a_new_key(
    village: Village, peer: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANTAU_LOG_LEVEL", "debug")
    ways, rina = channels(village), village.person("rina", finance="pic")
    village.ask("update person set role = 'admin'")  # the emergency's file holds what leads to administrators
    for kind, address in places(peer).items():
        village.route(rina, ways[kind], addresses.plain(asdict(address)))
    machines = [village.machine(f"db-{number}", "finance") for number in (1, 2)]
    assert TOKEN in everything(village)
    with village.notifier():
        until(lambda: village.one("select count(*) from route where sealed is not null") == 3)
        village.trouble(machines[0])
        until(lambda: village.one("select count(*) from delivery where state = 'sent'") == 3)
        assert {asked.path.rstrip("/") for asked in peer.asked} == {f"/hook/{TOKEN}", f"/{TOKEN}", f"/push/{TOKEN}"}
        until(lambda: (village.place / "emergency.json").exists())
        ring = Ring("notifier", village.place / "notifier.key", village.place / "notifier.pub", rotation.NOTIFIER)
        before = {row["sealed"] for row in village.ask("select sealed from route")}
        with psycopg.connect(village.url, autocommit=True) as line:
            result = rotation.rotate(line, ring, lambda text: None)
        assert (result.sealed, result.lost) == (4, [])  # three addresses and the key of push
        assert before.isdisjoint({row["sealed"] for row in village.ask("select sealed from route")})
        village.trouble(machines[1])
        until(lambda: village.one("select count(*) from delivery where state = 'sent'") == 6)
    assert len(peer.asked) == 6
    assert TOKEN not in everything(village)
    assert "3 addresses that are secrets lay open" in (village.place / "notifier.log").read_text()
    told = village.ask("select detail from audit where what = 'route.changed'")
    assert told and all(set(row["detail"]) == {"id", "hidden"} or "changed" not in row["detail"] for row in told)


@pytest.mark.parametrize("what", ["sealed = o.sealed", "sealed = o.sealed, seal_id = o.seal_id"])
def test_the_box_of_another_row_leads_nobody_there(village: Village, peer: Provider, hands: Hands, what: str) -> None:
    ways = channels(village)
    routes = [
        lay(village, village.person(login), ways["webhook"], "webhook", HookAddress(f"{peer.url}/hook/{login}"))
        for login in ("rina", "budi")
    ]

    def deliver(route: int) -> None:
        with psycopg.connect(village.url, row_factory=dict_row) as connection:
            row = connection.execute(ROUTE.encode(), [route]).fetchone()
        assert row
        hands.deliver(MESSAGE, row)

    for route in routes:
        deliver(route)
    assert [asked.path for asked in peer.asked] == ["/hook/rina", "/hook/budi"]
    village.ask(f"update route r set {what} from route o where o.id <> r.id")
    for route in routes:
        with pytest.raises(Undelivered, match="does not open"):
            deliver(route)
    assert len(peer.asked) == 2


def test_no_room_but_the_notifiers_reads_the_box_and_no_row_has_half_of_one(
    village: Village, peer: Provider, role_url: Callable[[str], str]
) -> None:
    ways = channels(village)
    lay(village, village.person("rina"), ways["apprise"], "apprise", places(peer)["apprise"])
    for room in ("web", "poller", "reader"):
        with psycopg.connect(role_url(room)) as connection, pytest.raises(InsufficientPrivilege):
            connection.execute("select sealed from route")
    for room in ("web", "poller"):
        with psycopg.connect(role_url(room)) as connection:
            assert connection.execute("select address from route").fetchall() == [({"service": "json"},)]
    with psycopg.connect(role_url("notifier")) as connection:
        assert connection.execute("select sealed is not null from route").fetchall() == [(True,)]
    with pytest.raises(CheckViolation):
        village.ask("update route set seal_id = ''")


def test_what_may_be_read_of_an_address_gives_nothing_of_it_away() -> None:
    private = {kind for kind, channel in catalogue().items() if channel.private}
    assert private == {"webhook", "apprise", "webpush"}
    url = f"https://hooks.example.org/x/{TOKEN}?key={TOKEN}"
    shown = {
        "webhook": ({"host": "hooks.example.org"}, HookAddress(url)),
        "apprise": ({"service": "slack"}, AppriseAddress(f"slack://{TOKEN}/B/C")),
    }
    for kind, (expected, address) in shown.items():
        channel = catalogue()[kind]
        assert channel.shown and channel.shown(address) == expected and TOKEN not in repr(address)
    one, other = Device(url), Device(url)
    marks = [catalogue()["webpush"].shown(device.address) for device in (one, other, one)]  # type: ignore[misc]
    assert marks[0] == marks[2] != marks[1] and marks[0]["mark"] == marks[1]["mark"]
    assert TOKEN not in str(marks) + repr(one.address)
