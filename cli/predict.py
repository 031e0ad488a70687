"""`cardiocompress predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.model_options import ModelArgument, ProviderOption, RecursiveOption, ThreadsOption

if TYPE_CHECKING:
    from compress.inference.predict import PredictReport


def predict(
    model: ModelArgument,
    source: Annotated[
        Path,
        typer.Argument(help="An image (.nii.gz, 3D or 4D cine), a DICOM folder, or a folder of images or patients."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the results; for one image also the mask's own name.")
    ],
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", min=1, help="Slices at a time. By default 1 on cpu, 16 on cuda."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Segment images that look unlike those of the training.")
    ] = False,
    tta: Annotated[
        bool | None,
        typer.Option("--tta/--no-tta", help="nnU-Net's: the mean over mirrored images. Without it: as the file says."),
    ] = None,
    overlays: Annotated[bool, typer.Option("--overlays", help="Also draw a PNG of each study's contours.")] = False,
    dicom_seg: Annotated[
        bool, typer.Option("--dicom-seg", help="Also write ED and ES of DICOM images as DICOM Segmentations.")
    ] = False,
    check_orientation: Annotated[
        bool,
        typer.Option("--check-orientation", help="Segment a second storage order, too; flag where masks differ."),
    ] = False,
    recursive: RecursiveOption = False,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Processes that share the studies, and the cores among them.")
    ] = 1,
    engine: Annotated[
        str,
        typer.Option("--engine", help="local: this machine. ray: the cluster that RAY_ADDRESS names ([scale])."),
    ] = "local",
    metrics: Annotated[
        Path | None,
        typer.Option("--metrics", metavar="FILE", help="Counts and durations in Prometheus's text form ([service])."),
    ] = None,
    log_json: Annotated[
        bool, typer.Option("--log-json", help="One JSON line per study on standard output, without names or paths.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Keep the studies that an earlier run finished.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Replace all earlier results.")] = False,
) -> None:
    """Segment images with an exported model: masks on the images' own grid, and a JSON report per study.

    The report holds volumes, ejection fractions and mass when ED and ES are known, plausibility flags and a trace
    of what was run. A folder also gets summary.csv. Exit code 2 when any study could not be segmented.
    """
    from cli.console import RichProgress, print_line, show_notes
    from cli.model_options import earlier_of
    from compress.errors import DataError
    from compress.inference.predict import PredictRequest
    from compress.inference.predict import predict as segment
    from compress.inference.watch import JsonLog, MetricsFile
    from compress.progress import Progress

    earlier = earlier_of(resume, restart)
    request = PredictRequest(
        *(model, source, out, provider, threads, batch_size, force, overlays, earlier, dicom_seg),
        jobs=jobs,
        engine=engine,
        tta=tta,
        check_orientation=check_orientation,
        recursive=recursive,
    )
    log = JsonLog(print_line) if log_json else None
    watching = [*([log] if log else []), *([MetricsFile(metrics)] if metrics else [])]
    report = segment(request, Progress() if log else RichProgress(), [each.study for each in watching])
    for each in watching:
        each.end(kept=report.kept, refused=report.unread)
    if log:
        return _raise_log(report)
    show_notes(report.notes)
    if len(report.problems) == 1 and not report.studies:
        raise DataError(report.problems[0].message)
    show_predictions(report)
    if report.problems:
        total = len(report.problems) + len(report.studies)
        raise DataError(f"{len(report.problems)} of {total} could not be segmented.", cure="They are listed above.")


def _raise_log(report: PredictReport) -> None:
    """The exit code of a run whose output must name nobody."""
    from compress.errors import DataError

    if report.problems:
        raise DataError(
            f"{len(report.problems)} of {len(report.problems) + len(report.studies)} could not be segmented.",
            cure="summary.csv says why; for a single image, leave out --log-json.",
        )


def show_predictions(report: PredictReport) -> None:
    """The values and warnings of a single study, a count of many, and where the results are."""
    from cli.console import say, warn
    from compress.inference.study_table import concerns_of, flags_of

    doubts = {s["study"]: [*(f"forced although {c}" for c in concerns_of(s)), *flags_of(s)] for s in report.studies}
    if len(report.studies) == 1:
        _show_study(report.studies[0])
        for line in doubts[report.studies[0]["study"]]:
            warn(line)
    elif count := sum(map(bool, doubts.values())):
        warn(f"{count} of {len(doubts)} studies carry flags: see summary.csv before trusting their numbers.")
    for problem in report.problems:
        warn(problem.message)
    if report.studies:
        kept = f", {report.kept} of them by an earlier run" if report.kept else ""
        mark = _mark(report.studies)
        many = len(report.studies) > 1
        where = report.out if many else ", ".join(str(report.out / i["mask"]) for i in report.studies[0]["images"])
        say(f"{len(report.studies)} {'studies' if many else 'study'}{mark} segmented{kept}: {where}")


def _mark(studies: list[dict[str, Any]]) -> str:
    """What is synthetic of them: the images, or only those that the model was trained on."""
    if any(study["phantom"]["images"] for study in studies):
        return " (phantom)"
    return " (phantom-trained model)" if any(study["phantom"]["model"] for study in studies) else ""


def _show_study(study: dict[str, Any]) -> None:
    from cli.console import say, table
    from compress.inference.study_table import phases_of

    told = study["clinical"]
    rows = [[name, "-" if v["value"] is None else f"{v['value']:.1f}", v["unit"]] for name, v in told.items()]
    for image in study["images"] if not rows else ():
        rows += [[f"{name} volume", f"{ml[0]:.1f}", "ml"] for name, ml in image["volumes_ml"].items()]
    table(f"{study['study']}{_mark([study])}", ["quantity", "value", "unit"], rows)
    for name, image in phases_of(study).items():
        say(f"{name}: {image}")
