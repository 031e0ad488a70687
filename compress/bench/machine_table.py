"""What a machine measured of files, as a table for Markdown, pages and the console alike."""

from __future__ import annotations

from compress.bench.machine_report import FileBench, MachineBench
from compress.text import MISSING, dash, interval, mib


def table(report: MachineBench) -> tuple[list[str], list[list[str]]]:
    """Column headings and one row of text per file, the A/A control right after the baseline."""
    heads = ["File", "Self-test", "Wall (ms)", "Processor (ms)", "Speed-up (95% interval)"]
    heads += ["Peak memory (MiB)", "File (MiB)", "Numbers"]
    rows = [_row(model) for model in report.models]
    control = [f"{report.models[0].name} (A/A)", *[MISSING] * (len(heads) - 1)]
    ratio = report.control_ratio
    control[4] = interval(ratio.median, ratio.low, ratio.high)
    return heads, [*rows[:1], control, *rows[1:]]


def _row(model: FileBench) -> list[str]:
    ratio = model.speedup
    return [
        model.name,
        model.self_test,
        f"{1e3 * model.median_s:.2f}",
        dash(None if model.cpu_median_s is None else 1e3 * model.cpu_median_s, ".2f"),
        interval(ratio.median, ratio.low, ratio.high),
        mib(model.peak_memory_bytes, ".0f"),
        mib(model.file_bytes),
        model.quantized or "float32",
    ]
