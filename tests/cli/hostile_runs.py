"""A stranger's run folder: every file that a command finds there, and what may stand in its place."""

from __future__ import annotations

from collections.abc import Callable

from hostile_datasets import Break, folder, holds, link, pipe, sparse


def _edited(change: Callable[[str], str]) -> Break:
    return lambda path: path.write_text(change(path.read_bytes().decode(errors="replace")))


DAMAGES: dict[str, Break] = {
    "a pipe": pipe,
    "a folder": folder,
    "a link to /dev/zero": link("/dev/zero"),
    "a link to itself": lambda path: link(path.name)(path),
    "70 MiB of nothing": sparse(70 * 2**20),
    "nothing": holds(""),
    "zeros": holds(bytes(400)),
    "no UTF-8": holds(b'{"inputs": "\xff"}'),
    "a list": holds("[]"),
    "a word": holds('"hello"'),
    "no number": holds("NaN"),
    "an empty mapping": holds("{}"),
    "lists without end": holds("[" * 100_000),
    "mappings without end": holds('{"inputs": ' * 100_000),
    "a number of 5000 digits": _edited(lambda text: text.replace(": ", ": " + "1" * 5000, 1)),
    "every number a NaN": _edited(lambda text: "".join("NaN" if c.isdigit() else c for c in text)),
    "every key twice": _edited(lambda text: text[:-2] + "," + text[1:]),
    "every list a word": _edited(lambda text: text.replace("[", '"').replace("]", '"')),
    "cut in the middle": _edited(lambda text: text[: len(text) // 2]),
}
"""What is put in the place of a file, by its name."""

_PRUNE = ("prune", "--ratios", "ratios.yaml", "--name", "keep", "--finetune", "1")
_DENSE, _SMALL = "artifacts/cardiac/baseline/final_model.onnx", "artifacts/cardiac/pruned/keep/pruned_model.onnx"
_GATE, _EVAL, _EXPORT, _INSPECT = ("gate", _DENSE, _SMALL), ("eval",), ("export",), ("inspect", "--network", "dense")
_FROM_PLAN = ("prune", "--plan", "artifacts/cardiac/planning/macs-0.6x/plan.json", "--finetune", "none")
_PLAN = ("plan", "--target", "macs=0.6x", "--slices", "8", "--align", "1")
READERS: dict[str, tuple[str, ...]] = {
    "config.yaml": _EVAL,
    "data.json": _PRUNE,
    "environment.json": _PRUNE,
    "split.json": _EVAL,
    "baseline/stage.json": _PRUNE,
    "baseline/final_model.safetensors": _PRUNE,
    "baseline/final_model.onnx": _GATE,
    "baseline/metrics.jsonl": _EVAL,
    "baseline/parity.json": _EXPORT,
    "baseline/eval/metrics.json": _EVAL,
    "baseline/checkpoints/early.safetensors": (*_PRUNE, "--init", "rewind"),
    "bench/bench-cpu.json": _EVAL,
    "inspect/dense/masks.json": _INSPECT,
    "inspect/dense/statistics.json": _INSPECT,
    "planning/sensitivity.json": _PLAN,
    "planning/depth.json": _PLAN,
    "planning/macs-0.6x/plan.json": _FROM_PLAN,
    "pruned/keep/stage.json": _EVAL,
    "pruned/keep/plan.json": _EXPORT,
    "pruned/keep/masks.json": _EXPORT,
    "pruned/keep/meta.json": _EXPORT,
    "pruned/keep/pruned_model.safetensors": _EXPORT,
    "pruned/keep/pruned_model.onnx": _GATE,
    "pruned/keep/parity.json": _EXPORT,
    "pruned/keep/eval/metrics.json": _EVAL,
}
"""A file of a run folder -> a command that reads it."""
