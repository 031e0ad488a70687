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
    from cli.options import open_workspace, policy_of
    from compress.steps.training import train_dense

    ws = open_workspace(config, overrides)
    train_dense(ws, policy=policy_of(resume, restart))
