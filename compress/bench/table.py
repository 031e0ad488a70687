"""The benchmark's table, one pure function for Markdown and the console alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from compress.bench.report import BenchReport, ModelBench
from compress.evaluate.interval import Interval
from compress.runtime.placement import count_nodes
from compress.text import MISSING, Markdown, dash, interval, markdown_table, mib, phantom_mark, plain, si


def table(report: BenchReport) -> tuple[list[str], list[list[str]]]:
    """Column headings and one row of text per model, the A/A control right after the baseline.

    What not every provider has (processor time; a GPU's memory and times without copies) is a column where it was
    measured.
    """
    structures = list(next((m.dice for m in report.models if m.dice), {}))
    dice_heads = [f"Dice {name}{phantom_mark(report.phantom)}" for name in structures]
    extra = [(head, cell) for head, cell in _MORE_COLUMNS if any(cell(m) != MISSING for m in report.models)]
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
        *(head for head, _ in extra),
        *dice_heads,
    ]
    rows = [_model_row(model, [cell(model) for _, cell in extra], structures) for model in report.models]
    control = [f"{report.baseline} (A/A)", *[MISSING] * (len(heads) - 1)]
    control[4] = _interval(report.control_ratio)
    return heads, [*rows[:1], control, *rows[1:]]


def markdown(report: BenchReport) -> Markdown:
    """The table, the machine and the warnings."""
    heads, rows = table(report)
    machine, batch = report.environment, " x ".join(map(str, report.shape))
    threads = sorted({model.threads for model in report.models})
    conditions = (
        f"Batch {batch}, {len(report.control_s)} interleaved rounds, {'/'.join(map(str, threads))} thread(s); "
        f"{machine.cpu}, {machine.cores} core(s), {machine.platform}, ONNX Runtime {machine.onnxruntime}, "
        f"Python {machine.python}."
    )
    said = [conditions, *notes(report)]
    if report.phantom:
        said.append("Dice was measured on phantom images: it says nothing about patients.")
    lines = [markdown_table(heads, rows), "", *map(plain, said)]
    if report.warnings:
        lines += ["", "Warnings:", "", *(f"- {plain(text)}" for text in report.warnings)]
    return Markdown("\n".join(lines) + "\n")


def notes(report: BenchReport) -> list[str]:
    """Which provider computed how many nodes, and what idle threads did; once for all that are alike."""
    placed: dict[str, list[str]] = {}
    for model in report.models:
        placed.setdefault(count_nodes(model.placement), []).append(model.name)
    found = [f"Nodes of {', '.join(names)}: {count}." for count, names in placed.items()]
    spinning = sorted({model.settings.spinning for model in report.models})
    if report.load is not None:
        found.append(f"Load of the machine before timing: {report.load:.1f}.")
    return found + [f"ONNX Runtime's idle threads spin: {', '.join(spinning)}."] * bool(spinning)


def _processor_time(model: ModelBench) -> str:
    return _milliseconds(model.cpu_median_s)


def _device_time(model: ModelBench) -> str:
    return _milliseconds(model.device_median_s)


def _gpu_memory(model: ModelBench) -> str:
    return mib(model.gpu_memory_bytes, ".0f")


_MORE_COLUMNS: tuple[tuple[str, Callable[[ModelBench], str]], ...] = (
    ("Processor time (ms)", _processor_time),
    ("Median without copies (ms)", _device_time),
    ("GPU memory (MiB)", _gpu_memory),
)


def _model_row(model: ModelBench, extra: Sequence[str], structures: Sequence[str]) -> list[str]:
    scores = model.dice or {}
    return [
        model.name,
        _provider(model),
        _milliseconds(model.median_s),
        _milliseconds(model.p90_s),
        _interval(model.speedup),
        f"{model.images_per_s:.1f}",
        mib(model.peak_memory_bytes, ".0f"),
        mib(model.file_bytes),
        si(model.parameters, ".2f"),
        si(model.macs, ".2f"),
        f"{model.efficiency:.2f}",
        *extra,
        *(dash(scores.get(name), ".4f") for name in structures),
    ]


def _provider(model: ModelBench) -> str:
    shown = model.provider_proven + (" (TF32)" if model.tf32 else "")
    return shown if model.provider_asked == model.provider_proven else f"{shown}, asked {model.provider_asked}"


def _interval(value: Interval) -> str:
    return interval(value.median, value.low, value.high)


def _milliseconds(seconds: float | None) -> str:
    return dash(None if seconds is None else 1e3 * seconds, ".2f")
