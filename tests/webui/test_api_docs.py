"""What is written about the API is so: every example of the documentation is run as it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from domain.inventory import Person
from tests.webui.cast import Town, Visitor
from tests.webui.program import Program, problem, program
from webui import api
from webui.api import openapi

DOCS = Path(__file__).parents[2] / "docs" / "api.md"
EXAMPLES = re.findall(r"```bash\n(.*?)```", DOCS.read_text(), re.S)


@pytest.mark.timeout(240)
def test_the_examples_of_the_documentation_work_as_they_stand_there(
    app: Flask, session: Session, person: Person, town: Town, site: str, tmp_path: Path
) -> None:
    token = program(app, session, person).token
    environment = {**os.environ, "PANTAU": site, "TOKEN": token}
    asked = 0
    for example in EXAMPLES:
        for command in re.findall(r"curl (?:[^\n]*\\\n)*[^\n]*", example):
            done = subprocess.run(
                ["bash", "-c", command.replace("curl -sS", "curl -sS -w '\\n%{http_code}'", 1)],
                capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60, check=False,
            )  # fmt: skip
            body, _, code = done.stdout.rpartition("\n")
            assert done.returncode == 0 and code in ("200", "201", "202"), (command, done)
            assert not body or "-o " in command or json.loads(body) is not None
            asked += 1
    assert asked == 15


def test_the_document_is_valid_openapi_and_says_what_each_operation_takes(
    app: Flask, session: Session, person: Person
) -> None:
    import jsonschema_rs

    hers = program(app, session, person)
    told = hers.get("/openapi.json")
    assert told.status_code == 200
    document = told.get_json()
    assert document["openapi"] == "3.1.0"
    names = [one["operationId"] for verbs in document["paths"].values() for one in verbs.values()]
    assert len(names) == len(set(names)) == len(api.OPERATIONS)
    for name, schema in document["components"]["schemas"].items():
        jsonschema_rs.meta.validate(schema)
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
    wanted = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert wanted <= set(document["components"]["schemas"])
    for one in api.OPERATIONS:
        assert one.handler.__doc__, one.name


def test_what_describes_the_api_is_for_those_who_may_use_it(stranger: Visitor, person: Person) -> None:
    problem(stranger.get("/api/v1/openapi.json"), 401)
    problem(stranger.get("/api/v1/docs"), 401)


def test_the_page_about_the_api_names_every_operation_and_brings_nothing_from_elsewhere(rina: Visitor) -> None:
    page = rina.get("/api/v1/docs")
    assert page.status_code == 200
    for one in api.OPERATIONS:
        assert f'id="{one.name}"' in page.text
        assert one.path in page.text
    assert not re.search(r'(src|href)="(https?:)?//', page.text)


def test_no_operation_is_without_a_right_but_those_about_oneself() -> None:
    free = {one.name for one in api.OPERATIONS if one.right is None}
    assert free == {
        "telling.told", "telling.addresses", "telling.on_call", "telling.rota", "people.me", "people.tokens",
        "people.revoke",
    }  # fmt: skip
    assert all(openapi.scopes(one) for one in api.OPERATIONS)


def test_a_page_that_asks_for_too_much_gets_nothing(app: Flask, session: Session, person: Person) -> None:
    hers: Program = program(app, session, person)
    for path in ("/machines", "/incidents", "/deliveries", "/sites", "/limits", "/people", "/credentials"):
        problem(hers.get(f"{path}?limit=501"), 422)
        assert hers.get(f"{path}?limit=500").status_code == 200
