"""`cardiocompress train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import ConfigOption, RestartOption, ResumeOption, SetOption

FromOption = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="CHECKPOINT",
        help="Begin from these weights of this program: the same features; another label set gets a new head.",
    ),
]
ExtendOption = Annotated[
    int | None,
    typer.Option("--extend", metavar="N", min=1, help="Train a finished run on: one more cycle of N epochs."),
]
RateOption = Annotated[
    float | None,
    typer.Option(
        "--rate", min=1e-9, help="The highest learning rate of the added cycle. Without it: the configuration's."
    ),
]


def train(
    config: ConfigOption = None,
    overrides: SetOption = None,
    resume: ResumeOption = False,
    restart: RestartOption = False,
    start: FromOption = None,
    extend: ExtendOption = None,
    rate: RateOption = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on without faulty volumes, and list them (train.skip_bad).")
    ] = False,
) -> None:
    """Train the dense U-Net on the training patients and score it on the validation patients.

    Writes checkpoints (initial, early, periodic, best, final), curves, metrics.jsonl and a report. With --extend the
    run goes on from its final weights, with other draws of the augmentation; its epochs add up.
    """
    from cli.console import say
    from cli.options import open_workspace, policy_of
    from cli.pages import show_pages
    from cli.scores import show_scores
    from compress.errors import ConfigError

    if extend is not None and (resume or restart):
        raise ConfigError("--extend adds a cycle to a finished run.", cure="Leave out --resume and --restart.")
    if rate is not None and extend is None:
        raise ConfigError("--rate is the rate of a cycle that --extend adds.", cure="Give --extend as well.")
    ws = open_workspace(
        config,
        overrides,
        train__start__checkpoint=None if start is None else str(start),
        train__skip_bad=True if skip_bad else None,
    )
    from compress.config import Cycle
    from compress.steps.training.dense import train_dense

    added = None if extend is None else Cycle(epochs=extend, learning_rate=rate)
    report = train_dense(ws, policy=policy_of(resume, restart), extend=added)
    show_scores(report, "dense", phantom=ws.training.phantom)
    say(f"Network: {ws.run.baseline.final}")
    show_pages(ws)
