"""The configuration: its shape, its defaults and what each value may be.

The key names are the thesis's, so that its file loads as it stands. `compress.config.read` reads files
and `--set`, and turns faults into one message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticKnownError

from compress.choices import calibration_words, criterion_words

PositiveInt = Annotated[int, Field(gt=0)]
Ratio = Annotated[float, Field(ge=0.0, lt=1.0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Init = Literal["keep", "random", "rewind"]
"""What the kept channels restart from: their trained weights, random ones, or those of early in training."""
INITS: tuple[Init, ...] = get_args(Init)
Scope = Literal["local", "global"]
Schedule = Literal["lr-rewind", "finetune"]
Align = Literal["auto", "none"] | int


def init_word(value: object) -> object:
    """`value`, or keep for the two other ways to say it: `none`, as up to version 0.4, and the thesis's null."""
    return "keep" if value is None or value == "none" else value


def _word(value: object, words: Mapping[str, str]) -> str:
    """The name that a word stands for; as pydantic says of a `Literal` where there is none."""
    if isinstance(value, str) and value in words:
        return words[value]
    *most, last = [f"'{name}'" for name in dict.fromkeys(words.values())]
    raise PydanticKnownError("literal_error", {"expected": f"{', '.join(most)} or {last}"})


Method = Annotated[str, BeforeValidator(lambda value: _word(value, criterion_words()))]
"""A name in `compress.choices.CRITERIA`."""
Calibration = Annotated[str, BeforeValidator(lambda value: _word(value, calibration_words()))]
"""A name in `compress.choices.CALIBRATION_METHODS`, or auto."""


def check_align(value: object) -> Align:
    """`value` as an alignment; null means none. Raises `ValueError` for anything else than the three kinds."""
    if value is None:
        return "none"
    if isinstance(value, str) and value in ("auto", "none"):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise ValueError(f"ratios.align is {value!r}; auto, none or a positive whole number is needed")


class Section(BaseModel):
    """Unknown keys are errors; values are fixed once read.

    The text below a key is its comment in the file that `init` writes; `templates` knows the lists for words in braces.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False, use_attribute_docstrings=True
    )


class Experiment(Section):
    experiment_name: Name = "cardiac"
    """results go to <save_root>/<experiment_name>"""
    model_name: str = "UNet"
    """free text, shown on the run's page"""
    seed: Seed = 42
    deterministic: bool = True
    """the same bits every time, as far as the device can"""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """auto | cpu | cuda | cuda:1 (cuda fails when it is not there)"""


class Phantom(Section):
    patients: Annotated[int, Field(ge=4, le=999)] = 20
    seed: Annotated[int, Field(ge=0)] = 0


class Data(Section):
    spacing_mm: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (1.5, 1.5)
    """in-plane target spacing (row, column)"""
    size: tuple[PositiveInt, PositiveInt] = (160, 160)
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
    in_channels: Literal[1] = 1
    out_channels: Annotated[int, Field(ge=2, le=256)] | None = None
    """null: background and the structures that the masks tell; a number is checked against them"""
    features: Annotated[list[PositiveInt], Field(min_length=1, max_length=7)] = [16, 32, 64, 128, 128]
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
    workers: Annotated[int, Field(ge=0)] = 0
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
    folds: Annotated[int, Field(ge=2)] | None = None
    """k: the patients are dealt into k parts, and val_ratio does not count"""
    fold: Annotated[int, Field(ge=0)] = 0
    """which part validates, from 0; a run for each lets `gate --folds` judge on all patients"""
    skip_bad: bool = False
    """go on without volumes that cannot be read or have an impossible mask, and list them"""
    batch_size: PositiveInt = 16
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
    batch_size: PositiveInt = 8
    num_slices_per_volume: PositiveInt | None = None
    num_visuals: Annotated[int, Field(ge=0)] = 3
    """overlays each of the best, median and worst slices"""
    recentre: Annotated[int, Field(ge=0, le=9)] = 2
    """how often the window may be moved onto a heart that it cuts; exported files say it too"""
    bn_recalibration: bool = True
    """measure BatchNorm statistics again after pruning"""
    paths: EvalPaths = EvalPaths()


class CkptPath(Section):
    subfolder: Name = "baseline"
    ckpt_name: Name = "final_model.safetensors"


class SavePath(Section):
    subfolder: Name = "pruned"
    filename: Name = "pruned_model.safetensors"


class Ratios(Section):
    """The fraction of each block's filters that is REMOVED."""

    default: Ratio = 0.5
    """the fraction of filters that is REMOVED from blocks that are not listed"""
    block_ratios: dict[str, Ratio] = {}
    """a block (encoders.0) or a convolution inside it (encoders.0.conv1)"""
    align: Annotated[Align, BeforeValidator(check_align)] = "auto"
    """widths as multiples: auto (what bench.provider computes fastest) | none | 8 | 16"""
    single: tuple[str, ...] = ()
    """double convolutions that become single ones, such as decoders.9"""
    space_to_depth: bool = False
    """the level of full resolution goes: squares of 2x2 pixels become channels, and pixels again at the end"""
    precision: Literal["float32", "int8"] = "float32"
    """the arithmetic that `plan` chose the widths for; `quantize --ratios` takes int8 up"""
    float_layers: tuple[str, ...] = ()
    """precision int8: layers that are faster in float32, by the times that `plan` measured"""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.float_layers and self.precision != "int8":
            raise ValueError("float_layers are those that INT8 leaves in float32: precision must be int8")
        return self

    @property
    def depth(self) -> bool:
        """Whether a part of the network goes as a whole."""
        return bool(self.single) or self.space_to_depth


class Pruning(Section):
    """What pruning one network takes; `prune` and `sweep` ask for more networks by changing it."""

    name: Name | None = None
    """folder of the network; null: the word of reinitialize_weights"""
    method: Method = "l1"
    """{criteria}"""
    scope: Scope = "local"
    """local: each block loses its ratio | global: the least important channels of all"""
    floor: Ratio = 0.1
    """global: the share of its channels that every convolution keeps"""
    reinitialize_weights: Annotated[Init, BeforeValidator(init_word)] = "keep"
    """keep (trained weights stay) | random | rewind"""
    rewind_to: Literal["early", "initial"] = "early"
    """early (after rewind_epoch) | initial"""
    finetune_epochs: Annotated[int, Field(ge=0)] | Literal["auto"] | None = None
    """null: as many as num_epochs; auto: what the dense training cost pays for, at most 100; 0: no retraining"""
    schedule: Schedule = "lr-rewind"
    """lr-rewind: the full learning-rate schedule again | finetune: a constant tenth of it"""
    distill: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """share of the retraining loss that the dense network teaches, 0 (off) to 1"""
    distill_temperature: Annotated[float, Field(gt=0.0)] = 2.0
    """how soft its answers are made"""
    distill_unlabelled: str | None = None
    """a folder of images or cines without masks: the dense network answers for them; not for validation patients"""
    distill_frames: PositiveInt = 4
    """of each such cine, evenly spread"""
    average: Ratio | None = None
    """of the weights while retraining, as train.parameters.average; null: that"""
    rounds: PositiveInt = 1
    """N: prune in N steps; finetune_epochs are divided over them"""
    compensate: bool = False
    """kept weights: fit each convolution again to the dense network's outputs"""
    keep_nnunet_compatible: bool = False
    """one width per stage, so that a network of nnU-Net's can go back there (export-nnunet)"""
    seed: Seed | None = None
    """of random weights and of retraining; null: experiment.seed"""
    ckpt_path: CkptPath = CkptPath()
    save_path: SavePath = SavePath()
    ratios: Ratios = Ratios()
    """used by `prune` without --ratios"""

    @property
    def folder(self) -> str:
        """The network's folder below save_path.subfolder."""
        return self.name or self.reinitialize_weights

    @property
    def compensates(self) -> bool:
        """True when weights are fitted: compensation is wanted, and there are kept weights."""
        return self.compensate and self.reinitialize_weights == "keep"

    def but(self, **changed: Any) -> Pruning:
        """The same with other values, checked."""
        return type(self).model_validate({**self.model_dump(), **changed})


Share = Annotated[float, Field(gt=0.0, le=1.0)]


RECOVERY = ("compensate=true", "distill=0.5", "average=0.99", "finetune_epochs=auto")
"""Keys of `Pruning` as `prune --recover` sets them; benchmarks/HEADLINE.md shows what they give."""


class Export(Section):
    postprocess: Literal["none", "auto", "small-pieces", "largest"] | dict[Name, Share] = "none"
    """none | small-pieces (below half of the largest piece: dropped) | auto (where that helps) | largest | LV: 0.5"""
    tta: bool | None = None
    """masks as means over mirror images; null: as nnU-Net does, for a network that was imported from it"""
    licence: Annotated[str, Field(max_length=500)] = "not stated"
    """of the weights; those trained on ACDC inherit CC BY-NC-SA 4.0"""
    intended_use: Annotated[str, Field(max_length=2000)] = (
        "Research use only; not a medical device. Segments RV, myocardium and LV in short-axis cine cardiac MRI; "
        "every result needs the eyes of a qualified reader."
    )


class Bench(Section):
    provider: str = "cpu"
    """{providers}"""
    threads: PositiveInt | None = None
    """null: every core that the process may use"""
    rounds: PositiveInt = 100
    """interleaved rounds, baseline and candidates in turn"""
    warmup: PositiveInt = 10
    batch_size: PositiveInt = 1
    dice: bool = True
    """measure Dice through the session as well"""


class Quantization(Section):
    kind: Literal["int8", "fp16"] = "int8"
    """int8 (processors) | fp16 (NVIDIA GPUs)"""
    provider: str | None = None
    """where it must be faster; null: cpu for int8, cuda for fp16"""
    keep: bool = False
    """write the file even where it is not faster"""
    method: Calibration = "auto"
    """how ranges are found: {calibrations}; auto: best Dice of all"""
    weights: Literal["auto", 7, 8] = 7
    """bits of INT8 weights: 7 (right everywhere) | 8 (nearer to float32; needs VNNI) | auto: 8 where VNNI is"""
    slices: Annotated[int, Field(ge=4)] = 64
    """training slices that the ranges are measured on"""
    budget: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.003
    """largest loss of mean 3D Dice; layers stay in float until it holds"""
    float_layers: tuple[str, ...] | None = None
    """INT8: layers left in float32 for the sake of time, as `plan --precision int8` chose them; null: measured here"""


class GateMargins(Section):
    """By how much the mean may be worse: of Dice (lower), of distances and of absolute errors (higher)."""

    dice: Positive = 0.01
    """each structure"""
    hd95_mm: Positive = 1.0
    """each structure"""
    volume_ml: Positive = 5.0
    """absolute error of LV and RV at ED and ES"""
    ef_points: Positive = 2.0
    """absolute error of the ejection fractions"""
    mass_g: Positive = 5.0
    """absolute error of the myocardial mass"""


class GateLimits(Section):
    """By how much one structure, group or patient may be worse."""

    structure_dice: Positive = 0.02
    """one structure at one phase"""
    group_dice: Positive = 0.03
    """one disease group"""
    patient_dice: Positive = 0.1
    """one structure of one patient"""
    patient_volume_ml: Positive = 25.0
    """one patient's absolute error; the same below"""
    patient_ef_points: Positive = 10.0
    patient_mass_g: Positive = 25.0
    lost_structures: Annotated[int, Field(ge=0)] = 0
    """structures of which no voxel is found any more"""


class Gate(Section):
    margins: GateMargins = GateMargins()
    """by how much the mean over patients may be worse, shown with an interval"""
    limits: GateLimits = GateLimits()
    """by how much a part may be worse, as measured"""
    confidence: Annotated[float, Field(ge=0.8, le=0.999)] = 0.95
    """of the two-sided interval; its bad end decides (2.5%)"""
    resamples: Annotated[int, Field(ge=1000, le=100_000)] = 10_000
    seed: Seed = 0
    min_patients: Annotated[int, Field(ge=6)] = 10
    """fewer are refused; never below 6"""


class RatioSet(Section):
    name: Name
    ratios: Ratios


class Sweep(Section):
    inits: Annotated[list[Annotated[Init, BeforeValidator(init_word)]], Field(min_length=1)] = list(INITS)
    ratio_sets: list[RatioSet] = []
    seeds: Annotated[list[Seed], Field(min_length=1)] = [42]


class Config(Section):
    """Everything that one experiment can be told."""

    experiment: Experiment = Experiment()
    data: Data = Data()
    train: Train = Train()
    evaluation: Evaluation = Evaluation()
    pruning: Pruning = Pruning()
    export: Export = Export()
    """what exported files say of themselves"""
    bench: Bench = Bench()
    quantization: Quantization = Quantization()
    """what `quantize` may do to an exported file"""
    gate: Gate = Gate()
    """what a candidate may lose against its baseline; benchmarks/GATE.md says why"""
    sweep: Sweep = Sweep()
    """`sweep` trains every combination; `run` uses inits"""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = []
        divisor = 2 ** len(self.train.model.features)
        if any(n % divisor for n in self.data.size):
            faults.append(
                f"data.size {list(self.data.size)} must be multiples of {divisor}: "
                f"{len(self.train.model.features)} encoders halve it {len(self.train.model.features)} times"
            )
        if self.train.fold >= (self.train.folds or 1):
            faults.append(f"train.fold {self.train.fold} is none of the {self.train.folds or 1} parts, counted from 0")
        if self.train.parameters.rewind_epoch > self.train.parameters.num_epochs:
            faults.append(
                f"train.parameters.rewind_epoch {self.train.parameters.rewind_epoch} lies beyond "
                f"num_epochs {self.train.parameters.num_epochs}"
            )
        names = [s.name for s in self.sweep.ratio_sets]
        if len(set(names)) != len(names):
            faults.append(f"sweep.ratio_sets has a name twice: {names}")
        if faults:
            raise ValueError(*faults)
        return self

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, every default filled in."""
        return self.model_dump(mode="json")

    def without_paths(self) -> dict[str, Any]:
        """The same without the keys that name folders and files: they can name a user, a study or a patient."""
        return _without(self.to_json(), PATH_KEYS)


PATH_KEYS = ("train_dir", "label_dir", "eval_dir", "save_root", "cache_dir", "checkpoint", "distill_unlabelled")
"""The keys of a configuration that hold paths."""


def _without(value: Any, keys: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _without(found, keys) for key, found in value.items() if key not in keys}
    return value


def block_names(levels: int) -> list[str]:
    """Every block of a U-Net with `levels` encoders, from input to output."""
    encoders = [f"encoders.{i}" for i in range(levels)]
    return [*encoders, "bottleneck", *(f"decoders.{i}" for i in range(2 * levels))]


def double_blocks(levels: int) -> list[str]:
    """Those of them that are double convolutions."""
    return [n for n in block_names(levels) if not n.startswith("decoders.") or int(n.split(".")[1]) % 2]


def ratio_names(levels: int) -> list[str]:
    """Every name that `block_ratios` may hold: the blocks, and the convolutions inside the double ones."""
    doubles = double_blocks(levels)
    return [*block_names(levels), *(f"{name}.conv{index}" for name in doubles for index in (1, 2))]


def top_level(levels: int) -> tuple[str, str, str]:
    """The blocks that compute at full resolution."""
    return "encoders.0", f"decoders.{2 * levels - 2}", f"decoders.{2 * levels - 1}"
