"""Reads everybody, every policy and every rota from their tables, as the rules about who is told want them."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

from psycopg import Cursor

from domain.audience import Hours, House, Member, Policy, Rota, Shift, Step
from domain.rights import EVERYWHERE, OF, Right, roles_with

USABLE = (
    "r.enabled and r.gone_at is null and r.verified_at is not null and c.enabled and (r.person_id is null or p.active)"
)
"""A route that something can be told on."""


def reach(right: Right, host: str, person: str) -> str:
    """SQL: whether the person (an expression) has `right` with the machine of this alias, as domain.inventory.within."""
    whole = ", ".join(f"'{role}'" for role in EVERYWHERE if right in OF[role])
    local = ", ".join(f"'{role}'" for role in roles_with(right))
    return (
        f"(exists (select from person v where v.id = {person} and v.role in ({whole})) or {host}.division_id in"  # noqa: S608 - our own words
        f" (select division_id from membership where person_id = {person} and role in ({local})))"
    )


def house(cursor: Cursor[Any], now: datetime) -> House:
    """Everybody, every policy, every rota, as they are now."""
    roles: dict[int, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in cursor.execute("select person_id, division_id, role from membership").fetchall():
        roles[row["person_id"]][row["division_id"]].add(row["role"])
    members = {
        row["id"]: Member(
            row["id"],
            row["name"],
            row["role"] == "admin",
            {d: frozenset(r) for d, r in roles[row["id"]].items()},
            Right.SEE in OF[row["role"]],
        )
        for row in cursor.execute("select id, name, role from person where active").fetchall()
    }
    usable = cursor.execute(
        "select r.id, r.person_id from route r join channel c on c.id = r.channel_id"  # noqa: S608 - our own words
        f" left join person p on p.id = r.person_id where {USABLE}"
    ).fetchall()
    return House(
        members,
        _policies(cursor),
        _rotas(cursor, now),
        frozenset(row["person_id"] for row in usable if row["person_id"] is not None),
        frozenset(row["id"] for row in usable if row["person_id"] is None),
    )


def _policies(cursor: Cursor[Any]) -> list[Policy]:
    found = []
    for row in cursor.execute("select * from policy where enabled order by position, id").fetchall():
        hours = None
        if row["from_minute"] is not None:
            hours = Hours(row["from_minute"], row["to_minute"], row["zone"], frozenset(row["days"]))
        steps = tuple(Step(float(step["after"]), tuple(step["to"])) for step in row["steps"])
        found.append(
            Policy(row["name"], steps, row["division_id"], row["site_id"], row["group_id"], row["severity"], hours)
        )
    return found


def _rotas(cursor: Cursor[Any], now: datetime) -> dict[int, Rota]:
    shifts: dict[int, list[Shift]] = defaultdict(list)
    for row in cursor.execute(
        "select rota_id, person_id, since, until from shift where until > %s order by id", [now]
    ).fetchall():
        shifts[row["rota_id"]].append(Shift(row["person_id"], row["since"], row["until"]))
    return {
        row["id"]: Rota(tuple(row["people"]), row["starts_at"], row["days"], row["zone"], tuple(shifts[row["id"]]))
        for row in cursor.execute("select * from rota").fetchall()
    }
