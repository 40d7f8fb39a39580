"""The listener the WinRM tests stand on counts because clients that know real Windows machines accept it."""

from __future__ import annotations

import base64
import subprocess
import warnings
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from pypsrp.client import Client
from pypsrp.exceptions import WSManFaultError as PsrpFault
from pypsrp.wsman import SelectorSet, WSMan
from winrm.exceptions import InvalidCredentialsError, WinRMOperationTimeoutError, WSManFaultError
from winrm.protocol import Protocol

from tests.probes.windows import Service, Windows
from tests.probes.wql import WrongQuery, parse
from tests.probes.wsman import PASSWORDS, Certificate, Listener, listening

USER = "pantau-read"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("certificate"))


def pywinrm(listener: Listener, **named: Any) -> Protocol:
    scheme = "https" if listener.certificate else "http"
    trusted = str(listener.certificate.file) if listener.certificate else None
    given = {"username": USER, "password": PASSWORDS[USER], "transport": "ntlm", "proxy": None, **named}
    return Protocol(f"{scheme}://127.0.0.1:{listener.port}/wsman", ca_trust_path=trusted, **given)


def run(protocol: Protocol, command: str, *words: str) -> tuple[bytes, bytes, int]:
    shell = protocol.open_shell()
    try:
        started = protocol.run_command(shell, command, words)
        out, wrong, code = protocol.get_command_output(shell, started)
        protocol.cleanup_command(shell, started)
        return out, wrong, code
    finally:
        protocol.close_shell(shell)


WAYS = [
    pytest.param({}, {"transport": "ntlm"}, "ntlm", True, id="ntlm-sealed"),
    pytest.param({"tls": True, "binding": True}, {"transport": "ntlm"}, "ntlm", False, id="ntlm-https-bound"),
    pytest.param(
        {"tls": True, "binding": True}, {"transport": "ntlm", "message_encryption": "always"}, "ntlm", True, id="ntlm-https-sealed"
    ),
    pytest.param({"tls": True, "basic": True}, {"transport": "basic"}, "basic", False, id="basic-https"),
]  # fmt: skip


def opened(given: dict[str, Any], certificate: Certificate) -> Any:
    rest = {name: value for name, value in given.items() if name != "tls"}
    return listening(certificate=certificate if given.get("tls") else None, **rest)


@pytest.mark.parametrize(("given", "named", "how", "sealed"), WAYS)
def test_pywinrm_runs_a_command(
    given: dict[str, Any], named: dict[str, Any], how: str, sealed: bool, certificate: Certificate
) -> None:
    with opened(given, certificate) as listener:
        assert run(pywinrm(listener, **named), "echo", "hello") == (b"hello\r\n", b"", 0)
        assert run(pywinrm(listener, **named), "exit", "3")[2] == 3
        created = listener.asked("Create")
        assert [(entry.how, entry.sealed) for entry in created] == [(how, sealed)] * 2
        assert not listener.shells, "its shells are gone again"


PSRP_WAYS = [
    pytest.param({}, {"auth": "negotiate"}, "spnego", True, id="spnego-sealed"),
    pytest.param({}, {"auth": "ntlm"}, "ntlm", True, id="ntlm-sealed"),
    pytest.param({"tls": True, "binding": True}, {"auth": "negotiate"}, "spnego", False, id="spnego-https-bound"),
    pytest.param({"tls": True}, {"auth": "negotiate", "encryption": "always"}, "spnego", True, id="spnego-https-sealed"),
    pytest.param({"tls": True, "basic": True}, {"auth": "basic"}, "basic", False, id="basic-https"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "named", "how", "sealed"), PSRP_WAYS)
def test_pypsrp_runs_a_command(
    given: dict[str, Any], named: dict[str, Any], how: str, sealed: bool, certificate: Certificate
) -> None:
    with opened(given, certificate) as listener:
        with psrp(listener, **named) as client:
            assert client.execute_cmd("echo hello") == ("hello\r\n", "", 0)
            assert client.execute_cmd("nonsense")[2] == 1
        assert {(entry.how, entry.sealed) for entry in listener.asked("Command")} == {(how, sealed)}


def psrp(listener: Listener, **named: Any) -> Client:
    trusted = str(listener.certificate.file) if listener.certificate else False
    given = {"username": USER, "password": PASSWORDS[USER], "no_proxy": True, **named}
    return Client(
        "127.0.0.1", port=listener.port, ssl=listener.certificate is not None, cert_validation=trusted, **given
    )  # fmt: skip


def test_winrmcp_copies_a_file(tmp_path: Path) -> None:
    """A Go client; it says it succeeded even where it did not, so only the listener's own log counts."""
    source, content = tmp_path / "source.txt", b"Some content that is copied.\n" * 40
    source.write_bytes(content)
    with listening(basic=True, negotiate=False, clear=True) as listener:
        subprocess.run(
            [
                "winrmcp", f"-addr=127.0.0.1:{listener.port}", f"-user={USER}", f"-pass={PASSWORDS[USER]}",
                "-op-timeout=60s", str(source), "C:/target.txt",
            ],
            check=False, capture_output=True, timeout=60,
        )  # fmt: skip
        assert listener.asked("Create"), "it took PT1M for a duration and opened a shell"
        assert [base64.b64decode(text) for text in listener.files.values()] == [content]
        assert listener.asked("ran powershell"), "and went on to put it together there"
        assert listener.asked("Signal")
        assert listener.asked("Delete")


def test_a_service_is_stopped_by_its_method_for_other_clients_too() -> None:
    machine = Windows(stopped=(), services={"Spooler": Service()})
    kind = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/cimv2/Win32_Service"
    chosen = SelectorSet()
    chosen.add_option("Name", "spooler")
    with listening(machine) as listener:
        with WSMan(
            "127.0.0.1",
            port=listener.port,
            ssl=False,
            auth="negotiate",
            username=USER,
            password=PASSWORDS[USER],
            no_proxy=True,
        ) as client:
            for method, number in (("StopService", "0"), ("StopService", "6"), ("StartService", "0")):
                body = ElementTree.Element(f"{{{kind}}}{method}_INPUT")
                answer = client.invoke(f"{kind}/{method}", kind, body, selector_set=chosen)
                assert answer.findtext(f".//{{{kind}}}ReturnValue") == number
        assert [method for method, _ in machine.done] == ["stopservice", "stopservice", "startservice"]
        assert all(entry.sealed for entry in listener.asked("Service"))


def test_a_wrong_password_is_refused_to_every_client() -> None:
    with listening() as listener:
        with pytest.raises(InvalidCredentialsError):
            pywinrm(listener, password="wrong").open_shell()
        with (
            pytest.raises(Exception, match=r"(?i)credential|unauthori|authenticate"),
            psrp(listener, auth="negotiate", password="wrong") as client,
        ):
            client.execute_cmd("echo hello")
        assert not listener.asked("Create")


def test_the_channel_is_bound_to_the_certificate(certificate: Certificate) -> None:
    with listening(certificate=certificate, binding=True) as listener:
        with pytest.raises(InvalidCredentialsError):
            pywinrm(listener, send_cbt=False).open_shell()
        assert listener.asked("login refused")


def test_faults_reach_both_clients_with_their_numbers() -> None:
    with listening(quota=0) as listener:
        with pytest.raises(WSManFaultError) as found:
            pywinrm(listener).open_shell()
        assert found.value.wsman_fault_code == 2150859173
        with pytest.raises(PsrpFault) as refused, psrp(listener, auth="negotiate") as client:
            client.execute_cmd("echo hello")
        assert refused.value.code == 2150859173


def test_a_receive_that_takes_longer_than_its_time_is_a_timeout_fault_and_can_be_repeated() -> None:
    with listening() as listener:
        protocol = pywinrm(listener, operation_timeout_sec=1, read_timeout_sec=5)
        shell = protocol.open_shell()
        started = protocol.run_command(shell, "ping")
        with pytest.raises(WinRMOperationTimeoutError):
            protocol._raw_get_command_output(shell, started)
        assert protocol.get_command_output(shell, started)[2] == 0
        protocol.close_shell(shell)


def test_a_message_in_the_clear_is_noticed_and_refused() -> None:
    """What pywinrm does after a login that failed, and ours must never do."""
    with listening() as listener:
        protocol = pywinrm(listener, password="wrong")
        for _ in range(2):
            with warnings.catch_warnings(), pytest.raises(Exception):  # noqa: B017 - whatever it makes of it
                protocol.open_shell()
        assert listener.asked("clear")


def test_enumerating_follows_the_documented_paging() -> None:
    with listening(Windows()) as listener:
        body = listener_says(listener, "<w:OptimizeEnumeration/>")
        assert body.count("<w:XmlFragment") == 1, "without MaxElements even an optimised Enumerate brings one"
        assert "<w:EndOfSequence/>" not in body
        body = listener_says(listener, "<w:OptimizeEnumeration/><w:MaxElements>1000</w:MaxElements>")
        assert body.count("<w:XmlFragment") > 100
        assert "<w:EndOfSequence/>" in body
        body = listener_says(listener, "")
        assert body.count("<w:XmlFragment") == 0


def listener_says(listener: Listener, inner: str) -> str:
    query = "select Name from Win32_Service"
    wmi = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/cimv2/*"
    message = (
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
        ' xmlns:n="http://schemas.xmlsoap.org/ws/2004/09/enumeration" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd">'
        f"<s:Header><a:Action>http://schemas.xmlsoap.org/ws/2004/09/enumeration/Enumerate</a:Action><w:ResourceURI>{wmi}</w:ResourceURI>"
        "<a:MessageID>uuid:1</a:MessageID><w:MaxEnvelopeSize>512000</w:MaxEnvelopeSize></s:Header><s:Body><n:Enumerate>"
        f'{inner}<w:Filter Dialect="http://schemas.microsoft.com/wbem/wsman/1/WQL">{query}</w:Filter></n:Enumerate></s:Body></s:Envelope>'
    )
    return bytes(pywinrm(listener).send_message(message)).decode()


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("Name='a'", ["a"]),
        ("Name<>'a' and Size>=2", ["B", "c'd"]),
        ("Name like 'C%' or Size=1", ["a", "c'd"]),
        ("not (Size=1) and Note is null", ["B"]),
        ("Name='c\\'d'", ["c'd"]),
        ("Note is not null", ["a", "c'd"]),
        ("Note<>'x'", ["c'd"]),
    ],
)
def test_conditions_mean_what_wql_means(condition: str, found: list[str]) -> None:
    rows = [
        {"Name": "a", "Size": 1, "Note": "x"},
        {"Name": "B", "Size": 2, "Note": None},
        {"Name": "c'd", "Size": 3, "Note": "y"},
    ]
    query = parse(f"select Name from Things where {condition}")
    assert [row["Name"] for row in rows if query.test(row)] == found


@pytest.mark.parametrize(
    "text", ["", "select", "select a b from c", "delete from c", "select a from c where", "select a from c where b"]
)
def test_what_is_no_query_is_refused(text: str) -> None:
    with pytest.raises(WrongQuery):
        parse(text)
