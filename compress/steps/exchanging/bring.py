"""Put an imported network where the run's dense network belongs."""

from __future__ import annotations

from dataclasses import asdict, replace

from compress.errors import ConfigError
from compress.files import digest_json, write_json
from compress.models.checkpoint import Checkpoint, Meta, save, weights_digest
from compress.rundir import ScoreFiles
from compress.steps.environment import describe_environment
from compress.steps.workspace import Workspace


def bring(ws: Workspace, checkpoint: Checkpoint, *, replace_earlier: bool = False) -> Meta:
    """Write the checkpoint as the run's dense network; returns its description with the digest.

    The network comes last, so that a run that has one has all of it; the very network that is there already stays.
    Raises `ConfigError` when the run already has a network, unless an imported one may be replaced.
    """
    stage = ws.run.baseline
    if not replace_earlier and ws.brought is not None and _is_there(ws.brought, checkpoint):
        ws.progress.note(f"{stage.root} holds this network already.")
        return ws.brought
    if stage.final.is_file() and not (replace_earlier and ws.brought is not None):
        cure = "Choose another name: --set experiment.experiment_name=..."
        raise ConfigError(
            f"{stage.root} holds a network already.",
            cure=cure if ws.brought is None else f"{cure}, or --restart to replace it and all that was made of it.",
        )
    if replace_earlier:
        for outdated in (*stage.onnx_files(), stage.parity, ScoreFiles(stage.evaluation).tried):
            outdated.unlink(missing_ok=True)
    ws.record_config("experiment", "data", "train", "evaluation")
    write_json(ws.run.environment, describe_environment())
    return save(stage.final, checkpoint.network, checkpoint.meta)


def _is_there(brought: Meta, checkpoint: Checkpoint) -> bool:
    found = replace(checkpoint.meta, digest=weights_digest(checkpoint.network, checkpoint.meta))
    return digest_json(asdict(found)) == digest_json(asdict(brought))
