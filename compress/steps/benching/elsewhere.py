"""Benchmarks that other machines sent back: taken into the run folder, and read from it for the run's page."""

from __future__ import annotations

import os
from pathlib import Path

from compress import records
from compress.bench.machine_report import KIND, SCHEMA, MachineBench
from compress.errors import ConfigError, InputError
from compress.files import digest_file, digest_json, read_json, write_json
from compress.steps.networks import own_files
from compress.steps.workspace import Workspace

_CURE = "Ask for it again: `cardiocompress bench FILES --out bench.json` writes it."


def read_machine_bench(path: Path, *, named: bool = False) -> MachineBench:
    """The record in `path`. Raises `InputError` for anything else, and for another version's."""
    value = read_json(path, named=named)
    if not isinstance(value, dict) or value.get("kind") != KIND or value.get("schema") != SCHEMA:
        raise InputError(f"{path} is no benchmark of files of this version.", cure=_CURE)
    found = records.from_json(MachineBench, value, what=f"a benchmark of files ({path})", cure=_CURE)
    if not found.models or any(model.median_s <= 0 or model.file_bytes <= 0 for model in found.models):
        raise InputError(f"{path} holds no measured file.", cure=_CURE)
    return found


def take_in(ws: Workspace, path: Path) -> Path:
    """Copy a record into the run folder; the same one twice is one.

    Raises `ConfigError` when none of its files is one of this run's networks as they lie there now, `InputError` for a
    file that is no such record.
    """
    if os.path.isdir(path):  # noqa: PTH112
        raise ConfigError(f"{path} is a folder.", cure="Name the JSON file that `bench` wrote.")
    found = read_machine_bench(path, named=True)
    own = {digest_file(file) for file in own_files(ws).values()}
    if not own & {model.sha256 for model in found.models}:
        raise ConfigError(
            f"{path} speaks of no file of the run {ws.run.root}.", cure="Take it in where its models were exported."
        )
    document = found.to_json()
    return write_json(ws.run.measured_elsewhere(digest_json(document)[:12]), document)
