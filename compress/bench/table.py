"""The benchmark's table, one pure function for Markdown and the console alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from compress.bench.report import BenchReport, ModelBench
from compress.bench.stats import Interval
from compress.runtime.placement import count_nodes

MISSING = "-"


def table(report: BenchReport) -> tuple[list[str], list[list[str]]]:
    """Column headings and one row of text per model, the A/A control right after the baseline.

    What only a GPU has, its memory and times without copies, is a column where it was measured.
    """
    structures = list(next((m.dice for m in report.models if m.dice), {}))
    dice_heads = [f"Dice {name}{' (phantom)' if report.phantom else ''}" for name in structures]
    extra = [(head, cell) for head, cell in _GPU_COLUMNS if any(cell(m) != MISSING for m in report.models)]
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
    lines += notes(report)
    if report.phantom:
        lines.append("Dice was measured on phantom images: it says nothing about patients.")
    if report.warnings:
        lines += ["", "Warnings:", "", *(f"- {text}" for text in report.warnings)]
    return "\n".join(lines) + "\n"


def notes(report: BenchReport) -> list[str]:
    """Which provider computed how many nodes, and what idle threads did; nothing for reports that do not tell."""
    placed: dict[str, list[str]] = {}
    for model in report.models:
        if model.placement is not None:
            placed.setdefault(count_nodes(model.placement), []).append(model.name)
    found = [f"Nodes of {', '.join(names)}: {count}." for count, names in placed.items()]
    spinning = sorted({model.settings.spinning for model in report.models if model.settings})
    return found + [f"ONNX Runtime's idle threads spin: {', '.join(spinning)}."] * bool(spinning)


def _device_time(model: ModelBench) -> str:
    return MISSING if model.device_median_s is None else f"{1e3 * model.device_median_s:.2f}"


def _gpu_memory(model: ModelBench) -> str:
    return MISSING if model.gpu_memory_bytes is None else f"{model.gpu_memory_bytes / 2**20:.0f}"


_GPU_COLUMNS: tuple[tuple[str, Callable[[ModelBench], str]], ...] = (
    ("Median without copies (ms)", _device_time),
    ("GPU memory (MiB)", _gpu_memory),
)


def _model_row(model: ModelBench, extra: Sequence[str], structures: Sequence[str]) -> list[str]:
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
        *extra,
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
