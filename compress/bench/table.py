"""The benchmark's table, one pure function for Markdown and the console alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from compress.bench.stats import Interval

if TYPE_CHECKING:
    from compress.bench.report import BenchReport, ModelBench

MISSING = "-"


def table(report: BenchReport) -> tuple[list[str], list[list[str]]]:
    """Column headings and one row of text per model, the A/A control right after the baseline."""
    structures = list(next((m.dice for m in report.models if m.dice), {}))
    dice_heads = [f"Dice {name}{' (phantom)' if report.phantom else ''}" for name in structures]
    heads = [
        "Model",
        "Provider",
        "Median (ms)",
        "p90 (ms)",
        "Speed-up (95% interval)",
        "Images/s",
        "Peak memory (MiB)",
        "File (MiB)",
        "Parameters",
        "MACs",
        "Efficiency",
        *dice_heads,
    ]
    rows = [_model_row(model, structures) for model in report.models]
    control = [f"{report.baseline} (A/A)", *[MISSING] * (len(heads) - 1)]
    control[4] = _interval(report.control_ratio)
    return heads, [*rows[:1], control, *rows[1:]]


def markdown(report: BenchReport) -> str:
    """The table, the machine and the warnings."""
    heads, rows = table(report)
    lines = [_line(heads), _line(["---"] * len(heads)), *map(_line, rows), ""]
    machine, batch = report.environment, " x ".join(map(str, report.shape))
    threads = sorted({model.threads for model in report.models})
    lines.append(
        f"Batch {batch}, {len(report.control_s)} interleaved rounds, {'/'.join(map(str, threads))} thread(s); "
        f"{machine.cpu}, {machine.cores} core(s), {machine.platform}, ONNX Runtime {machine.onnxruntime}, "
        f"Python {machine.python}."
    )
    if report.phantom:
        lines.append("Dice was measured on phantom images: it says nothing about patients.")
    if report.warnings:
        lines += ["", "Warnings:", "", *(f"- {text}" for text in report.warnings)]
    return "\n".join(lines) + "\n"


def _model_row(model: ModelBench, structures: Sequence[str]) -> list[str]:
    scores = model.dice or {}
    return [
        model.name,
        _provider(model),
        f"{1e3 * model.median_s:.2f}",
        MISSING if model.p90_s is None else f"{1e3 * model.p90_s:.2f}",
        _interval(model.speedup),
        f"{model.images_per_s:.1f}",
        MISSING if model.peak_memory_bytes is None else f"{model.peak_memory_bytes / 2**20:.0f}",
        f"{model.file_bytes / 2**20:.2f}",
        _count(model.parameters),
        _count(model.macs),
        f"{model.efficiency:.2f}",
        *(f"{scores[name]:.4f}" if name in scores else MISSING for name in structures),
    ]


def _provider(model: ModelBench) -> str:
    shown = model.provider_proven + (" (TF32)" if model.tf32 else "")
    return shown if model.provider_asked == model.provider_proven else f"{shown}, asked {model.provider_asked}"


def _interval(value: Interval) -> str:
    return f"{value.median:.2f} ({value.low:.2f} to {value.high:.2f})"


def _count(number: int) -> str:
    """1234 -> "1.23k", 2_750_000 -> "2.75M"."""
    for unit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.2f}{sign}"
    return str(number)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
