"""`cardiocompress train`."""

from __future__ import annotations

from cli.options import ConfigOption, RestartOption, ResumeOption, SetOption


def train(
    config: ConfigOption = None,
    overrides: SetOption = None,
    resume: ResumeOption = False,
    restart: RestartOption = False,
) -> None:
    """Train the dense U-Net on the training patients and score it on the validation patients.

    Writes checkpoints (initial, early, periodic, best, final), curves, metrics.jsonl and a report.
    """
    from cli.console import say
    from cli.options import open_workspace, policy_of
    from cli.pages import show_pages
    from cli.scores import show_scores

    ws = open_workspace(config, overrides)
    from compress.steps.training.dense import train_dense

    report = train_dense(ws, policy=policy_of(resume, restart))
    show_scores(report, "dense", phantom=ws.training.phantom)
    say(f"Network: {ws.run.baseline.final}")
    show_pages(ws)
