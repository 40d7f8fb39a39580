"""The way to a machine: edited by hand, never in a circle, found by tracing and by guests."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.inventory import Host
from domain.records import FactSeen
from domain.requests import Discovery, Found
from tests.webui.cast import Town, Visitor
from webui import topology


def parents(session: Session, host: Host) -> set[str]:
    session.expire_all()
    return {one.name for one in host.parents}


def test_parents_are_chosen_and_taken_away_and_several_are_explained(
    rina: Visitor, town: Town, session: Session
) -> None:
    web, a, b = (town.machine(name, "10.0.0.1") for name in ("web", "sw-a", "sw-b"))
    page = f"/machines/{web.id}/way"
    assert rina.post(page, {"parent": [a.id, ""]}, page=f"/machines/{web.id}/edit").status_code == 303
    assert parents(session, web) == {"sw-a"}
    assert "nobody is told of it" in rina.get(page).text
    rina.post(page, {"parent": [a.id, b.id]})
    assert parents(session, web) == {"sw-a", "sw-b"}
    assert "only while all of them are down" in rina.get(page).text
    assert "only while all of them are down" in rina.get(f"/machines/{web.id}/edit").text
    rina.post(page, {})
    assert parents(session, web) == set()


def test_a_circle_is_refused_with_the_way_it_would_take(rina: Visitor, town: Town, session: Session) -> None:
    a, b, c = (town.machine(name, "10.0.0.1") for name in ("aa", "bb", "cc"))
    b.parents, c.parents = [a], [b]
    session.commit()
    answer = rina.post(f"/machines/{a.id}/way", {"parent": [c.id]})
    assert answer.status_code == 422
    assert "cc → bb → aa" in answer.text
    assert "go round in a circle" in answer.text
    assert parents(session, a) == set()
    assert rina.post(f"/machines/{a.id}/way", {"parent": [a.id]}).status_code == 422


def test_what_is_behind_is_listed_however_far_and_with_its_other_ways(
    rina: Visitor, town: Town, session: Session
) -> None:
    router, switch, pc, other = (town.machine(name, "10.0.0.1") for name in ("router", "switch", "pc", "lte"))
    switch.parents, pc.parents = [router], [switch, other]
    session.commit()
    page = rina.get(f"/machines/{router.id}").text
    assert re.search(r">switch</a></li>", page)
    assert re.search(r">pc</a> <span class=\"meta\">further behind</span> <span class=\"meta\">also by lte", page)
    assert "Behind this machine" not in rina.get(f"/machines/{pc.id}").text


def test_the_way_is_traced_once_however_often_it_is_asked_and_the_nearest_watched_hop_suggested(
    rina: Visitor, town: Town, session: Session
) -> None:
    far, near = town.machine("far", "10.9.0.1"), town.machine("near", "10.0.0.1")
    town.machine("sw", "10.0.0.2")
    page = f"/machines/{far.id}/way"
    for _ in range(3):
        assert rina.post(f"{page}/find", {}, page=page).status_code == 303
    asked = session.scalars(select(Discovery)).one()
    assert (asked.addresses, asked.trace) == (["10.9.0.1"], True)
    path = ["10.0.0.2", "10.0.0.1", "172.16.0.1"]
    session.add(Found(discovery_id=asked.id, address="10.9.0.1", place=0, seen={"path": path, "watched": "far"}))
    asked.done_at = town.now
    session.commit()
    text = rina.get(page).text
    assert text.index("10.0.0.2") < text.index("10.0.0.1</span>") < text.index("172.16.0.1")
    assert "not watched" in text
    assert re.search(r"<b>near</b>.*?last watched machine", text, re.S)
    assert not re.search(r"<b>sw</b>", text)
    rina.post(page, {"parent": [near.id]})
    assert parents(session, far) == {"near"}
    assert "last watched machine" not in rina.get(page).text


def test_a_trace_nobody_answers_says_so_and_can_be_asked_again(rina: Visitor, town: Town, session: Session) -> None:
    far = town.machine("far", "10.9.0.1")
    page = f"/machines/{far.id}/way"
    session.add(Discovery(id="x", addresses=["10.9.0.1"], rate=50, asked_at=town.now - timedelta(minutes=5)))
    session.commit()
    assert "The poller did not answer" in rina.get(page).text
    rina.post(f"{page}/find", {}, page=page)
    assert len(session.scalars(select(Discovery)).all()) == 2


def test_a_machine_that_does_not_answer_cannot_be_traced_and_the_page_says_so(
    rina: Visitor, town: Town, session: Session
) -> None:
    far = town.machine("far", "10.9.0.1", "down")
    asked = Discovery(id="x", addresses=["10.9.0.1"], rate=50, done_at=town.now)
    session.add(asked)
    session.commit()
    page = f"/machines/{far.id}/way"
    assert "It does not answer now" in rina.get(page).text
    session.add(Found(discovery_id="x", address="10.9.0.1", place=0, seen={"path": []}))
    session.commit()
    assert "it is a neighbour" in rina.get(page).text


def test_a_hypervisor_that_tells_of_a_guest_is_suggested_as_its_parent(
    rina: Visitor, town: Town, session: Session
) -> None:
    node, guest = town.machine("hv1", "10.0.0.1"), town.machine("files", "10.0.0.2")
    session.add(
        FactSeen(
            check_id=node.checks[0].id, host_id=node.id, name="hyperv.guest.state", part="FILES", value="running",
            since=town.now,
        )
    )  # fmt: skip
    session.commit()
    assert re.search(r"<b>hv1</b>.*?as its guest", rina.get(f"/machines/{guest.id}/way").text, re.S)
    node.parents = [guest]
    session.commit()
    assert "as its guest" not in rina.get(f"/machines/{guest.id}/way").text


LINKS = st.sets(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=14)


@given(LINKS, st.integers(1, 6), st.integers(1, 6))
def test_a_circle_is_found_exactly_where_there_is_a_way_up(links: set[tuple[int, int]], child: int, parent: int) -> None:  # fmt: skip
    way = topology.circle(links, child, parent)
    reach = {parent}
    while True:
        more = reach | {above for below, above in links if below in reach}
        if more == reach:
            break
        reach = more
    assert bool(way) == (child in reach)
    if way:
        assert (way[0], way[-1]) == (parent, child)
        assert all((a, b) in links for a, b in pairwise(way))
