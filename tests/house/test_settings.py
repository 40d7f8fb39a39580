"""Settings: from the environment and a file, every mistake one sentence, and the manual's table true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.settings import Settings, SettingsError, load

OPERATE = Path(__file__).parents[2] / "docs" / "operate.md"


def refused(**given: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load(**given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_command_line_wins_over_the_environment_and_the_environment_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pantau.toml"
    file.write_text('port = 1001\nhost = "192.0.2.1"\ninterval = 30\n')
    monkeypatch.setenv("PANTAU_CONFIG", str(file))
    monkeypatch.setenv("PANTAU_PORT", "1002")
    monkeypatch.setenv("PANTAU_HOST", "192.0.2.2")
    made = load(host="192.0.2.3", data=None)
    assert (made.interval, made.port, made.host) == (30, 1002, "192.0.2.3")


def test_an_unknown_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANTAU_PROT", "1")
    assert "PANTAU_PROT" in refused()


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANTAU_DATA", "")
    monkeypatch.setenv("DATABASE_URL", "")
    assert load().data == Settings().data
    assert load().database_url is None


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PORT", "0", "from 1 to 65535"),
        ("PORT", "eighty", "from 1 to 65535"),
        ("INTERVAL", "nan", "from 1"),
        ("LANGUAGE", "fr", "en, id"),
        ("ZONE", "Mars/Olympus", "time zone"),
        ("ZONE", "../../etc/passwd", "time zone"),
        ("LOG_LEVEL", "loud", "debug, info"),
    ],
)
def test_a_wrong_value_is_one_sentence(name: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"PANTAU_{name}", value)
    assert says in refused() and f"'{name.lower()}'" in refused()


@pytest.mark.parametrize(
    "url", ["mysql://u:hunter2@h/x", "postgresql://u:hunter2@[bad/x", "postgresql://u:hunter2@h:port/x"]
)
def test_a_wrong_database_url_is_refused_without_repeating_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert "postgresql://" in refused() and "hunter2" not in refused()


@pytest.mark.parametrize("text", ['port = "x', "prot = 1", "\xff"])
def test_a_wrong_file_is_one_sentence(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "pantau.toml"
    file.write_bytes(text.encode("latin-1"))
    monkeypatch.setenv("PANTAU_CONFIG", str(file))
    refused()


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANTAU_CONFIG", "/nowhere/pantau.toml")
    assert "/nowhere/pantau.toml" in refused()


def test_the_manual_lists_every_setting_with_its_meaning_and_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", OPERATE.read_text(), re.M))
    told = {}
    for name, field in Settings.model_fields.items():
        variable = field.validation_alias if isinstance(field.validation_alias, str) else f"PANTAU_{name.upper()}"
        default = "see below" if name == "data" else "unset" if field.default is None else f"`{field.default}`"
        told[variable] = f"{default} | {field.description}"
    missing = "\n".join(f"| `{name}` | {text} |" for name, text in told.items() if rows.get(name) != text)
    assert not missing, f"docs/operate.md should say:\n{missing}"
