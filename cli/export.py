"""`cardiocompress export`."""

from __future__ import annotations

from cli.options import ConfigOption, SetOption


def export(config: ConfigOption = None, overrides: SetOption = None) -> None:
    """Write the dense and every pruned network of the run as ONNX, checked against torch.

    One self-contained file each (dynamic batch, height and width), the same bytes every time, with the largest
    difference between torch and ONNX Runtime on validation slices.
    """
    from cli.console import say, table
    from cli.options import open_workspace

    ws = open_workspace(config, overrides)
    from compress.errors import CheckpointError
    from compress.steps.exporting import export_stage
    from compress.steps.reporting import stages_of, write_report

    stages = stages_of(ws)
    if not stages:
        raise CheckpointError(f"{ws.run.root} holds no trained network.", cure="Run `cardiocompress train` first.")
    rows = []
    for name, stage in stages.items():
        parity = export_stage(ws, stage)
        size = stage.onnx.stat().st_size
        difference = [f"{parity.max_abs_difference:.1e}", f"{parity.bound:g}", f"{parity.differing_voxels}"]
        rows.append([name, str(stage.onnx), f"{size / 2**20:.2f}", *difference, f"{parity.voxels:,}"])
    heads = ["network", "file", "MiB", "max difference", "bound", "differing voxels", "of"]
    table("ONNX files and their parity with torch", heads, rows, left=2)
    ws.describe()
    say(f"Report: {write_report(ws)}")
