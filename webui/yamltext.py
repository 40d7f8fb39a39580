"""Reads YAML that a stranger may have written: bounded in size, depth and repetition, and knowing its line numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

MOST_BYTES = 8 << 20
MOST_NODES = 500_000
DEEPEST = 40
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class TextError(Exception):
    """The text is not YAML that is accepted; the message is one sentence with the line."""


class Text:
    """A text that was read: `data` are plain values, `line` finds where one of them stands."""

    def __init__(self, text: str) -> None:
        if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
            raise TextError(f"The file is larger than {MOST_BYTES >> 20} MiB; split it.")
        try:
            _bounded(text)
            loader = _Loader(text)
            try:
                self._root = loader.get_single_node()
                if self._root is not None:
                    _weigh(self._root)
                self.data: Any = None if self._root is None else loader.construct_document(self._root)
            finally:
                loader.dispose()
        except yaml.YAMLError as error:
            raise TextError(_sentence(error)) from None
        except (ValueError, OverflowError) as error:  # a date that does not exist, a number without end
            raise TextError(f"The file holds a value that cannot be read: {error}.") from None

    def line(self, path: Sequence[str | int]) -> int | None:
        """The line (from 1) of the value at `path`, or of the nearest thing around it."""
        node = self._root
        for step in path:
            found = _step(node, step)
            if found is None:
                break
            node = found
        return None if node is None else int(node.start_mark.line) + 1


def _bounded(text: str) -> None:
    """Walk the events without building anything: nesting and length are bounded before memory is spent on them."""
    depth = 0
    event: Any
    for number, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST or number > MOST_NODES:
            what = "nested too deeply" if depth > DEEPEST else "too long"
            raise TextError(f"The file is {what} (line {event.start_mark.line + 1}).")


def _weigh(root: Any) -> None:
    """Refuse what grows out of bounds when aliases are followed, what holds itself, and a key given twice."""
    weights: dict[int, int] = {}
    open_now: set[int] = set()

    def weigh(node: Any) -> int:
        if id(node) in weights:
            return weights[id(node)]
        if id(node) in open_now:
            raise TextError(f"The alias on line {node.start_mark.line + 1} holds itself.")
        open_now.add(id(node))
        _once(node)
        weights[id(node)] = 1 + sum(weigh(child) for child in _children(node))
        open_now.discard(id(node))
        if weights[id(node)] > MOST_NODES:
            raise TextError(f"The aliases on line {node.start_mark.line + 1} repeat too much.")
        return weights[id(node)]

    weigh(root)


def _once(node: Any) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise TextError(f"Line {key.start_mark.line + 1}: a key is a word, not a list.")
        line = key.start_mark.line + 1
        if key.value in lines:
            raise TextError(f"Line {line}: the key '{key.value}' was given on line {lines[key.value]} already.")
        lines[key.value] = line


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _step(node: Any, step: str | int) -> Any:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step]
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    return None


def _sentence(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f" (line {mark.line + 1})" if mark is not None else ""
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    return f"This is not YAML{where}: {problem}."
