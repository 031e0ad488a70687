"""The networks of a run beside each other: Dice on the validation patients, right after pruning and after retraining.

python benchmarks/controls_table.py artifacts/acdc_controls
"""

from __future__ import annotations

import argparse
from pathlib import Path

from compress.evaluate.summary import EvaluationReport
from compress.files import read_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    wanted = parser.parse_args()
    print("| network | right after pruning | Dice | RV | MYO | LV |")
    print("|---|---|---|---|---|---|")
    for folder in sorted((wanted.run / "pruned").iterdir()):
        before, after = (_report(folder / name / "metrics.json") for name in ("eval_after_pruning", "eval"))
        if before is not None and after is not None:
            shown = (before.mean_dice, after.mean_dice, *after.structure_dice.values())
            print(f"| {folder.name} | {' | '.join(f'{dice:.4f}' for dice in shown)} |")


def _report(path: Path) -> EvaluationReport | None:
    return EvaluationReport.from_json(read_json(path)) if path.is_file() else None


if __name__ == "__main__":
    main()
