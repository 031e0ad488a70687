"""Tables of scores, shared by train and eval."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compress.evaluate.summary import EvaluationReport


def show_scores(report: EvaluationReport, name: str, *, phantom: bool, clinical: bool = False) -> None:
    """Scores per structure and phase; with `clinical` also volumes, EF and mass."""
    from cli.console import say, table

    mark = " (phantom)" if phantom else ""
    rows = report.table()
    metrics = list(rows[0].mean)
    cells = [[r.phase or "-", r.structure, str(r.n), *(_cell(r.mean[m]) for m in metrics)] for r in rows]
    table(f"{name}: mean over volumes{mark}", ["phase", "structure", "n", *metrics], cells, left=2)
    if clinical:
        _show_clinical(report, f"{name}: clinical agreement{mark}")
    say(f"{name}: mean 3D Dice{mark} {report.mean_dice:.4f} over {len(report.volumes)} volumes")


def _show_clinical(report: EvaluationReport, title: str) -> None:
    from cli.console import table
    from compress.evaluate.clinical import QUANTITIES

    rows = [
        [f"{name} ({QUANTITIES[name].unit})", str(a.n), _cell(a.bias), _cell(a.sd), _cell(a.correlation)]
        for name, a in report.clinical().items()
    ]
    table(title, ["quantity", "n", "bias", "SD", "correlation"], rows)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
