"""Every file of a run folder, from the tables in `compress.rundir`."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from compress.config import Config
from compress.rundir import RunDir
from compress.rundir.folder import At, Folder
from compress.text import code, markdown_table
from generate.prose import codes, prose

_RUN = "<run>"


class _Blank(str):
    """The name of an argument in the place of its value, whatever format is asked for."""

    def __format__(self, spec: str) -> str:
        return str(self)


def run_folder() -> str:
    """One heading for each kind of folder: where such folders lie, and the files in each."""
    parts = []
    for kind, places in _kinds().items():
        name = "The run folder" if kind is RunDir else f"`{kind.__name__}`"
        lie = codes(f"{place.root}/" for place in places)
        rows = [(code(path), prose(what)) for path, what in _files(places[0])]
        table = markdown_table(("file or folder", "what it is"), rows)
        parts.append(f"## {name}\n\n{inspect.getdoc(kind)}\n\nLies in {lie}.\n\n{table}")
    return "\n\n".join(parts)


def _kinds() -> dict[type[Folder], list[Folder]]:
    """Each kind of folder with the folders of that kind, in the order in which they are met."""
    found: dict[type[Folder], list[Folder]] = {}
    waiting: list[Folder] = [replace(RunDir.of(Config()), root=Path(_RUN))]
    while waiting:
        folder = waiting.pop(0)
        known = found.setdefault(type(folder), [])
        known.append(folder)
        inside = [inner for _, inner, _ in _members(folder) if isinstance(inner, Folder)]
        # The first of a kind shows what the others hold; a folder in one of its own kind is told there.
        waiting += [inner for inner in inside if len(known) == 1 and type(inner) is not type(folder)]
    return found


def _files(folder: Folder) -> Iterator[tuple[str, str]]:
    for _, value, what in _members(folder):
        path = value.root if isinstance(value, Folder) else value
        yield _below(path, folder) + ("/" if isinstance(value, Folder) or not path.suffix else ""), what


def _below(path: Path, folder: Folder) -> str:
    return str(PurePosixPath(path).relative_to(PurePosixPath(folder.root)))


def _members(folder: Folder) -> Iterator[tuple[str, Any, str]]:
    """(name, path or folder, what it is) of everything that a folder names."""
    for name, member in vars(type(folder)).items():
        if isinstance(member, At):
            path = getattr(folder, name)
            yield name, path if member.holds is None else member.holds(path), member.what
        elif isinstance(member, property) and not name.startswith("_"):
            value = getattr(folder, name)
            if isinstance(value, Folder | Path):
                yield name, value, _what(member.fget, value)
        elif inspect.isfunction(member) and not name.startswith("_"):
            yield from _of_method(folder, name, member)


def _of_method(folder: Folder, name: str, method: Any) -> Iterator[tuple[str, Any, str]]:
    """What a method names, its arguments left blank; a method that lists what is there names nothing."""
    hints = typing.get_type_hints(method)
    if not (isinstance(hints.get("return"), type) and issubclass(hints["return"], Folder | Path)):
        return
    blanks = [_Blank(f"<{argument}>") for argument in inspect.signature(method).parameters if argument != "self"]
    value = getattr(folder, name)(*blanks)
    path = value.root if isinstance(value, Folder) else value
    if path.is_relative_to(folder.root):  # another is the same folder elsewhere
        yield name, value, _what(method, value)


def _what(function: Any, value: Any) -> str:
    said = inspect.getdoc(function) or (inspect.getdoc(type(value)) if isinstance(value, Folder) else "") or ""
    return said.partition("\n")[0]
