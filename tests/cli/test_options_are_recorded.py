"""config.yaml of a run is what was run: every option that decides a result is a key of the configuration."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import typer
from cli_kit import settings

import cli.options
from cli.app import app
from compress.config import Config
from compress.config.read import load_config, load_whole, save_config
from compress.errors import ConfigError
from compress.rundir import RunDir
from compress.steps.workspace import Workspace

VALUES = {
    "--init": "random",
    "--finetune": "7",
    "--name": "mine",
    "--method": {"prune": "l2", "quantize": "minmax"},
    "--scope": "global",
    "--align": "4",
    "--schedule": "finetune",
    "--distill": "0.5",
    "--rounds": "7",
    "--compensate": None,
    "--recover": None,
    "--keep-nnunet-compatible": None,
    "--tta": None,
    "--postprocess": "LV=0.5,RV=0.25",
    "--drop-bare": "all",
    "--fill-holes": "LV,RV",
    "--epochs": "7",
    "--provider": "cuda",
    "--threads": "7",
    "--batch-size": "7",
    "--no-dice": None,
    "--to": "fp16",
    "--budget": "0.25",
    "--weights": "auto",
    "--slices": "7",
    "--keep": None,
}
"""A value that is not the default's; None for a flag."""
PLACES = {"--config", "--set", "--out", "--help", "--resume", "--restart", "--ratios", "--folds", "--add"}
"""What says where something lies, or what becomes of an earlier result; --ratios has a test of its own."""


def options() -> list[tuple[str, str]]:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return [
        (name, option.opts[0])
        for name in ("prune", "finetune", "export", "quantize", "bench", "gate")
        for option in commands[name].params
        if option.param_type_name == "option" and option.opts[0] not in PLACES
        if (name, option.opts[0]) != ("finetune", "--name")  # which network, not how
    ]


@pytest.mark.parametrize(("name", "option"), options())
def test_every_option_is_a_key(name: str, option: str, command, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Config] = []

    def stop(config: Path | None, overrides: list[str] | None, **given: object) -> None:
        keys = {key.replace("__", "."): value for key, value in given.items() if value is not None}
        seen.append(load_config(None, overrides or [], keys))
        raise ConfigError("Seen.")

    monkeypatch.setattr(cli.options, "open_workspace", stop)
    value = VALUES[option]
    word = value[name] if isinstance(value, Mapping) else value
    files = {"quantize": ["a.onnx"], "gate": ["a.onnx", "b.onnx"]}.get(name, [])
    assert "Seen." in command(name, *files, option, *([] if word is None else [word])).err
    (config,) = seen
    assert config != Config()


@pytest.mark.usefixtures("trained", "without_pages")
def test_a_pruning_is_repeated_from_its_config_to_the_byte(command) -> None:
    asked = ["--method", "l2", "--scope", "global", "--finetune", "2", "--rounds", "2", "--align", "2"]
    assert (
        command("prune", "--ratios", "ratios.yaml", *asked, "--distill", "0.3", "--name", "mine", *settings()).code == 0
    )
    run = RunDir.of(load_config(Path("cardiocompress.yaml")))
    first = run.pruned("mine")
    for record in (run.config, first.config):
        pruning = load_whole(record).pruning
        assert (pruning.method, pruning.scope, pruning.rounds, pruning.distill) == ("l2", "global", 2, 0.3)
    kept = {path.name: path.read_bytes() for path in (first.final, first.plan, first.meta)}
    shutil.copy(first.config, "again.yaml")
    shutil.rmtree(first.root)
    assert command("prune", "--config", "again.yaml").code == 0
    assert {path.name: path.read_bytes() for path in (first.final, first.plan, first.meta)} == kept


def test_a_command_leaves_the_sections_of_others(tiny_phantom: Path, tmp_path: Path) -> None:
    document = {"train": {"paths": {"train_dir": str(tiny_phantom), "save_root": str(tmp_path)}}}
    path = save_config(Config.model_validate(document), tmp_path / "config.yaml")
    Workspace(load_config(path, [], {"pruning.method": "l2"})).record_config("pruning")
    ws = Workspace(load_config(path, [], {"bench.rounds": 7}))
    ws.record_config("bench")
    found = load_whole(ws.run.config)
    assert (found.pruning.method, found.bench.rounds) == ("l2", 7)


def test_a_damaged_config_is_written_anew(tiny_phantom: Path, tmp_path: Path) -> None:
    document = {"train": {"paths": {"train_dir": str(tiny_phantom), "save_root": str(tmp_path)}}}
    ws = Workspace(Config.model_validate({**document, "bench": {"rounds": 7}}))
    ws.record_config("pruning")
    whole = ws.run.config.read_text()
    for damage in ("", "{}", "[]", whole[: len(whole) // 2]):
        ws.run.config.write_text(damage)
        ws.record_config("pruning")
        assert ws.run.config.read_text() == whole
