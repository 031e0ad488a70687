"""Put an imported network where the run's dense network belongs."""

from __future__ import annotations

from compress.errors import ConfigError
from compress.files import write_json
from compress.models.checkpoint import Checkpoint, Meta, save
from compress.steps.environment import describe_environment
from compress.steps.workspace import Workspace


def bring(ws: Workspace, checkpoint: Checkpoint, *, replace_earlier: bool = False) -> Meta:
    """Write the checkpoint as the run's dense network; returns its description with the digest.

    Raises `ConfigError` when the run already has a network, unless an imported one may be replaced.
    """
    stage = ws.run.baseline
    if stage.final.is_file() and not (replace_earlier and ws.brought is not None):
        cure = "Choose another name: --set experiment.experiment_name=..."
        raise ConfigError(
            f"{stage.root} holds a network already.",
            cure=cure if ws.brought is None else f"{cure}, or --restart to replace it and all that was made of it.",
        )
    if replace_earlier:
        for outdated in (*stage.onnx_files(), stage.parity, stage.small_pieces):
            outdated.unlink(missing_ok=True)
    meta = save(stage.final, checkpoint.network, checkpoint.meta)
    ws.record_config("experiment", "data", "train", "evaluation")
    write_json(ws.run.environment, describe_environment())
    return meta
