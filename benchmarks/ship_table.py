"""The first table of the README: the dense network beside the file that is shipped, from a run's own records.

    python benchmarks/ship_table.py artifacts/acdc_ship --network quarter

Latency, memory and size come from the run's bench-cpu.json, Dice and ejection fractions from the gate's verdict on the
same file; nothing is measured here.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from compress.bench.report import BenchReport, ModelBench
from compress.evaluate.summary import EvaluationReport
from compress.evaluate.verdict import Endpoint, Verdict
from compress.files import digest_file, read_json
from compress.rundir import GateFiles
from compress.steps.reporting.facts import dice_per_volume, paired_difference

MIB = 2**20


def rows(bench: BenchReport, name: str, verdict: Verdict, files: GateFiles) -> Iterator[tuple[str, str, str, str]]:
    """(what, dense, shipped, difference or ratio)."""
    models = {model.name: model for model in bench.models}
    dense, small = models[bench.baseline], models[name]
    ratio = small.speedup
    yield (
        "latency, batch 1",
        f"{1e3 * dense.median_s:.1f} ms",
        f"{1e3 * small.median_s:.2f} ms",
        (f"**{ratio.median:.1f} times as fast** ({ratio.low:.1f} to {ratio.high:.1f})"),
    )
    yield from sizes(dense, small)
    before, after = (EvaluationReport.from_json(read_json(path)) for path in (files.baseline, files.candidate))
    found = paired_difference(dice_per_volume(before), dice_per_volume(after))
    assert found is not None and found.low is not None, "the gate wants ten patients"
    shown = f"{found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f})"
    yield "Dice", f"{before.mean_dice:.4f}", f"{after.mean_dice:.4f}", shown
    wanted = ("Dice RV", "Dice MYO", "Dice LV", "LV EF error", "RV EF error")
    yield from (endpoint(row) for row in verdict.endpoints if row.name in wanted)
    yield "gate", "", "accepted" if verdict.accepted else "refused", f"{len(verdict.reasons)} reasons"


def sizes(dense: ModelBench, small: ModelBench) -> Iterator[tuple[str, str, str, str]]:
    """File, memory and cost."""
    pairs = [("file", dense.file_bytes, small.file_bytes, "smaller")]
    if dense.peak_memory_bytes and small.peak_memory_bytes:
        pairs.append(("peak memory of a process", dense.peak_memory_bytes, small.peak_memory_bytes, "less"))
    for what, before, after, word in pairs:
        yield what, f"{before / MIB:.1f} MiB", f"{after / MIB:.1f} MiB", f"{before / after:.1f} times {word}"
    yield (
        "parameters",
        f"{dense.parameters / 1e6:.2f} M",
        f"{small.parameters / 1e6:.3f} M",
        (f"{dense.parameters / small.parameters:.1f} times fewer"),
    )


def endpoint(row: Endpoint) -> tuple[str, str, str, str]:
    """An endpoint of the gate, with its interval and margin."""
    digits = 4 if not row.unit else 2
    numbers = [row.baseline, row.candidate, row.difference, row.low, row.high]
    before, after, mean, low, high = (float("nan") if number is None else number for number in numbers)
    name = row.name.replace("error", f"absolute error ({row.unit})") if row.unit else row.name
    return (
        name,
        f"{before:.{digits}f}",
        f"{after:.{digits}f}",
        (f"{mean:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f}), margin {row.margin:g}"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--network", required=True, help="folder of the pruned network")
    parser.add_argument("--suffix", default="", help="-int8 for the quantized file")
    parser.add_argument("--verdict", type=Path, help="folder of the verdict; without it the one on the file")
    arguments = parser.parse_args()
    bench = BenchReport.from_json(read_json(arguments.run / "bench" / "bench-cpu.json"))
    stem = f"pruned_model{arguments.suffix.replace('-', '.')}.onnx"
    shipped = digest_file(arguments.run / "pruned" / arguments.network / stem)
    folders = (
        [arguments.verdict]
        if arguments.verdict
        else sorted(p.parent for p in arguments.run.glob("gate/[!.]*/verdict.json"))
    )
    found = [(GateFiles(f), Verdict.from_json(read_json(GateFiles(f).verdict))) for f in folders]
    pair = next((pair for pair in found if pair[1].candidate.sha256 == shipped), None)
    if pair is None:
        parser.error(f"no verdict below {arguments.run} is about {stem} of {arguments.network}: run gate first")
    files, verdict = pair
    print("| | dense | candidate | difference (95% interval) |\n|---|---|---|---|")
    for line in rows(bench, f"pruned-{arguments.network}{arguments.suffix}", verdict, files):
        print(f"| {' | '.join(line)} |")


if __name__ == "__main__":
    main()
