"""Prove the tests of the rules by breaking the rules: `make mutation`, or `python tools/mutation.py [module ...]`.

Every rule module (those of the import contract "Rules are pure") is changed in one place at a time and `tests/rules`
is run against it: what still passes has survived, and is printed as a diff. mutmut changes the functions; what it
leaves alone (constants, fields' defaults, properties) is changed here, by the same operators. `--fresh` forgets
earlier runs; without it, and without naming modules, only what is new, changed or had survived is run again.
`--functions` and `--outside` do one half only. docs/mutation.md tells the score.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import libcst as cst

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".mutation"
KILLED, SURVIVED, UNTESTED = 1, 0, 33
"""mutmut's exit codes: what is neither of the last two was noticed, by a failed test or by never coming to an end."""
OPEN = (None, SURVIVED, UNTESTED)
"""Verdicts that are none, or may be others by now."""
NOBODY = "nobody"
CONTRACT = "Rules are pure"
QUICK = "MUTATION_QUICK"
"""Set in the environment: examples only."""
ELSEWHERE = re.compile(r"^from (bench|config|notifier|poller|probes|webui)\b", re.MULTILINE)
"""Tests of more than the rules (or of weeks of them) are left out."""
SPEECH = ("ValueError", "_Wrong", "ReplayError")
"""What is raised with a sentence for people; the tests hold its meaning, not its letters."""

ALREADY = "ignore::pytest.PytestAssertRewriteWarning"
"""The libraries are loaded once, before the fork."""

SETTINGS = """
[tool.mutmut]
source_paths = ["domain"]
only_mutate = {modules}
do_not_mutate_patterns = ['raise \\w+\\(', 'cast\\(']
pytest_add_cli_args = ["-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = ["tests/rules"]
also_copy = ["conftest.py", "docs"]
timeout_multiplier = 1.5
use_git_change_detection = false
use_setproctitle = false

[tool.pytest.ini_options]
filterwarnings = ["error"]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
"""

CONFTEST = '''
"""Quick examples first, a few of each property last, the same ones every time."""

import os

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "mutation", max_examples=10, derandomize=True, database=None, deadline=None,
    suppress_health_check=list(HealthCheck), report_multiple_bugs=False, phases=(Phase.explicit, Phase.generate),
)
settings.load_profile("mutation")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.get_closest_marker("hypothesis") is not None)
    if os.environ.get("MUTATION_QUICK"):
        items[:] = [item for item in items if item.get_closest_marker("hypothesis") is None]
'''


@dataclass
class Score:
    """How many mutants of one module there were, and those that nothing noticed, as diffs."""

    made: int = 0
    left: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        return 100 * (1 - len(self.left) / self.made) if self.made else 100.0


def main(arguments: list[str]) -> int:
    """Print the score of each module, then what survived. The exit code is 1 under 95 % in all."""
    chosen = [name.removeprefix("domain.") for name in arguments if not name.startswith("--")]
    modules = [name for name in rule_modules() if not chosen or name in chosen]
    if "--fresh" in arguments:
        shutil.rmtree(PLACE, ignore_errors=True)
    lay_out()
    scores = {name: Score() for name in modules}
    if "--outside" not in arguments:
        functions(modules, scores)
    if "--functions" not in arguments:
        outside(modules, scores)
    return report(scores)


def rule_modules() -> list[str]:
    """The modules the contract names, without the package's name."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (pure,) = (contract["source_modules"] for contract in contracts if contract["name"] == CONTRACT)
    return [name.removeprefix("domain.") for name in pure]


def lay_out() -> None:
    """The rules and their tests alone, in a place of their own; a file that did not change keeps its date."""
    for source in (
        *(ROOT / "domain").glob("*.py"),
        *(ROOT / "tests" / "rules").rglob("*.*"),
        *(ROOT / "docs").glob("*.md"),
    ):
        if source.is_file() and source.suffix != ".pyc" and not ELSEWHERE.search(text := source.read_text()):
            write(PLACE / source.relative_to(ROOT), text)
    write(PLACE / "conftest.py", CONFTEST)
    write(
        PLACE / "pyproject.toml", SETTINGS.format(modules=json.dumps([f"domain/{name}.py" for name in rule_modules()]))
    )
    for copy in (PLACE / "tests").rglob("*.*"):
        source = ROOT / copy.relative_to(PLACE)
        if copy.suffix != ".pyc" and (not source.exists() or ELSEWHERE.search(source.read_text())):
            copy.unlink()
    shutil.rmtree(PLACE / "mutants" / "tests", ignore_errors=True)


def write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def functions(modules: list[str], scores: dict[str, Score]) -> None:
    """What mutmut makes of the functions: the examples first, then, for what they let live, the properties too."""
    mutmut([NOBODY], examples_only=False)  # makes the mutants anew where the source is another, and runs none
    for examples_only in (True, False):
        if names := [key for name in modules for key, code in verdicts(name).items() if code in OPEN]:
            done = mutmut(names, examples_only)
            if done.returncode:
                sys.exit(done.stdout[-4000:] + done.stderr[-2000:])
    os.chdir(PLACE)  # mutmut reads its settings from where it stands
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    for name in modules:
        codes = verdicts(name)
        scores[name].made += len(codes)
        for key in [key for key, code in codes.items() if code in OPEN]:
            scores[name].left.append(f"# {key}\n{get_diff_for_mutant(key, path=f'domain/{name}.py')}")


def mutmut(names: list[str], examples_only: bool) -> subprocess.CompletedProcess[str]:
    words = [str(Path(sys.executable).parent / "mutmut"), "run", "--max-children", "1", *names]
    environment = {**os.environ, QUICK: "1" if examples_only else ""}
    return subprocess.run(words, cwd=PLACE, env=environment, capture_output=True, text=True, check=False)


def verdicts(name: str) -> dict[str, int | None]:
    meta = PLACE / "mutants" / "domain" / f"{name}.py.meta"
    found: dict[str, int | None] = json.loads(meta.read_text())["exit_code_by_key"] if meta.exists() else {}
    return found


def outside(modules: list[str], scores: dict[str, Score]) -> None:
    """The mutants of what stands outside of functions, and of decorated ones."""
    place, remembered = PLACE / "outside", PLACE / "outside.json"
    shutil.rmtree(place, ignore_errors=True)
    for part in ("domain", "tests", "docs", "conftest.py", "pyproject.toml"):
        source = PLACE / part
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, _made(place) / part)
    known = set(json.loads(remembered.read_text())) if remembered.exists() else set()
    run = runner(place)
    for name in modules:
        path = place / "domain" / f"{name}.py"
        whole = path.read_text()
        for mutant in mutants(whole):
            scores[name].made += 1
            shown = "".join(difflib.unified_diff(whole.splitlines(True), mutant.splitlines(True), path.name, n=0))
            if shown in known:
                continue
            path.write_text(mutant)
            if run(examples_only=True) and run():
                scores[name].left.append(shown)
            else:
                known.add(shown)
        path.write_text(whole)
        remembered.write_text(json.dumps(sorted(known)))


def _made(place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    return place


def runner(place: Path) -> Callable[..., bool]:
    """Runs the tests in a fork of this process, which has the libraries loaded and nothing of ours; True = passed."""
    import hypothesis  # noqa: F401
    import pytest

    os.chdir(place)
    sys.path[:] = [str(place), *(path for path in sys.path if path and Path(path).resolve() != ROOT)]
    sys.dont_write_bytecode = True

    def run(loud: bool = False, examples_only: bool = False) -> bool:
        child = os.fork()
        if child == 0:
            os.environ[QUICK] = "1" if examples_only else ""
            if not loud:
                _silence()
            code = 1
            try:
                code = int(
                    pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--timeout", "60", "-W", ALREADY, "tests/rules"])
                )
            finally:  # whatever it is, the child ends here
                if sys.exc_info()[0]:
                    traceback.print_exc()
                sys.stdout.flush()
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    if not run(loud=True):
        sys.exit("The tests of the rules do not pass on the rules as they are.")
    return run


def _silence() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def mutants(text: str) -> Iterator[str]:
    """The module's text, changed in one place outside of what mutmut changes."""
    from mutmut.mutation.mutators import mutation_operators

    module = cst.parse_module(text)
    for node in spots(module):
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                for changed in operator(node):
                    code = module.deep_replace(node, changed).code
                    if code != text and compiles(code):
                        yield code


def spots(module: cst.Module) -> Iterator[cst.CSTNode]:
    """Every node that can be changed: outside of functions only values, in properties and the like everything."""
    for statement in module.body:
        if isinstance(statement, cst.SimpleStatementLine):
            yield from values(statement)
        elif isinstance(statement, cst.ClassDef):
            for part in statement.body.body:
                if isinstance(part, cst.FunctionDef) and not mutated_by_mutmut(part):
                    yield from walk(part.body)
                elif isinstance(part, cst.SimpleStatementLine):
                    yield from values(part)
        elif isinstance(statement, cst.FunctionDef) and not mutated_by_mutmut(statement):
            yield from walk(statement.body)


def mutated_by_mutmut(function: cst.FunctionDef) -> bool:
    names = [item.decorator.value for item in function.decorators if isinstance(item.decorator, cst.Name)]
    return not function.decorators or (len(function.decorators) == 1 and names in (["classmethod"], ["staticmethod"]))


def values(line: cst.SimpleStatementLine) -> Iterator[cst.CSTNode]:
    """The values this line assigns; what only names types is no rule."""
    for statement in line.body:
        value = statement.value if isinstance(statement, cst.Assign | cst.AnnAssign) else None
        if value is not None and not _is_type(value):
            yield from walk(value)


def _is_type(value: cst.BaseExpression) -> bool:
    words = ("Literal", "TypeVar", "NewType", "dict", "list", "tuple", "Callable", "get_args")
    named = value.func if isinstance(value, cst.Call) else value.value if isinstance(value, cst.Subscript) else None
    return isinstance(named, cst.Name) and named.value in words


def walk(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """The node and all below it, without annotations and sentences for people."""
    if isinstance(node, cst.Annotation) or _speaks(node):
        return
    yield node
    for child in node.children:
        yield from walk(child)


def _speaks(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Call) and isinstance(node.func, cst.Name) and node.func.value in SPEECH


def compiles(code: str) -> bool:
    try:
        compile(code, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def report(scores: dict[str, Score]) -> int:
    """The table of docs/mutation.md, then the survivors."""
    whole = Score(sum(score.made for score in scores.values()), [d for score in scores.values() for d in score.left])
    out = ["| module | mutants | survived | killed |", "|---|---|---|---|"]
    out += [f"| {name} | {s.made} | {len(s.left)} | {s.share:.1f} % |" for name, s in sorted(scores.items())]
    out += [f"| all | {whole.made} | {len(whole.left)} | {whole.share:.1f} % |", ""]
    out += survivors(scores.items())
    sys.stdout.write("\n".join(out) + "\n")
    return 0 if whole.share >= 95 else 1


def survivors(scores: Iterable[tuple[str, Score]]) -> Iterator[str]:
    for name, score in scores:
        for shown in score.left:
            yield f"== {name}"
            lines = [line for line in shown.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
            head = (
                shown.splitlines()[0]
                if shown.startswith("#")
                else next((x for x in shown.splitlines() if x.startswith("@@")), "")
            )
            yield "\n".join([head, *lines])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
