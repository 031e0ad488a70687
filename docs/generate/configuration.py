"""Every key of the configuration: what it may be, its default and its comment, from the schema itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from compress.config import Config
from compress.config.templates import words
from compress.runtime.providers import PROVIDERS
from compress.text import code, markdown_table
from generate.prose import prose

_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minItems": "{} or more of them",
}
_KINDS = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text", "null": "null"}


def configuration() -> str:
    """One heading for each section of the file, below it a table of its keys."""
    schema = Config.model_json_schema()
    parts = []
    for name, found in schema["properties"].items():
        section = _resolved(found, schema)
        rows = [[code(f"{name}.{key}"), *cells] for key, cells in _keys(section, schema)]
        table = markdown_table(("key", "what it may be", "default", "what it does"), rows)
        said = _description(found)
        parts.append(f"## {name}\n\n" + (f"{said[0].upper()}{said[1:]}.\n\n" if said else "") + table)
    return "\n\n".join(parts)


def _keys(section: dict[str, Any], schema: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """(path below the section, cells) of every key, nested sections walked through."""
    for key, found in section["properties"].items():
        inner = _resolved(found, schema)
        if "properties" in inner:
            yield from ((f"{key}.{below}", cells) for below, cells in _keys(inner, schema))
            continue
        default = found.get("default", ...)
        shown = "needed" if default is ... else code(json.dumps(default))
        yield key, [_kind(found, schema), shown, _description(found)]
        if "properties" in (row := _resolved(inner.get("items", {}), schema)):
            yield from ((f"{key}[].{below}", cells) for below, cells in _keys(row, schema))


def _resolved(found: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """What a reference stands for."""
    target = found.get("$ref")
    return schema["$defs"][target.rpartition("/")[2]] if target else found


def _kind(found: dict[str, Any], schema: dict[str, Any]) -> str:
    """Such as "whole number, above 0"."""
    found = _resolved(found, schema)
    if "anyOf" in found:
        return " or ".join(_kind(part, schema) for part in found["anyOf"])
    if "enum" in found or "const" in found:
        return " | ".join(map(str, found.get("enum", [found.get("const")])))
    kind = found.get("type", "")
    if kind == "array":
        parts = found.get("prefixItems") or [found.get("items", {})]
        kinds = dict.fromkeys(_kind(part, schema) for part in parts)
        said = f"list of {len(parts)}: {', '.join(kinds)}" if "prefixItems" in found else f"list of {', '.join(kinds)}"
    elif kind == "object":
        more = found.get("additionalProperties")
        said = "section" if not isinstance(more, dict) else f"name: {_kind(more, schema)}"
    else:
        said = _KINDS.get(kind, str(kind))
    bounds = [text.format(found[key]) for key, text in _BOUNDS.items() if key in found and "prefixItems" not in found]
    return ", ".join([said, *bounds])


def _description(found: dict[str, Any]) -> str:
    return prose(str(found.get("description", "")).format_map(words(PROVIDERS)))
