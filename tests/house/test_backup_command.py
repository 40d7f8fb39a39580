"""A backup made at the terminal: whole, on record, and one sentence where it cannot be."""

from __future__ import annotations

from pathlib import Path

import psycopg

from tests.installation import command


def test_a_backup_is_whole_and_on_record_and_where_it_cannot_be_it_says_so(database_url: str, place: Path) -> None:
    made = command("backup", "--to", str(place / "kept"), DATABASE_URL=database_url, PANTAU_DATA=str(place))
    assert made.returncode == 0, made.stderr
    (file,) = (place / "kept").iterdir()
    assert made.stdout.startswith(f"{file}: {file.stat().st_size} bytes, ")
    assert file.read_bytes().startswith(b"PGDMP") and file.stat().st_mode & 0o777 == 0o600
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select what, source from audit").fetchall() == [("export.backup", "command line")]
    (place / "file").touch()
    refused = command("backup", "--to", str(place / "file" / "x"), DATABASE_URL=database_url, PANTAU_DATA=str(place))
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    assert refused.stderr.startswith("Error: ") and len(refused.stderr.strip().splitlines()) == 1
