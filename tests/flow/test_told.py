"""A change is told to the right people, once, by the way they chose; and what needs no telling is not told."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from tests.channels.mailserver import Mail, office
from tests.flow.people import Village
from tests.installation import until


@pytest.fixture
def village(database_url: str, tmp_path: Path) -> Village:
    made = Village(database_url, tmp_path)
    made.division("finance")
    made.division("sales")
    return made


def subjects(taken: list[Mail], to: str) -> list[str]:
    return [str(mail.message["Subject"]) for mail in taken if to in mail.to]


def test_the_pic_of_its_division_is_told_and_the_other_one_is_not(village: Village) -> None:
    with office() as post:
        channel = village.mail(post.port)
        rina, budi = village.person("rina", finance="pic"), village.person("budi", sales="pic")
        village.route(rina, channel, {"mailbox": "rina@example.org"})
        village.route(budi, channel, {"mailbox": "budi@example.org"})
        machine = village.machine("db-02", "finance", runbook="Call the provider.")
        with village.notifier():
            village.trouble(machine)
            until(lambda: post.taken)
            village.well(machine)
            until(lambda: len(post.taken) >= 2)
        assert subjects(post.taken, "rina@example.org") == ["db-02 is down", "db-02 is up again"]
        assert subjects(post.taken, "budi@example.org") == []
        first, second = (mail.message for mail in post.taken)
        body = first.get_body(("plain",)).get_content()  # type: ignore[union-attr]
        assert "No answer to 10 pings." in body and "Call the provider." in body and "finance" in body
        assert second["In-Reply-To"] == first["Message-ID"]
    assert village.deliveries() == [("sent", ""), ("sent", "")]
    assert village.ask("select * from mark") == []


def test_a_reader_of_indonesian_reads_indonesian(village: Village) -> None:
    with office() as post:
        channel = village.mail(post.port)
        rina = village.person("rina", language="id", finance="pic")
        village.route(rina, channel, {"mailbox": "rina@example.org"})
        machine = village.machine("db-02", "finance")
        with village.notifier():
            village.trouble(machine)
            until(lambda: post.taken)
        (mail,) = post.taken
        assert mail.message["Subject"] != "db-02 is down" and "db-02" in str(mail.message["Subject"])


def acknowledge(village: Village, host: int, person: int) -> None:
    village.ask(
        "update incident set owner_id = %s, acknowledged_at = now() + interval '1 second' where host_id = %s",
        person,
        host,
    )


def due(village: Village) -> None:
    """The next rungs of all ladders are due now."""
    village.ask("update escalation set due_at = now() where done_at is null")
    village.ask("select pg_notify('notice', '')")


def test_nobody_having_it_in_hand_it_climbs_the_ladder_until_somebody_has(village: Village) -> None:
    with office() as post:
        channel = village.mail(post.port)
        rina = village.person("rina", finance="pic")
        for login, person in (
            ("rina", rina), ("dewi", village.person("dewi", finance="deputy")), ("root", village.person("root", "admin")),
        ):  # fmt: skip
            village.route(person, channel, {"mailbox": f"{login}@example.org"})
        first, second = village.machine("db-01", "finance"), village.machine("db-02", "finance")
        with village.notifier():
            village.trouble(first)
            village.trouble(second)
            until(lambda: len(post.taken) == 2)
            assert {to for mail in post.taken for to in mail.to} == {"rina@example.org"}
            acknowledge(village, first, rina)
            due(village)
            until(lambda: len(post.taken) == 4)
            village.well(second)
            until(lambda: subjects(post.taken, "root@example.org") == ["db-02 is down", "db-02 is up again"])
        assert subjects(post.taken, "dewi@example.org") == ["db-02 is down", "db-02 is up again"]
        outcomes = village.ask("select n.host_id, e.outcome from escalation e join notice n on n.id = e.notice_id")
        assert {(row["host_id"], row["outcome"]) for row in outcomes} == {(first, "in hand"), (second, "told")}


def test_a_thousand_machines_at_once_are_one_digest_for_whoever_sees_them_and_one_message_for_whoever_sees_one(
    village: Village,
) -> None:
    with office() as post:
        channel = village.mail(post.port)
        rina, budi = village.person("rina", finance="pic"), village.person("budi", sales="pic")
        village.route(rina, channel, {"mailbox": "rina@example.org"})
        village.route(budi, channel, {"mailbox": "budi@example.org"})
        hosts = [village.machine(f"m{number}", "finance") for number in range(999)] + [village.machine("s1", "sales")]
        village.ask(
            "insert into notice (at, kind, subject, host_id, state, since)"
            " select now(), 'problem', 'host:' || h, h, 'down', now() from unnest(%s::int[]) as h",
            hosts,
        )
        with village.notifier():
            until(lambda: village.one("select count(*) from delivery where state = 'sent'") == 1000, 120)
        (one,) = subjects(post.taken, "budi@example.org")
        many = subjects(post.taken, "rina@example.org")
        assert one == "s1 is down" and many == ["999 problems"]
        assert village.one("select count(*) from mark") == 1000
        assert village.one("select count(*) from procrastinate_jobs") == 0


def test_one_poisoned_message_among_many_is_a_dead_letter_and_stops_nothing(village: Village) -> None:
    with office() as post:
        channel = village.mail(post.port)
        rina = village.person("rina", finance="pic")
        village.route(rina, channel, {"mailbox": "rina@example.org"}, hourly=1000)
        hosts = [village.machine(f"m{number}", "finance") for number in range(5)]
        with village.notifier() as process:
            for number, host in enumerate(hosts):
                village.trouble(
                    host, since="9999-12-31 23:59+00" if number == 2 else ""
                )  # no calendar of a reader has it
            until(lambda: village.one("select count(*) from delivery where state in ('sent', 'dead')") == 5)
            assert process.poll() is None
        assert len(post.taken) == 4
        assert [row["state"] for row in village.ask("select state from delivery order by id")] == [
            "sent", "sent", "dead", "sent", "sent",
        ]  # fmt: skip


def test_a_wording_that_does_not_hold_costs_no_alarm(village: Village) -> None:
    with office() as post:
        channel = village.mail(post.port)
        village.route(village.person("rina", finance="pic"), channel, {"mailbox": "rina@example.org"})
        village.ask(
            "insert into wording (kind, language, title, body) values ('problem', 'en', %s, '{{ cause }}')",
            "{{ name * 900000000 }}",
        )
        with village.notifier():
            village.trouble(village.machine("db-02", "finance"))
            until(lambda: post.taken)
        assert subjects(post.taken, "rina@example.org") == ["db-02 is down"]


def test_who_may_not_see_a_machine_any_more_hears_no_more_of_it(village: Village) -> None:
    with office() as post:
        channel = village.mail(post.port)
        rina, dewi = village.person("rina", finance="pic"), village.person("dewi", finance="pic")
        for login, person in (("rina", rina), ("dewi", dewi)):
            village.route(person, channel, {"mailbox": f"{login}@example.org"})
        machine = village.machine("db-02", "finance")
        with village.notifier():
            village.trouble(machine)
            until(lambda: len(post.taken) == 2)
            village.ask("delete from membership where person_id = %s", rina)
            village.well(machine)
            until(lambda: village.one("select count(*) from delivery where state in ('sent', 'dropped')") == 4)
        assert subjects(post.taken, "rina@example.org") == ["db-02 is down"]
        assert subjects(post.taken, "dewi@example.org") == ["db-02 is down", "db-02 is up again"]
    assert village.ask("select * from mark") == []


def test_a_message_names_only_machines_its_reader_may_see(village: Village) -> None:
    with office() as post:
        channel = village.mail(post.port)
        village.route(village.person("rina", finance="pic"), channel, {"mailbox": "rina@example.org"})
        village.route(village.person("root", "admin", finance="pic"), channel, {"mailbox": "root@example.org"})
        group = village.route(None, channel, {"mailbox": "group@example.org"})
        village.ask(
            "insert into policy (position, name, zone, steps) values (1, 'all', 'UTC', %s::jsonb)",
            f'[{{"after": 0, "to": ["pic", "route:{group}"]}}]',
        )
        router, core = village.machine("router", "finance"), village.machine("secret-core", "sales")
        village.ask("insert into host_parent (host_id, parent_id) values (%s, %s)", router, core)
        incident = village.one(
            "insert into incident (subject, host_id, state, since, opened_at, cause) values (%s, %s, 'down', now(), now(), '')"
            " returning id", f"host:{router}", router,
        )  # fmt: skip
        for host in (village.machine("till-1", "finance"), village.machine("secret-db", "sales")):
            village.ask(
                "insert into incident_member (incident_id, host_id, since) values (%s, %s, now())", incident, host
            )
        with village.notifier():
            village.trouble(router)
            until(lambda: len(post.taken) == 3)
        bodies = {mail.to[0]: mail.message.as_string() for mail in post.taken}
        for narrow in ("rina@example.org", "group@example.org"):  # a group reads of the division it is told of
            assert "till-1" in bodies[narrow] and "secret" not in bodies[narrow]
            assert "1 machine behind it" in bodies[narrow]
        assert "secret-db" in bodies["root@example.org"] and "secret-core" in bodies["root@example.org"]


def test_an_address_that_is_gone_is_told_nothing_more_and_the_others_everything(village: Village) -> None:
    with office() as post:
        channel = village.mail(post.port)
        rina = village.person("rina", finance="pic")
        village.route(rina, channel, {"mailbox": "rina@example.org"})
        machine = village.machine("db-02", "finance")
        post.refuse["RCPT"] = "550 5.1.1 no such user"
        with village.notifier():
            village.trouble(machine)
            until(lambda: village.ask("select 1 from delivery where state = 'dead'"))
            assert village.one("select gone_at is not null from route")
            village.well(machine)
            until(lambda: village.one("select count(*) from notice where routed_at is null") == 0)
        assert [state for state, _ in village.deliveries()] == ["dead"]


def test_a_server_that_refuses_for_a_while_gets_it_later_and_nothing_is_out_of_order(village: Village) -> None:
    with office() as post:
        channel = village.mail(post.port)
        rina = village.person("rina", finance="pic")
        village.route(rina, channel, {"mailbox": "rina@example.org"})
        first, second = village.machine("db-01", "finance"), village.machine("db-02", "finance")
        post.refuse["DATA"] = "451 4.3.0 try again later"
        with village.notifier():
            village.trouble(first)
            until(lambda: village.ask("select 1 from delivery where attempts > 0 and state = 'waiting'"))
            village.trouble(second)
            post.refuse.clear()
            until(lambda: len(post.taken) == 2, 40)
        assert subjects(post.taken, "rina@example.org") == ["db-01 is down", "db-02 is down"]


def test_a_test_message_tells_every_hop_and_what_to_do_where_it_fails(village: Village) -> None:
    with office() as post:
        channel = village.mail(post.port)
        rina = village.person("rina", finance="pic")
        route = village.route(rina, channel, {"mailbox": "rina@example.org"})
        with village.notifier():
            village.ask("insert into trial (id, route_id) values ('t1', %s)", route)
            until(lambda: village.one("select done_at is not null from trial where id = 't1'"))
            answer = village.one("select answer from trial where id = 't1'")
            assert answer["sent"] and [hop["ok"] for hop in answer["hops"]] == [True] * len(answer["hops"])
            assert subjects(post.taken, "rina@example.org") == ["A test message of Pantau"]
            village.ask(
                "insert into trial (id, asked) values ('t2', %s::jsonb)",
                '{"kind": "email", "options": {"host": "127.0.0.1", "port": 1, "sender": "a@example.org", "security": "none"},'
                ' "address": {"mailbox": "rina@example.org"}}',
            )
            until(lambda: village.one("select done_at is not null from trial where id = 't2'"))
        answer = village.one("select answer from trial where id = 't2'")
        assert not answer["sent"] and "refuses" in answer["sentence"]


def test_a_second_notifier_stands_by_and_takes_over(village: Village) -> None:
    with office() as post:
        channel = village.mail(post.port)
        village.route(village.person("rina", finance="pic"), channel, {"mailbox": "rina@example.org"})
        machine = village.machine("db-02", "finance")
        with village.notifier() as first, village.notifier():
            village.trouble(machine)
            until(lambda: len(post.taken) == 1)
            first.kill()
            village.well(machine)
            until(lambda: len(post.taken) == 2)
        assert subjects(post.taken, "rina@example.org") == ["db-02 is down", "db-02 is up again"]


def test_one_poisoned_message_among_a_thousand_is_a_dead_letter_and_999_arrive(village: Village) -> None:
    with office() as post:
        channel = village.mail(post.port)
        machine = village.machine("db-02", "finance")
        village.ask(
            "with made as (insert into person (login, name, password_hash, role, language)"
            " select 'p' || n, 'P' || n, 'x', 'none', case when n = 500 then 'id' else 'en' end"
            " from generate_series(1, 1000) as n returning id, login),"
            " joined as (insert into membership select made.id, division.id, 'staff' from made, division where name = 'finance')"
            " insert into route (person_id, channel_id, address, verified_at)"
            " select id, %s, jsonb_build_object('mailbox', login || '@example.org'), now() from made",
            channel,
        )
        village.ask(
            "update route set zone = 'Nowhere/At_All' from person p where p.id = route.person_id and p.login = 'p500'"
        )
        with village.notifier() as process:
            village.trouble(machine)
            until(lambda: village.one("select count(*) from delivery where state in ('sent', 'dead')") == 1000, 120)
            assert process.poll() is None
        assert len({mail.to[0] for mail in post.taken}) == len(post.taken) == 999
        (dead,) = village.ask(
            "select p.login from delivery d join person p on p.id = d.person_id where d.state = 'dead'"
        )
        assert dead["login"] == "p500"


def test_after_a_long_outage_of_a_channel_one_digest_says_what_still_holds(village: Village) -> None:
    with office() as post:
        channel = village.mail(post.port)
        rina = village.person("rina", finance="pic")
        village.route(rina, channel, {"mailbox": "rina@example.org"})
        hosts = [village.machine(f"db-0{number}", "finance") for number in range(4)]
        post.refuse["MAIL"] = "421 4.3.2 shutting down"
        with village.notifier():
            for host in hosts:
                village.trouble(host, ago=2 * 3600)
            until(lambda: village.ask("select 1 from delivery where attempts > 0 and state = 'waiting'"))
            village.well(hosts[0])
            until(lambda: village.one("select count(*) from delivery") == 5)
            post.refuse.clear()
            until(lambda: post.taken, 60)
            until(lambda: village.one("select count(*) from delivery where state in ('waiting', 'sending')") == 0)
        assert subjects(post.taken, "rina@example.org") == ["3 problems"]
        assert "db-00" not in post.taken[0].raw.decode()


def test_told_to_stop_while_a_message_hangs_it_stops_and_the_next_one_sends_it(village: Village) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf, office() as post:
        channel = village.mail(deaf.getsockname()[1])
        village.route(village.person("rina", finance="pic"), channel, {"mailbox": "rina@example.org"})
        process = village.start()
        village.trouble(village.machine("db-02", "finance"))
        until(lambda: village.ask("select 1 from delivery where state = 'sending'"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        village.ask("update channel set options = jsonb_set(options, '{port}', to_jsonb(%s::int))", post.port)
        with village.notifier():
            until(lambda: post.taken)
        assert subjects(post.taken, "rina@example.org") == ["db-02 is down"]
