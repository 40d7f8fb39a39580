"""Windows over WinRM, against a listener that genuine clients accept, on a synthetic machine whose rates are known."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from talkers import within

from domain.reading import FailureKind, Reading, Secret, Target
from poller.plan import prepare_options
from probes import names
from probes.base import Keep
from probes.winrm import PROBE, Options, look
from probes.winrm.memory import Home
from tests.ports import free_port
from tests.probes.windows import Windows
from tests.probes.wsman import PASSWORDS, Certificate, Listener, listening

USER = "pantau-read"


class Clock:
    """A clock that goes only when it is told to."""

    def __init__(self) -> None:
        self.at = time.time()

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def machine(clock: Clock) -> Windows:
    return Windows(clock=clock)


@pytest.fixture
def listener(machine: Windows) -> Iterator[Listener]:
    with listening(machine) as running:
        yield running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("certificate"))


def target(
    listener: Listener, deadline: float = 8.0, *, password: str = PASSWORDS[USER], user: str = USER, **options: Any
) -> Target:
    given = {"port": listener.port, "tls": "https" if listener.certificate else "http", **options}
    return Target("127.0.0.1", Options(**given), Secret(user, password), deadline)


def value(reading: Reading, name: str, of: str = "") -> float:
    assert reading.failure is None, reading.failure
    return next(m.value for m in reading.measures if m.name == name and m.of == of)


def values(reading: Reading, name: str) -> dict[str, float]:
    assert reading.failure is None, reading.failure
    return {m.of: m.value for m in reading.measures if m.name == name}


def fact(reading: Reading, name: str, of: str = "") -> str:
    return next((f.value for f in reading.facts if f.name == name and f.of == of), "")


def kind(reading: Reading) -> FailureKind:
    assert reading.failure is not None
    assert reading.failure.detail.endswith("."), reading.failure.detail
    return reading.failure.kind


def two_looks(listener: Listener, clock: Clock, keep: Keep, seconds: float = 60.0, **options: Any) -> Reading:
    """The second of two looks, `seconds` of the machine's own clock apart."""
    assert look(target(listener, **options), keep).failure is None
    clock.at += seconds
    return look(target(listener, **options), keep)


def test_rates_are_those_of_the_machine_to_the_digit(listener: Listener, clock: Clock, keep: Keep) -> None:
    reading = two_looks(listener, clock, keep)
    assert values(reading, "system.cpu.utilization") == pytest.approx({"": 0.5, "0": 0.25, "1": 0.75}, abs=1e-6)
    assert value(reading, "system.cpu.privileged.utilization") == pytest.approx(0.125, abs=1e-6)
    assert value(reading, "system.cpu.interrupt.utilization") == pytest.approx(0.01, abs=1e-6)
    assert values(reading, "system.disk.io.read") == pytest.approx({"C:": 1_000_000}, rel=1e-6)
    assert values(reading, "system.disk.utilization") == pytest.approx({"C:": 0.3}, abs=1e-6)
    assert values(reading, "system.disk.operation_time") == pytest.approx({"C:": 0.004}, rel=1e-5)
    assert values(reading, "system.network.io.receive") == pytest.approx(
        {"Synthetic Ethernet Adapter": 250_000}, rel=1e-6
    )
    assert values(reading, "system.network.utilization") == pytest.approx(
        {"Synthetic Ethernet Adapter": 0.002}, rel=1e-6
    )
    assert value(reading, "system.memory.utilization") == 0.75
    assert value(reading, "system.memory.commit.utilization") == 0.5
    assert value(reading, "system.uptime") == pytest.approx(14_460)


def test_a_look_costs_five_posts_once_the_machine_is_known_and_starts_nothing_there(
    listener: Listener, clock: Clock, keep: Keep
) -> None:
    look(target(listener), keep)
    before = len(listener.log)
    clock.at += 60
    reading = look(target(listener), keep)
    asked = [entry.what for entry in listener.log[before:]]
    assert len(asked) == 5 == value(reading, "winrm.posts")
    assert all(
        entry.what.startswith(("Enumerate ", "Pull", "Identify", "login", "EnumKey", "Get")) for entry in listener.log
    )
    assert not listener.shells
    assert listener.lines == 1


def test_over_http_everything_after_the_login_is_sealed(listener: Listener, keep: Keep) -> None:
    assert look(target(listener), keep).failure is None
    assert all(entry.sealed for entry in listener.log if entry.what != "login")
    assert not listener.asked("clear")


def test_one_look_from_the_command_line_brings_numbers_as_json(listener: Listener, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "pantau", "probe", "winrm", "127.0.0.1", "--set", f"port={listener.port}",
            "--user", USER, "--ask-password", "--json",
        ],
        input=PASSWORDS[USER] + "\n", capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout[done.stdout.index("{") :])
    assert {"system.memory.utilization", "system.uptime"} <= {m["name"] for m in said["measures"]}
    assert PASSWORDS[USER] not in done.stdout + done.stderr


# ---- what is read less often


def test_what_is_read_every_five_minutes_is_repeated_until_then_and_not_asked_again(
    listener: Listener, clock: Clock, keep: Keep
) -> None:
    first = look(target(listener), keep)
    second = look(target(listener), keep)
    assert values(first, "system.filesystem.utilization") == {"C:": 0.75, "C:\\mount\\data": 0.8}
    assert values(second, "system.filesystem.utilization") == values(first, "system.filesystem.utilization")
    assert len(listener.asked("Win32_LogicalDisk")) == 1
    assert fact(second, "host.model") == "Synthetic Machines Model 7"
    assert (fact(second, "os.type"), fact(second, "host.arch")) == ("windows", "x86_64")


def test_services_windows_leaves_stopped_are_no_failures_and_more_can_be_ignored(machine: Windows, keep: Keep) -> None:
    machine.stopped = (
        ("Spooler", 1067),
        ("RemoteRegistry", 1077),
        ("ShellHWDetection", 0),
        ("sppsvc", 0),
        ("ShopAgent", 1),
    )
    with listening(machine) as listener:
        reading = look(target(listener), keep)
        assert value(reading, "system.services.failed") == 2
        assert fact(reading, "system.services.failed") == "ShopAgent Spooler"
        reading = look(target(listener, ignore_services=("shop*",)), keep)
        assert fact(reading, "system.services.failed") == "Spooler"


def test_just_after_a_start_a_service_still_waiting_for_its_turn_has_not_failed(machine: Windows, keep: Keep) -> None:
    machine.stopped, machine.booted = (("ShopAgent", 1077), ("Spooler", 1067)), machine.clock() - 60
    with listening(machine) as listener:
        assert fact(look(target(listener), keep), "system.services.failed") == "Spooler"


def test_an_account_that_may_not_list_services_is_told_so_instead_of_all_being_well(
    machine: Windows, keep: Keep
) -> None:
    machine.hidden = frozenset({"win32_service"})
    with listening(machine) as listener:
        reading = look(target(listener), keep)
        assert values(reading, "system.services.failed") == {}
        assert "Win32_Service: no right to list services" in fact(reading, "winrm.unanswered")


def test_processes_are_added_up_by_name_and_the_ones_followed_become_measures(
    listener: Listener, clock: Clock, keep: Keep
) -> None:
    reading = two_looks(listener, clock, keep, processes=("w3wp.exe", "gone"))
    assert fact(reading, "process.top.memory").startswith("sqlservr 4096 MiB, w3wp 500 MiB")
    assert values(reading, "process.count") == {"w3wp.exe": 2, "gone": 0}
    assert values(reading, "process.memory.usage") == {"w3wp.exe": 500 << 20}


def test_what_watching_takes_of_the_machine_is_told_for_each_look(
    listener: Listener, machine: Windows, clock: Clock, keep: Keep
) -> None:
    """WmiPrvSE takes a thousandth of a processor here; a second one is started between the looks."""
    for _ in range(3):
        assert values(look(target(listener), keep), "host.watch.cpu_time") == {}
    clock.at += 300
    machine.processes = (*machine.processes, ("WmiPrvSE#1", 3200, 0.0, 1 << 20))
    home = next(kept for key in keep.keys() if isinstance(kept := keep.peek(key), Home))  # noqa: SIM118 - a Keep is no dict
    home.memory.tried.clear()  # as if five minutes had passed here too
    reading = look(target(listener), keep)
    assert value(reading, "host.watch.cpu_time") == pytest.approx(300 * 0.001 / 3, rel=1e-3)
    assert value(reading, "host.watch.processes") == pytest.approx(1 / 3)


def test_a_pending_restart_says_why_and_none_is_claimed_where_the_registry_is_closed(
    machine: Windows, keep: Keep
) -> None:
    machine.pending = ("update", "name")
    with listening(machine) as listener:
        reading = look(target(listener), keep)
        assert value(reading, "system.reboot.required") == 1
        assert fact(reading, "system.reboot.reason") == "Windows Update, new name"
        machine.pending = ()
        assert value(look(target(listener, roles=False), keep), "system.reboot.required") == 0
        listener.troubles["EnumKey"] = "denied"
        reading = look(target(listener, ignore_services=("x",)), keep)
        assert values(reading, "system.reboot.required") == {}
        assert "StdRegProv: no right to read it" in fact(reading, "winrm.unanswered")


def test_the_event_log_is_searched_only_where_it_is_wished(listener: Listener, keep: Keep) -> None:
    look(target(listener), keep)
    assert not listener.asked("Win32_NTLogEvent")
    reading = look(target(listener, event_logs=("System", "O'Brien's")), keep)
    assert values(reading, "system.log.errors") == {"System": 1, "O'Brien's": 0}
    assert values(reading, "system.log.warnings") == {"System": 1, "O'Brien's": 0}
    assert fact(reading, "system.log.error", "System") == "Service Control Manager 7031"


def test_roles_are_found_by_their_services_and_looked_into(machine: Windows, clock: Clock, keep: Keep) -> None:
    machine.roles = ("iis", "sql", "hyperv")
    machine.guests = (
        ("6A1F0C52-0000-4000-8000-000000000001", "web", 2, 5),
        ("6A1F0C52-0000-4000-8000-000000000002", "old", 3, 20),
        ("6A1F0C52-0000-4000-8000-000000000003", "web", 32769, 5),
    )
    machine.clock = time.time  # the rates of roles are those of two readings in the first look
    with listening(machine) as listener:
        reading = look(target(listener), keep)
    assert fact(reading, "windows.roles") == "hyperv iis sql"
    assert values(reading, "iis.connection.active") == {"Default Web Site": 12}
    assert values(reading, "iis.request.count") == pytest.approx({"Default Web Site": 30}, rel=0.1)
    assert values(reading, "iis.application_pool.running") == {"DefaultAppPool": 1, "ShopPool": 0}
    assert values(reading, "sqlserver.user.connection.count") == {"": 17, "SHOP": 17}
    assert values(reading, "sqlserver.page.buffer_cache.hit_ratio") == {"": 0.99, "SHOP": 0.99}
    assert values(reading, "sqlserver.transaction_log.utilization") == {"shop": 0.37, "SHOP/shop": 0.37}
    assert values(reading, "sqlserver.batch.request.rate") == pytest.approx({"": 200, "SHOP": 200}, rel=0.1)
    third = "web 6A1F0C52-0000-4000-8000-000000000003"
    assert values(reading, "hyperv.guest.running") == {"web": 1, "old": 0, third: 0}
    assert values(reading, "hyperv.guest.health.status") == {"web": 1, "old": 0, third: 1}
    assert fact(reading, "hyperv.guest.state", third) == "saved"
    assert values(reading, "hyperv.guest.cpu.utilization") == pytest.approx({"web": 0.4}, abs=0.01)
    assert values(reading, "hyperv.host.cpu.utilization") == pytest.approx({"": 0.2}, abs=0.01)


@pytest.mark.parametrize(
    ("name", "rate"), [("NotFoundErrorsPersec", 20), ("TotalNotFoundErrorsPersec", 20), ("Elsewhat", None)]
)
def test_a_counter_with_another_name_in_this_version_costs_nothing_else(
    name: str, rate: float | None, machine: Windows, keep: Keep
) -> None:
    machine.roles, machine.not_found, machine.clock = ("iis",), name, time.time
    with listening(machine) as listener:
        reading = look(target(listener), keep)
        assert values(reading, "iis.connection.active") == {"Default Web Site": 12}
        found = values(reading, "iis.request.not_found")
        assert found == ({} if rate is None else pytest.approx({"Default Web Site": rate}, rel=0.3))


def test_more_processors_than_one_group_holds_are_all_seen(machine: Windows, clock: Clock, keep: Keep) -> None:
    machine.busy = (0.5,) * 71 + (0.9,)
    with listening(machine) as listener:
        look(target(listener), keep)
        clock.at += 60
        look(target(listener), keep)  # how many there are was not known at the first look
        clock.at += 60
        shares = values(look(target(listener), keep), "system.cpu.utilization")
    assert len(shares) == 73
    assert shares["0,71"] == pytest.approx(0.9, abs=1e-6)


def test_a_machine_without_roles_is_never_asked_about_them(listener: Listener, keep: Keep) -> None:
    look(target(listener), keep)
    assert not [e for e in listener.log if any(word in e.what for word in ("W3SVC", "MSSQL", "Msvm", "HvStats"))]


def test_a_class_that_is_missing_is_asked_for_once_and_costs_only_its_own_numbers(
    machine: Windows, clock: Clock, keep: Keep
) -> None:
    machine.missing = frozenset({"Win32_PerfRawData_PerfDisk_LogicalDisk", "Win32_PerfRawData_PerfOS_Memory"})
    with listening(machine) as listener:
        reading = two_looks(listener, clock, keep)
        assert values(reading, "system.disk.io.read") == {}
        assert value(reading, "system.cpu.utilization") == pytest.approx(0.5, abs=1e-6)
        assert value(reading, "system.memory.utilization") == 0.75  # from the operating system itself
        assert value(reading, "system.memory.commit.utilization") == 0.5
        assert len(listener.asked("PerfDisk_LogicalDisk")) == 1
        assert "PerfDisk_LogicalDisk: there is no such class" in fact(reading, "winrm.unanswered")


# ---- restarts, clocks, counters


def test_a_restart_changes_the_boot_id_and_no_rate_is_made_across_it(
    listener: Listener, machine: Windows, clock: Clock, keep: Keep
) -> None:
    first = look(target(listener), keep)
    clock.at += 300
    machine.reboot()
    clock.at += 120
    second = look(target(listener), keep)
    assert fact(first, "host.boot.id") != fact(second, "host.boot.id")
    assert value(second, "system.uptime") == pytest.approx(120)
    assert values(second, "system.cpu.utilization") == {}
    assert values(second, "system.network.io.receive") == {}
    clock.at += 60
    assert value(look(target(listener), keep), "system.cpu.utilization") == pytest.approx(0.5, abs=1e-6)


def test_a_stepped_clock_is_an_offset_and_no_restart(
    listener: Listener, machine: Windows, clock: Clock, keep: Keep
) -> None:
    first = look(target(listener), keep)
    machine.skew = 30.0
    second = look(target(listener), keep)
    assert fact(first, "host.boot.id") == fact(second, "host.boot.id")
    assert value(second, "system.clock.offset") - value(first, "system.clock.offset") == pytest.approx(30, abs=2)
    assert value(second, "system.uptime") == pytest.approx(value(first, "system.uptime"), abs=1)


@pytest.mark.parametrize("wrong", ["negative", "lies"])
def test_numbers_no_machine_has_are_left_out(wrong: str, listener: Listener, clock: Clock, keep: Keep) -> None:
    look(target(listener), keep)
    clock.at += 60
    listener.troubles["Win32_PerfRawData_Tcpip_NetworkInterface"] = wrong
    reading = look(target(listener), keep)
    assert values(reading, "system.network.io.receive") == {}
    assert value(reading, "system.cpu.utilization") == pytest.approx(0.5, abs=1e-6)


# ---- the login


def test_basic_over_http_is_refused_before_a_byte_is_sent(keep: Keep) -> None:
    with listening(basic=True, clear=True) as listener:
        reading = look(_basic(listener), keep)
        assert kind(reading) is FailureKind.UNTRUSTED
        assert not listener.log
        assert listener.lines == 0


def _basic(listener: Listener) -> Target:
    """Options refuse it already; this is what would come of it if they did not."""
    options = Options(port=listener.port, tls="https", login="basic")
    object.__setattr__(options, "tls", "http")
    return Target("127.0.0.1", options, Secret(USER, PASSWORDS[USER]), 8)


def test_basic_over_http_cannot_even_be_chosen() -> None:
    for options in ({"tls": "http"}, {"port": 5985}):
        with pytest.raises(ValueError, match="only over HTTPS"):
            Options(login="basic", **options)


def test_basic_over_https_works(certificate: Certificate, keep: Keep) -> None:
    with listening(certificate=certificate, basic=True, negotiate=False) as listener:
        assert look(target(listener, login="basic"), keep).failure is None


def test_a_wrong_password_is_denied_and_after_two_the_machine_is_left_alone(listener: Listener, keep: Keep) -> None:
    for _ in range(2):
        assert kind(look(target(listener, password="wrong"), keep)) is FailureKind.DENIED
    refused = len(listener.asked("login refused"))
    assert refused == 2
    reading = look(target(listener, password="wrong"), keep)
    assert kind(reading) is FailureKind.DENIED
    assert reading.failure is not None
    assert "every half hour" in reading.failure.detail
    assert len(listener.asked("login refused")) == refused
    assert look(target(listener), keep).failure is None, "another password is another login"


def test_rights_that_are_missing_are_no_wrong_password_and_are_tried_again(listener: Listener, keep: Keep) -> None:
    listener.troubles["Identify"] = listener.troubles["Win32_OperatingSystem"] = "denied"
    for _ in range(3):
        assert kind(look(target(listener), keep)) is FailureKind.DENIED
    listener.troubles.clear()
    assert look(target(listener), keep).failure is None


def test_after_a_failed_login_nothing_is_ever_sent_unsealed(listener: Listener, keep: Keep) -> None:
    for password in ("wrong", PASSWORDS[USER], "wrong"):
        look(target(listener, password=password), keep)
    assert not listener.asked("clear")


def test_a_domain_account_is_tried_at_two_machines_and_not_at_thirty(keep: Keep) -> None:
    user = "EXAMPLE\\watch"
    with listening(users={user: "right"}) as one, listening(users={user: "right"}) as two, listening() as three:
        readings = [look(target(where, user=user, password="wrong"), keep) for where in (one, two, three)]
        assert {kind(reading) for reading in readings} == {FailureKind.DENIED}
        assert len(one.asked("login refused")) == len(two.asked("login refused")) == 1
        assert not three.asked("login refused")


def test_a_local_account_refused_by_one_machine_is_still_used_at_another(keep: Keep) -> None:
    with listening(users={"local-a": "other"}) as one, listening(users={"local-a": "mine"}) as two:
        for _ in range(3):
            look(target(one, user="local-a", password="mine2"), keep)
        assert two.port != one.port
    with listening(users={"local-b": "mine"}) as two:
        assert look(target(two, user="local-b", password="mine"), keep).failure is None


def test_no_credential_is_said_before_anything_is_sent(listener: Listener, keep: Keep) -> None:
    reading = look(Target("127.0.0.1", Options(port=listener.port), None, 5), keep)
    assert kind(reading) is FailureKind.DENIED
    assert listener.lines == 0


def test_a_credential_without_a_password_is_no_login(listener: Listener, keep: Keep) -> None:
    """requests-ntlm would then look for a login of its own, in the environment."""
    assert kind(look(target(listener, password=""), keep)) is FailureKind.DENIED
    assert listener.lines == 0


def test_a_password_with_every_kind_of_character_arrives(keep: Keep) -> None:
    with listening() as listener:
        assert look(target(listener, user="administrator", password=PASSWORDS["administrator"]), keep).failure is None


def test_kerberos_without_a_library_or_a_ticket_says_what_to_do(
    listener: Listener, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRB5CCNAME", "FILE:/nonexistent/ccache")
    reading = look(target(listener, login="kerberos"), keep)
    assert kind(reading) in (FailureKind.UNSUPPORTED, FailureKind.DENIED)
    assert reading.failure is not None
    assert "pykerberos" in reading.failure.detail or "kinit" in reading.failure.detail
    assert not listener.log


def test_the_environment_has_no_say(listener: Listener, keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    assert look(target(listener), keep).failure is None


# ---- certificates


def test_the_certificate_of_the_first_contact_is_offered_and_its_expiry_watched(
    certificate: Certificate, keep: Keep
) -> None:
    with listening(certificate=certificate, binding=True) as listener:
        reading = look(target(listener), keep)
        port, name, pin, shown = fact(reading, "ssh.host_key").split(" ")
        assert (int(port), name) == (listener.port, "x509-sha256")
        assert shown.replace(":", "").lower() == pin
        assert value(reading, "tls.certificate.expiry") == pytest.approx(365 * 86400, rel=0.01)
        pinned = look(target(listener, host_keys=(f"{name} {pin}",)), keep)
        assert pinned.failure is None
        assert fact(pinned, "ssh.host_key") == ""
        assert listener.lines == 1, "the login goes on, now that its certificate is pinned"
        other = look(target(listener, host_keys=("x509-sha256 " + "0" * 64,)), keep)
        assert kind(other) is FailureKind.UNTRUSTED, "a login made before is not used where another is pinned"


def test_another_certificate_than_the_pinned_one_gets_not_a_byte_of_the_login(
    certificate: Certificate, keep: Keep
) -> None:
    with listening(certificate=certificate) as listener:
        reading = look(target(listener, host_keys=("x509-sha256 " + "0" * 64,)), keep)
        assert kind(reading) is FailureKind.UNTRUSTED
        assert not listener.log
        assert fact(reading, "ssh.host_key").startswith(f"{listener.port} x509-sha256 ")


def test_with_a_pinned_certificate_there_is_no_way_back_to_http(keep: Keep) -> None:
    with listening() as listener:
        reading = look(target(listener, tls="auto", host_keys=("x509-sha256 " + "0" * 64,)), keep)
        assert kind(reading) is FailureKind.REFUSED
        assert not listener.log


def test_an_authority_is_believed_and_a_stranger_is_not(certificate: Certificate, keep: Keep, tmp_path: Path) -> None:
    with listening(certificate=certificate) as listener:
        assert look(target(listener, trust="authority", ca=certificate.pem), keep).failure is None
        reading = look(target(listener, trust="authority", ca=Certificate(tmp_path).pem), keep)
        assert kind(reading) is FailureKind.UNTRUSTED
        assert kind(look(target(listener, trust="authority"), keep)) is FailureKind.UNTRUSTED


def test_an_expired_certificate_is_not_believed_from_an_authority(keep: Keep, tmp_path: Path) -> None:
    old = Certificate(tmp_path, days=-1)
    with listening(certificate=old) as listener:
        reading = look(target(listener, trust="authority", ca=old.pem), keep)
        assert kind(reading) is FailureKind.UNTRUSTED
        assert reading.failure is not None
        assert "expired" in reading.failure.detail


def test_auto_finds_https_where_it_is_and_http_where_it_is_not(certificate: Certificate, keep: Keep) -> None:
    with listening(certificate=certificate) as secure, listening() as plain:
        assert look(target(secure, tls="auto"), keep).failure is None
        assert look(target(plain, tls="auto"), keep).failure is None
        assert all(entry.sealed for entry in plain.log if entry.what != "login")


# ---- what goes wrong on the way


@pytest.mark.parametrize("https", [False, True])
def test_a_login_that_died_of_idleness_is_replaced_within_the_same_look(
    https: bool, machine: Windows, certificate: Certificate, keep: Keep
) -> None:
    with listening(machine, certificate=certificate if https else None) as listener:
        assert look(target(listener), keep).failure is None
        listener.hang_up()
        assert look(target(listener), keep).failure is None
        assert listener.lines == 2
        assert len(listener.asked("login")) == 2
        assert not listener.asked("unsealable")


def test_a_login_that_dies_between_two_questions_is_replaced_once(listener: Listener, keep: Keep) -> None:
    look(target(listener), keep)
    listener.troubles["Win32_PerfRawData_PerfOS_Processor"] = "once:close"
    assert look(target(listener), keep).failure is None
    listener.troubles["Win32_PerfRawData_PerfOS_Processor"] = "close"
    assert kind(look(target(listener), keep)) is FailureKind.REFUSED


def test_a_forgotten_login_is_renewed(listener: Listener, keep: Keep) -> None:
    """What HTTP.sys does with a sealed message whose context it no longer has."""
    look(target(listener), keep)
    listener.troubles["Win32_OperatingSystem"] = "once:status:400"
    assert look(target(listener), keep).failure is None
    listener.troubles["Win32_OperatingSystem"] = "once:status:401"
    assert look(target(listener), keep).failure is None


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("denied", FailureKind.DENIED),
        ("timeout", FailureKind.REFUSED),
        ("doctype", FailureKind.REFUSED),
        ("relates", FailureKind.REFUSED),
        ("unrelated", FailureKind.REFUSED),
        ("garbage", FailureKind.REFUSED),
        ("html", FailureKind.REFUSED),
        ("empty", FailureKind.REFUSED),
        ("gzip", FailureKind.REFUSED),
        ("redirect", FailureKind.REFUSED),
        ("untyped", FailureKind.UNTRUSTED),
        ("unsealed", FailureKind.UNTRUSTED),
        ("truncated", FailureKind.UNTRUSTED),
        ("close", FailureKind.REFUSED),
        ("reset", FailureKind.REFUSED),
    ],
)
def test_each_way_to_answer_wrongly_has_its_meaning(
    wrong: str, meant: FailureKind, listener: Listener, keep: Keep
) -> None:
    listener.troubles["Win32_OperatingSystem"] = wrong
    assert kind(look(target(listener), keep)) is meant
    listener.troubles.clear()
    assert look(target(listener), keep).failure is None, "the next look is not spoilt"
    assert not listener.asked("clear")


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("status:404", FailureKind.REFUSED),
        ("status:503", FailureKind.REFUSED),
        ("html", FailureKind.REFUSED),
        ("doctype", FailureKind.REFUSED),
    ],
)
def test_something_else_on_the_port_is_a_failed_check_on_a_live_machine(
    wrong: str, meant: FailureKind, certificate: Certificate, keep: Keep
) -> None:
    with listening(certificate=certificate) as listener:
        listener.troubles["Identify"] = wrong
        assert kind(look(target(listener), keep)) is meant


@pytest.mark.parametrize("wrong", ["slow", "drip"])
@pytest.mark.parametrize("where", ["login", "Identify", "Win32_OperatingSystem"])
def test_a_look_ends_at_its_deadline_whatever_the_machine_does(
    wrong: str, where: str, listener: Listener, keep: Keep
) -> None:
    listener.troubles[where] = wrong
    stop = within(10)
    assert kind(look(target(listener, deadline=1.5), keep)) is FailureKind.TIMEOUT
    assert stop() < 6


def test_an_endless_answer_is_cut(listener: Listener, certificate: Certificate, keep: Keep) -> None:
    with listening(certificate=certificate) as secure:
        for one in (listener, secure):
            one.troubles["Identify" if one is secure else "login"] = "bomb"
            reading = look(target(one), keep)
            assert kind(reading) is FailureKind.UNSUPPORTED
            assert reading.cost.received < 2 * 1024 * 1024


def test_a_machine_that_answers_half_of_a_look_is_slow_and_not_down(listener: Listener, keep: Keep) -> None:
    listener.troubles["Win32_PerfRawData_PerfDisk_LogicalDisk"] = "slow"
    reading = look(target(listener, deadline=2.0), keep)
    assert kind(reading) is FailureKind.REFUSED
    assert "system.memory.utilization" in {m.name for m in reading.measures}


def test_what_was_pinned_by_the_house_reaches_the_look(certificate: Certificate, keep: Keep) -> None:
    """The house pins by port what a look offered, under the option it knows from SSH."""
    with listening(certificate=certificate) as listener:
        port, name, pin, _ = fact(look(target(listener), keep), "ssh.host_key").split(" ")
        options = prepare_options(PROBE, {"port": listener.port}, {int(port): [f"{name} {pin}"], 1: ["other"]})
        assert options.host_keys == (f"{name} {pin}",)
        assert look(Target("127.0.0.1", options, Secret(USER, PASSWORDS[USER]), 8), keep).failure is None
        wrong = prepare_options(PROBE, {"port": listener.port}, {int(port): [f"{name} {'0' * 64}"]})
        assert kind(look(Target("127.0.0.1", wrong, Secret(USER, PASSWORDS[USER]), 8), keep)) is FailureKind.UNTRUSTED


def test_a_slow_extra_costs_its_own_numbers_and_not_the_look(listener: Listener, keep: Keep) -> None:
    listener.troubles["Win32_Service"] = "slow"
    reading = look(target(listener, deadline=3.0), keep)
    assert value(reading, "system.memory.utilization") == 0.75
    again = look(target(listener, deadline=3.0), keep)
    assert value(again, "system.filesystem.utilization", "C:") == 0.75, "the next look goes on with what is left"


def test_pages_without_end_are_given_up(listener: Listener, keep: Keep) -> None:
    listener.troubles["Win32_OperatingSystem"] = "loop"
    assert kind(look(target(listener), keep)) in (FailureKind.REFUSED, FailureKind.UNSUPPORTED)


def test_many_pages_are_one_answer(machine: Windows, clock: Clock, keep: Keep) -> None:
    machine.processes = tuple((f"worker#{n}" if n else "worker", 1000 + n, 0.001, 1 << 20) for n in range(900))
    with listening(machine) as listener:
        reading = look(target(listener, processes=("worker",)), keep)
        assert values(reading, "process.count") == {"worker": 900}
        assert listener.asked("Pull")


def test_where_nothing_listens_the_check_is_refused_and_the_machine_is_not_down(keep: Keep) -> None:
    reading = look(Target("127.0.0.1", Options(port=free_port(), tls="http"), Secret("a", "b"), 5), keep)
    assert kind(reading) is FailureKind.REFUSED


def test_a_name_nobody_knows_is_ours_to_mend(keep: Keep) -> None:
    reading = look(Target("nowhere.invalid", Options(), Secret("a", "b"), 5), keep)
    assert kind(reading) is FailureKind.UNSUPPORTED


def test_two_checks_of_one_machine_wait_for_each_other(listener: Listener, keep: Keep) -> None:
    with ThreadPoolExecutor(8) as threads:
        readings = list(threads.map(lambda _: look(target(listener), keep), range(8)))
    assert [reading.failure for reading in readings] == [None] * 8
    assert listener.lines == 1
    assert not listener.asked("unsealable")


def test_no_session_is_left_open_when_the_process_lets_go(listener: Listener) -> None:
    keep = Keep()
    look(target(listener), keep)
    keep.close()
    end = time.monotonic() + 10
    while listener.open and time.monotonic() < end:
        time.sleep(0.01)
    assert not listener.open


def test_the_password_is_in_nothing_that_can_be_shown(listener: Listener, keep: Keep) -> None:
    reading = look(target(listener, password="Wr0ng-secret"), keep)
    assert "Wr0ng-secret" not in repr(reading)
    assert all("Wr0ng-secret" not in entry.body for entry in listener.log)


def test_a_name_with_an_address_nobody_answers_at_is_reached_at_the_next(listener: Listener, keep: Keep) -> None:
    """The name of a machine whose WinRM listens on one of its addresses only."""
    places = (names.Place("127.0.0.9", socket.AF_INET), names.Place("127.0.0.1", socket.AF_INET))
    keep.get(("names",), lambda: names.Names(lambda name: places))
    seen = look(
        Target("two.example.test", Options(port=listener.port, tls="http"), Secret(USER, PASSWORDS[USER]), 8), keep
    )
    assert seen.failure is None


def test_http_that_was_a_mistake_is_not_kept_and_https_once_found_is(certificate: Certificate, keep: Keep) -> None:
    with listening(certificate=certificate) as secure:
        port = secure.port
        assert look(target(secure, tls="auto"), keep).failure is None
    with listening(port=port) as plain:
        assert kind(look(target(plain, tls="auto"), keep)) is FailureKind.REFUSED
        assert not plain.log, "a machine that spoke HTTPS is not talked to without"


def test_a_login_nobody_uses_is_let_go_and_what_is_known_of_the_machine_stays(listener: Listener, keep: Keep) -> None:
    with listening() as other:
        look(target(other), keep)
        home = next(kept for key in keep.keys() if isinstance(kept := keep.peek(key), Home))  # noqa: SIM118
        home.used -= 120
        look(target(listener), keep)
        assert home.session is not None, "it is not swept at each look"
        keep.peek(("winrm", "broom")).used -= 60  # type: ignore[union-attr]
        look(target(listener), keep)
        assert home.session is None
        assert home.memory.kept
        assert look(target(other), keep).failure is None
        assert len(other.asked("Win32_LogicalDisk")) == 1
