"""What strangers are told: real servers greet, hostile ones are cut off, and nobody is believed or logged in to."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
from snmpagents import AUTH, COMMUNITY, PRIV, Snmpd
from talkers import dripping, endless, saying, silent, talking
from webpeers import Authority, response, web

from domain.reading import Secret
from probes import greet
from probes.base import Keep
from probes.names import Place

HERE = Place("127.0.0.1", socket.AF_INET)
PAGE = b"<html><head><TITLE lang='id'>\n  Gudang &amp; Kantor\x1b[31m </title></head>" + b"x" * 50_000


async def test_a_page_tells_its_title_its_server_and_the_names_of_a_certificate_nobody_vouches_for(
    tmp_path: Path,
) -> None:
    context, _ = Authority(tmp_path).server("erp.kantor.example", "10.0.0.5", alone=True)
    with web(response(body=PAGE, Server="nginx/1.22"), tls=context) as server:
        page = await greet.web_page(HERE, server.talker.port, 5, tls=True)
    assert page.title.startswith("Gudang & Kantor")
    assert "\x1b" not in page.title
    assert page.server == "nginx/1.22"
    assert page.names == ("erp.kantor.example", "10.0.0.5")


async def test_a_page_without_a_title_and_a_server_that_speaks_no_tls_bring_nothing() -> None:
    with web(response(body=b"plain")) as server:
        assert (await greet.web_page(HERE, server.talker.port, 5, tls=False)).title == ""
        assert await greet.web_page(HERE, server.talker.port, 2, tls=True) == greet.Page()


@pytest.mark.parametrize("speech", [endless, dripping(b"<title>x"), silent])
async def test_a_server_that_floods_drips_or_says_nothing_is_left_in_time(speech: object) -> None:
    began = time.monotonic()
    with talking(speech) as talker:  # type: ignore[arg-type]
        await greet.web_page(HERE, talker.port, 1.0, tls=False)
        assert await greet.ssh_banner(HERE, talker.port, 1.0) == ""
    assert time.monotonic() - began < 10


async def test_only_an_identification_of_ssh_is_a_banner() -> None:
    with talking(saying(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\nmore")) as talker:
        assert await greet.ssh_banner(HERE, talker.port, 2) == "SSH-2.0-OpenSSH_9.2p1 Debian-2"
    with talking(saying(b"220 mail.example ESMTP\r\n")) as talker:
        assert await greet.ssh_banner(HERE, talker.port, 2) == ""


async def test_an_agent_tells_its_name_to_the_right_community_and_user_and_to_nobody_else(
    keep: Keep, tmp_path: Path
) -> None:
    agent = Snmpd(tmp_path / "snmpd")
    agent.start()
    try:
        said = await greet.snmp_system(HERE, Secret(password=COMMUNITY), keep, 2, agent.port)
        assert said["name"] == "tester"
        assert said["description"].startswith("Linux")
        assert await greet.snmp_system(HERE, Secret("sha256", AUTH, passphrase=PRIV), keep, 2, agent.port) in ({}, said)
        for wrong in (Secret(password="public"), Secret(), Secret("nobody", AUTH, passphrase=PRIV)):
            assert await greet.snmp_system(HERE, wrong, keep, 1, agent.port) == {}
    finally:
        agent.stop()


async def test_a_machine_that_is_not_there_brings_nothing(keep: Keep) -> None:
    nowhere = Place("fd99::1", socket.AF_INET6)
    assert await greet.ssh_banner(nowhere, 22, 0.5) == ""
    assert await greet.web_page(nowhere, 80, 0.5, tls=False) == greet.Page()
    assert await greet.snmp_system(nowhere, Secret(password="x"), keep, 0.5) == {}
