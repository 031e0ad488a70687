"""`cardiocompress train`."""

from __future__ import annotations

from cli.options import ConfigOption, RestartOption, ResumeOption, SetOption


def train(
    config: ConfigOption = None,
    overrides: SetOption = None,
    resume: ResumeOption = False,
    restart: RestartOption = False,
) -> None:
    """Train the dense U-Net on the training patients."""
    from cli.options import mode_of, open_workspace
    from compress.steps.training import train_dense

    ws = open_workspace(config, overrides)
    train_dense(ws, mode=mode_of(resume, restart))  # pyright: ignore
