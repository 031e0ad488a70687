"""Every text of a record in turn, and what a document is made of apart from its words."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import yaml
from markdown_it import MarkdownIt

HOSTILE = (
    'small\n\n---\n# Cleared <script>alert(1)</script> | x | [a](http://b) ![i](c) `c` **d** \\\n- e\n"""; print(\'f\')'
)
HARMLESS = "small"
Record = TypeVar("Record")


def texts(value: object) -> set[str]:
    """All texts inside a record, keys of mappings as well."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, Mapping):
        return texts((*value.keys(), *value.values()))
    if is_dataclass(value):
        return texts(tuple(getattr(value, field.name) for field in fields(value)))
    return set().union(*map(texts, value)) if isinstance(value, list | tuple) else set()


def with_text(value: Record, old: str, new: str) -> Record:
    """The record with one of its texts replaced wherever it stands."""
    changed: Any = value
    if isinstance(value, str):
        changed = new if value == old else value
    elif isinstance(value, Mapping):
        changed = {with_text(key, old, new): with_text(found, old, new) for key, found in value.items()}
    elif is_dataclass(value):
        names = [field.name for field in fields(value) if field.init]
        changed = replace(value, **{name: with_text(getattr(value, name), old, new) for name in names})  # type: ignore[type-var]
    elif isinstance(value, list | tuple):
        changed = type(value)(with_text(found, old, new) for found in value)
    return changed


def markdown_structure(text: str) -> list[object]:
    """Kinds of blocks and of what stands inside them, in order; of a YAML head its keys."""
    shape: list[object] = []
    if text.startswith("---\n"):
        head, text = text[4:].split("\n---\n", 1)
        shape.append(_keys(yaml.safe_load(head)))
    for block in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        shape += [(block.type, block.tag), *(child.type for child in block.children or ())]
    return shape


def python_structure(text: str) -> list[str]:
    """Kinds of a script's nodes, in order."""
    return [type(node).__name__ for node in ast.walk(ast.parse(text))]


def _keys(value: object) -> object:
    if isinstance(value, dict):
        return {key: _keys(found) for key, found in value.items()}
    return [_keys(found) for found in value] if isinstance(value, list) else None
