"""The sections of the run's page about size, speed and what segmentation lost."""

from __future__ import annotations

from pathlib import Path

from compress.bench.machine_report import MachineBench
from compress.bench.machine_table import table as machine_table
from compress.bench.report import BenchReport, ModelBench
from compress.bench.table import table as bench_table
from compress.bundle.manifest import Manifest
from compress.report.html import Markup, bullets, details, el, figure, heading_of, table
from compress.report.page_parts import key_figures, plain_facts, verdict_banner
from compress.report.tradeoff_plot import TradeoffPoint, tradeoff_plot
from compress.steps.reporting.facts import Difference, RunFacts, dice_difference, dice_per_volume, paired_difference
from compress.steps.reporting.summary import BENCH_NOTE, comparison_rows
from compress.text import MISSING, interval, mib, phantom_mark, span, without_folders

Tile = tuple[str, str, str]


def headline(facts: RunFacts) -> list[Markup]:
    """What was compared, the gate's verdicts, and the key figures of one compressed network."""
    compared, patients = ", ".join(network.name for network in facts.compressed), len(facts.split.get("val", ()))
    words = f"Compared on {patients} validation patients: the dense network with {compared}."
    words = words if compared else "This run holds no compressed network yet."
    parts = [el("p", words, class_="lead")]
    parts += [verdict_banner(verdict, link=link) for link, verdict in facts.verdicts]
    bench = next((found for found in facts.benches.values() if found.others), None)
    if bench is not None:
        model, why = _chosen(facts, bench)
        parts += [el("p", f"Key figures of {model.name}, {why}, on '{model.provider_proven}':")]
        parts.append(key_figures(_tiles(bench, model, phantom=facts.phantom)))
    parts += [el("p", _shipped(folder, manifest)) for folder, manifest in facts.bundles]
    if not facts.verdicts:
        parts.append(el("p", "No gate has judged these networks: `cardiocompress gate` does.", class_="note"))
    return parts + [el("p", without_folders(line), class_="banner warn") for line in facts.unread]


def _shipped(folder: str, manifest: Manifest) -> str:
    kind = "gated" if manifest.gated else "NOT GATED"
    return f"Shipped: {folder}, {len(manifest.files)} files, {kind}{', phantom' if manifest.phantom else ''}."


def _chosen(facts: RunFacts, bench: BenchReport) -> tuple[ModelBench, str]:
    """The network that the key figures are of, and why it is this one."""
    accepted = {verdict.candidate.name for _, verdict in facts.verdicts if verdict.accepted}
    if models := [model for model in bench.others if model.name in accepted]:
        return min(models, key=lambda m: m.median_s), "the fastest that the gate accepted"
    scored = [model for model in bench.others if model.dice]
    if scored:
        return max(scored, key=lambda m: (m.dice or {})["mean"]), "the compressed network with the highest Dice"
    return min(bench.others, key=lambda m: m.median_s), "the fastest; Dice was not measured"


def _tiles(bench: BenchReport, model: ModelBench, *, phantom: bool) -> list[Tile]:
    base, ratio, control = bench.base, model.speedup, bench.control_ratio
    times = f"{1e3 * base.median_s:.1f} to {1e3 * model.median_s:.1f} ms per batch"
    sure = f"95% interval {span(ratio.low, ratio.high)}; the dense network against itself {control.median:.2f}"
    tiles = [("Speed-up", f"{ratio.median:.2f}x", f"{times}; {sure}")]
    sizes = f"{mib(base.file_bytes)} to {mib(model.file_bytes)} MiB"
    tiles.append(("File size", f"{base.file_bytes / model.file_bytes:.2f}x smaller", sizes))
    if base.peak_memory_bytes and model.peak_memory_bytes:
        used = f"{mib(base.peak_memory_bytes, '.0f')} to {mib(model.peak_memory_bytes, '.0f')} MiB, process and all"
        tiles.append(("Peak memory", f"{base.peak_memory_bytes / model.peak_memory_bytes:.2f}x less", used))
    found = dice_difference(bench, model.name)
    if found and base.dice and model.dice:
        scores = f"{base.dice['mean']:.4f} to {model.dice['mean']:.4f}; {_interval(found)}"
        tiles.append((f"Dice difference{phantom_mark(phantom)}", f"{found.mean:+.4f}", scores))
    return tiles


def _interval(found: Difference) -> str:
    if found.low is None:
        return "one patient: no interval"
    return f"95% interval {span(found.low, found.high, '+.4f')} over {found.patients} patients"


def network_table(facts: RunFacts) -> list[Markup]:
    """The table of networks, with what each lost against the dense one, patient by patient."""
    heads, cells = comparison_rows([network.row for network in facts.networks], phantom=facts.phantom)
    extra = f"Dice - dense, 95% interval{phantom_mark(facts.phantom)}"
    rows = [[*row, _lost(facts, index)] for index, row in enumerate(cells)]
    caption = "3D Dice on the validation patients, mean over patients, phases and structures"
    return [table([*heads, extra], rows, caption=caption, phantom=facts.phantom)]


def _lost(facts: RunFacts, index: int) -> str:
    network, dense = facts.networks[index], facts.dense
    if dense is None or network is dense or network.scores is None or dense.scores is None:
        return MISSING
    found = paired_difference(dice_per_volume(dense.scores), dice_per_volume(network.scores))
    return MISSING if found is None else interval(found.mean, found.low, found.high, "+.4f")


def speed(facts: RunFacts, folder: Path) -> list[Markup]:
    """Every benchmark: its table, the scatter, its warnings and its conditions; then the quantized files."""
    parts = [part for provider, report in facts.benches.items() for part in _one_bench(provider, report, folder)]
    if not parts:
        parts.append(el("p", "Nothing has been timed yet: `cardiocompress bench` does."))
    parts += [part for report in facts.elsewhere for part in _elsewhere(report)]
    return parts + ([_quantized_table(facts)] if facts.quantized else [])


def _elsewhere(report: MachineBench) -> list[Markup]:
    """What another machine sent back, in the same words as it was shown there."""
    heads, rows = machine_table(report)
    machine = report.environment
    load = "" if report.load is None else f", load {report.load:.1f} before timing"
    caption = (
        f"Batch {' x '.join(map(str, report.shape))}, {len(report.control_s)} rounds, {report.threads} thread(s){load}"
    )
    phantom = any(model.phantom for model in report.models)
    parts = [
        heading_of("h3", f"Measured elsewhere: {machine.cpu}, '{report.provider}'", phantom=phantom),
        table(heads, rows, caption=caption, text_columns=2, phantom=phantom),
    ]
    if report.warnings:
        warnings = bullets(without_folders(text) for text in report.warnings)
        parts.append(el("div", el("p", el("strong", "Warnings")), warnings, class_="banner warn", role="note"))
    return [*parts, details("Machine and versions", plain_facts(machine))]


def _one_bench(provider: str, report: BenchReport, folder: Path) -> list[Markup]:
    heads, rows = bench_table(report)
    batch = " x ".join(map(str, report.shape))
    caption = f"Batch {batch}, {len(report.control_s)} interleaved rounds; A/A: the baseline against itself"
    parts = [
        heading_of("h3", f"Provider '{provider}'", phantom=report.phantom),
        table(heads, rows, caption=caption, text_columns=2, phantom=report.phantom),
        el("p", BENCH_NOTE, class_="note"),
    ]
    if points := [_point(report, model, report.base) for model in report.models if model.dice]:
        path = tradeoff_plot(folder / f"tradeoff-{provider}.png", points, phantom=report.phantom)
        caption = (
            "Bars: 95% intervals of the paired speed-up and, where Dice per patient is known, of the paired difference "
            "of Dice to the baseline. Dotted: the baseline's Dice."
        )
        alt = "Dice against latency: " + "; ".join(
            f"{p.name} {1e3 * p.latency_s:.2f} ms, Dice {p.dice:.4f}" for p in points
        )
        parts.append(figure(path, alt=alt + phantom_mark(report.phantom), caption=caption))
    if report.warnings:
        warnings = bullets(without_folders(text) for text in report.warnings)
        parts.append(el("div", el("p", el("strong", "Warnings")), warnings, class_="banner warn", role="note"))
    return [*parts, details("Machine and versions", plain_facts(report.environment))]


def _point(bench: BenchReport, model: ModelBench, base: ModelBench) -> TradeoffPoint:
    """The model's own median; its bar has the relative ends of its speed-up's interval, the baseline's those of A/A."""
    ratio = bench.control_ratio if model is base else model.speedup
    found = None if model is base else dice_difference(bench, model.name)
    spread = None
    if found is not None and found.low is not None and found.high is not None and base.dice:
        spread = base.dice["mean"] + found.low, base.dice["mean"] + found.high
    return TradeoffPoint(
        model.name,
        model.median_s,
        (model.dice or {})["mean"],
        latency_range=(model.median_s * ratio.median / ratio.high, model.median_s * ratio.median / ratio.low),
        dice_range=spread,
        baseline=model is base,
    )


def _quantized_table(facts: RunFacts) -> Markup:
    rows = []
    for name, record in facts.quantized:
        ratio, float_layers = record.speedup, f"{len(record.float_layers)} of {record.layers}"
        times = interval(ratio.median, ratio.low, ratio.high)
        before, after = record.dice_before["mean"], record.dice_after["mean"]
        dice = [f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}"]
        better = "yes" if record.improvement else "NO"
        rows.append(
            [name, record.kind, record.method or MISSING, float_layers, times, mib(record.file.bytes), *dice, better]
        )
    heads = ["network", "kind", "calibration", "layers kept float", "speed-up over float (95% interval)", "file (MiB)"]
    mark = phantom_mark(facts.phantom)
    heads += [f"Dice float{mark}", f"Dice{mark}", f"difference{mark}", "improvement"]
    return table(heads, rows, caption="Quantized files", text_columns=3, phantom=facts.phantom)
