"""Train the dense network."""

from __future__ import annotations

from compress.errors import ConfigError
from compress.evaluate.summary import EvaluationReport
from compress.models.checkpoint import Checkpoint, Meta, load, read_meta
from compress.models.unet import UNet, dense_widths, initialise
from compress.steps.scoring.checkpoint import evaluate_checkpoint
from compress.steps.training.network import train_stage
from compress.steps.training.request import Policy, Training
from compress.steps.workspace import Workspace


def train_dense(ws: Workspace, *, policy: Policy) -> EvaluationReport:
    """Train the network that `train.model` describes, and score it on the validation patients."""
    ws.describe()
    widths = dense_widths(ws.config.train.model.features)
    start = Checkpoint(*new_network(ws, widths, seed=ws.config.experiment.seed))
    epochs = ws.config.train.parameters.num_epochs
    final = train_stage(ws, Training(ws.run.baseline, start, epochs, "Training dense", policy))
    return evaluate_checkpoint(ws, final, ws.run.baseline.evaluation, name="dense")


def new_network(ws: Workspace, widths: dict[str, list[int]], *, seed: int) -> tuple[UNet, Meta]:
    """A freshly initialised network of these widths and its description."""
    model = ws.config.train.model
    arguments = {"in_channels": model.in_channels, "out_channels": model.out_channels, "widths": widths}
    network = UNet(**arguments)
    initialise(network, seed=seed)
    meta = Meta(
        architecture="unet",
        arguments=arguments,
        labels=ws.labels,
        preprocessing=ws.rules.to_json(),
        stage="dense",
        phantom=ws.training.phantom,
        data_digest=ws.training.digest,
    )
    return network, meta


def dense_checkpoint(ws: Workspace) -> Checkpoint:
    """The trained dense network. Raises `CheckpointError` when `train` has not finished yet."""
    return load(ws.run.baseline.final)


def check_shape(ws: Workspace) -> None:
    """Raise `ConfigError` when the configuration's features are not the trained network's."""
    stored = read_meta(ws.run.baseline.final).arguments["widths"]
    wanted = dense_widths(ws.config.train.model.features)
    if stored != wanted:
        raise ConfigError(
            f"train.model.features is {ws.config.train.model.features}, but {ws.run.baseline.final} "
            f"has encoder widths {[w[1] for b, w in stored.items() if b.startswith('encoders')]}.",
            cure="Set the features that it was trained with, or another experiment_name.",
        )
