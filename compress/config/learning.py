"""Sections of the configuration that say what is learnt, from what and how: experiment, data, train, evaluation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from compress.config.words import Batch, Channels, Fraction, Name, Pixels, Positive, PositiveInt, Ratio, Section, Seed


class Experiment(Section):
    experiment_name: Name = "cardiac"
    """results go to <save_root>/<experiment_name>"""
    model_name: str = "UNet"
    """free text, shown on the run's page"""
    seed: Seed = 42
    deterministic: bool = True
    """the same bits every time, as far as the device can"""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$")] = "auto"
    """auto | cpu | cuda | cuda:1 (cuda fails when it is not there)"""


class Phantom(Section):
    patients: Annotated[int, Field(ge=4, le=999)] = 20
    seed: Annotated[int, Field(ge=0)] = 0


class Data(Section):
    spacing_mm: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (1.5, 1.5)
    """in-plane target spacing (row, column)"""
    size: tuple[Pixels, Pixels] = (160, 160)
    """centred window in pixels; multiples of 2^(number of features)"""
    clip_percentiles: tuple[Annotated[float, Field(ge=0, lt=50)], Annotated[float, Field(gt=50, le=100)]] = (0.5, 99.5)
    """per volume, before the z-score"""
    structures: Annotated[list[str], Field(min_length=1)] | None = None
    """what is learnt and scored; null: those of RV, MYO, LV, LA and RA that the masks tell"""
    recursive: bool = False
    """also data sets in folders further down, their patients called by the folders that lead to them"""
    cache_dir: str | None = None
    """prepared volumes; null: <save_root>/cache"""
    phantom: Phantom = Phantom()
    """used only while train_dir is null"""


class Network(Section):
    in_channels: Annotated[int, Field(ge=1, le=64)] | None = None
    """null: the channels of the data's images; a number is checked against them"""
    out_channels: Annotated[int, Field(ge=2, le=256)] | None = None
    """null: background and the structures that the masks tell; a number is checked against them"""
    features: Annotated[list[Channels], Field(min_length=1, max_length=7)] = [16, 32, 64, 128, 128]
    """[64, 128, 256, 512, 512] is the 43.9M-parameter network"""
    factory: str | None = None
    """module:function of an imported network; it runs where you have typed it once (import-torch, --set)"""


class Parameters(Section):
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    num_epochs: PositiveInt = 30
    save_interval: PositiveInt = 10
    """keep a checkpoint every so many epochs"""
    loss_function: Literal["ce", "dice", "ce_dice"] = "ce_dice"
    """ce | dice | ce_dice"""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    schedule: Literal["one_cycle", "constant"] = "one_cycle"
    """one_cycle | constant"""
    average: Ratio = 0.0
    """0.99: the result is a moving average of the weights over about 100 steps, 0.999: 1000; 0: the last weights"""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """auto: bfloat16 (AMP) where the device is fast at it | bf16 | fp32"""
    augmentation: Literal["none", "light", "strong"] = "strong"
    """none | light | strong"""
    rewind_epoch: PositiveInt = 1
    """weights kept after this epoch are what `rewind` returns to"""
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    """data-loading processes"""
    loggers: list[Literal["tensorboard", "wandb"]] = []
    """tensorboard, wandb (it is sent the configuration without its paths, and each epoch's numbers)"""


class TrainPaths(Section):
    train_dir: str | None = None
    """an ACDC or nnU-Net raw folder; null: the embedded PHANTOM"""
    label_dir: str | None = None
    """only where masks lie apart from the images"""
    save_root: str = "artifacts"


class Cycle(Section):
    epochs: PositiveInt
    learning_rate: Positive | None = None
    """null: parameters.learning_rate"""


class Start(Section):
    checkpoint: str | None = None
    """weights of this program with the same features to begin from; null: random ones"""
    epochs: Annotated[int, Field(ge=0)] | None = None
    """how many it has been trained for; null: as its file says"""


class Train(Section):
    phase: Literal["training"] = "training"
    val_ratio: Fraction = 0.2
    """share of PATIENTS kept for validation, stratified by disease group"""
    folds: Annotated[int, Field(ge=2, le=1000)] | None = None
    """k: the patients are dealt into k parts, and val_ratio does not count"""
    fold: Annotated[int, Field(ge=0)] = 0
    """which part validates, from 0; a run for each lets `gate --folds` judge on all patients"""
    skip_bad: bool = False
    """go on without volumes that cannot be read or have an impossible mask, and list them"""
    batch_size: Batch = 16
    num_slices_per_volume: PositiveInt | None = None
    """null: all; N: evenly spread ones"""
    model: Network = Network()
    parameters: Parameters = Parameters()
    start: Start = Start()
    cycles: list[Cycle] = []
    """further rounds of the schedule after num_epochs, as `train --extend` adds them"""
    paths: TrainPaths = TrainPaths()


class EvalPaths(Section):
    eval_dir: str | None = None
    """null: the validation patients"""
    label_dir: str | None = None
    save_root: str | None = None
    """null: train.paths.save_root"""


class Evaluation(Section):
    phase: Literal["baseline_evaluation", "pruned_evaluation"] = "baseline_evaluation"
    """what `eval` scores: baseline_evaluation | pruned_evaluation"""
    batch_size: Batch = 8
    num_slices_per_volume: PositiveInt | None = None
    num_visuals: Annotated[int, Field(ge=0)] = 3
    """overlays each of the best, median and worst slices"""
    recentre: Annotated[int, Field(ge=0, le=9)] = 2
    """how often the window may be moved onto a heart that it cuts; exported files say it too"""
    bn_recalibration: bool = True
    """measure BatchNorm statistics again after pruning"""
    paths: EvalPaths = EvalPaths()
