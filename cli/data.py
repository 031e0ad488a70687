"""`cardiocompress data check`, `data convert` and `data phantom`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.model_options import RecursiveOption

if TYPE_CHECKING:
    from compress.data.check import CheckReport, Spread

data = typer.Typer(help="Look a data folder over, or generate a phantom.", no_args_is_help=True)


@data.command()
def check(
    folder: Annotated[Path, typer.Argument(help="An ACDC, nnU-Net raw, M&Ms, M&Ms-2, UK Biobank or BIDS folder.")],
    label_dir: Annotated[Path | None, typer.Option("--label-dir", help="Only where masks lie apart.")] = None,
    recursive: RecursiveOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Print what a data folder holds: patients, slices, spacings, volumes, duplicates and every problem,
    among them masks that are swapped, mirrored, shifted or another image's.

    Exit code 2 when any file has a problem.
    """
    import json

    from compress.data.check import check_folder
    from compress.errors import DataError

    report = check_folder(folder, label_dir=label_dir, recursive=recursive)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        _show(report)
    if report.problems:
        count, first = len(report.problems), report.problems[0].message
        raise DataError(f"{count} problem{'s, the first' if count > 1 else ''} in {folder}: {first}")


@data.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A DICOM folder, or one with a subfolder for each patient.")],
    out: Annotated[Path, typer.Argument(help="Folder for the NIfTI files.")],
    recursive: RecursiveOption = False,
    resume: Annotated[bool, typer.Option("--resume", help="Keep the images that an earlier run has written.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Write all images anew.")] = False,
) -> None:
    """Write the short-axis scans of DICOM folders as NIfTI, as they lie in the patient; no name is written.

    Exit code 2 when any could not be converted.
    """
    from cli.console import RichProgress, say, show_notes, warn
    from cli.model_options import earlier_of
    from compress.data.convert import convert as write_all
    from compress.errors import DataError

    earlier = earlier_of(resume, restart)
    done = write_all(source, out, recursive=recursive, earlier=earlier, progress=RichProgress())
    show_notes(done.notes)
    if len(done.problems) == 1 and not done.written:
        raise DataError(done.problems[0].message)
    for problem in done.problems:
        warn(problem.message)
    kept = f", {done.kept} of them by an earlier run" if done.kept else ""
    say(f"Wrote {len(done.written)} image(s) to {out}{kept}.")
    if done.problems:
        total = len(done.problems) + len(done.written)
        raise DataError(f"{len(done.problems)} of {total} could not be converted.", cure="They are listed above.")


@data.command()
def phantom(
    folder: Annotated[Path, typer.Argument(help="Where to write it.")],
    patients: Annotated[int, typer.Option("--patients", "-n", min=1, max=999, help="How many.")] = 20,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same bytes.")] = 0,
) -> None:
    """Write a synthetic cine phantom in the ACDC layout, with masks and Info.cfg."""
    from cli.console import RichProgress, say
    from compress.data.phantom import write_phantom
    from compress.errors import DataError

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} exists and is not an empty folder.", cure="Choose a new folder.")
    with RichProgress().task("Generating phantom patients", patients) as task:
        write_phantom(folder, patients=patients, seed=seed, progress=lambda *_: task.advance())
    say(f"Wrote {patients} phantom patients to {folder}.")


def _show(report: CheckReport) -> None:
    from cli.console import say, table

    kind = "PHANTOM (synthetic)" if report.phantom else "images"
    say(f"{report.folder}: {report.layout} layout, {kind}")
    groups = ", ".join(f"{name} {count}" for name, count in report.groups.items())
    say(f"{report.patients} patients ({groups}), {report.volumes} volumes, {report.masks} masks")
    spreads = {**report.geometry, **({"intensity_max": report.intensity_max} if report.intensity_max else {})}
    table("Geometry", ["", "min", "median", "mean", "max"], [[n, *_cells(s)] for n, s in spreads.items()])
    rows = [[f"{s} {phase}", *_cells(v)] for phase, vs in report.millilitres.items() for s, v in vs.items()]
    if rows:
        table("Label volumes (ml)", ["", "min", "median", "mean", "max"], rows)
    for patients in report.duplicates:
        say(f"duplicates: {', '.join(patients)} share an identical image; a split keeps them on one side")
    for name, loss in report.outside_crop.items():
        if loss.volumes:
            worst = f"{loss.worst_fraction:.1%} of it in {loss.worst_volume}"
            say(f"the window of {report.crop_mm:g} mm cuts {name} in {loss.volumes} volume(s), at most {worst}")
    for note in report.notes:
        say(f"note: {note}")
    for problem in report.problems:
        say(f"problem: {problem.message}")
    if not report.problems:
        say("no problems")


def _cells(spread: Spread) -> list[str]:
    return [f"{v:.2f}" for v in (spread.min, spread.median, spread.mean, spread.max)]
