"""Configuration: the thesis's file, every fault at once, overrides and ratio files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from compress.config import Config, Phantom, Ratios, block_names, check_align, ratio_names
from compress.config.read import from_document, load_config, load_ratios, save_config
from compress.config.templates import config_text, demo_document, ratios_text
from compress.errors import ConfigError, PlanError
from compress.runtime.providers import PROVIDERS

THESIS = """
experiment:
  experiment_name: exp41
  model_name: UNet_ACDC
  seed: 42
  device: cuda
train:
  phase: training
  val_ratio: 0.2
  batch_size: 32
  num_slices_per_volume: null
  model:
    in_channels: 1
    out_channels: 4
    features:
    - 64
    - 128
    - 256
    - 512
    - 512
  parameters:
    learning_rate: 0.0009
    num_epochs: 100
    save_interval: 25
    loss_function: ce_dice
  paths:
    train_dir: /datasets/Dataset200_ACDC/imagesTr
    label_dir: /datasets/Dataset200_ACDC/labelsTr
    save_root: results
evaluation:
  phase: baseline_evaluation
  batch_size: 1
  num_slices_per_volume: null
  num_visuals: 3
  paths:
    eval_dir: /datasets/Dataset200_ACDC/imagesTs
    label_dir: /datasets/Dataset200_ACDC/labelsTs
    save_root: results
pruning:
  method: l1_norm
  reinitialize_weights: null # null, "random" or "rewind"
  ckpt_path:
    subfolder: baseline
    ckpt_name: final_model.pth
  save_path:
    subfolder: pruned
    filename: pruned_model.pth
  ratios:
    default: 0.25
    block_ratios:
      encoders.0: 0.0
      encoders.4: 0.01
      bottleneck: 0.0
      decoders.1: 0.0
      decoders.9: 0.0
"""


def faults_of(document: dict[str, Any], overrides: tuple[str, ...] = ()) -> str:
    with pytest.raises(ConfigError) as caught:
        from_document(document, overrides)
    return str(caught.value)


def test_the_thesis_file_loads_as_it_stands(tmp_path: Path):
    (tmp_path / "thesis.yaml").write_text(THESIS)
    config = load_config(tmp_path / "thesis.yaml")
    assert config.train.model.features == [64, 128, 256, 512, 512]
    assert config.train.parameters.learning_rate == 0.0009
    assert config.experiment.device == "cuda"
    assert config.pruning.reinitialize_weights == "keep", "the thesis says null"
    assert config.pruning.method == "l1", "the thesis says l1_norm"
    assert (config.pruning.schedule, config.pruning.distill, config.pruning.rounds) == ("lr-rewind", 0.0, 1)
    assert config.pruning.ratios.align == "auto"
    assert config.pruning.ratios.default == 0.25
    assert config.pruning.ratios.block_ratios["encoders.4"] == 0.01
    assert config.train.parameters.augmentation == "strong", "what the thesis does not name keeps its default"


def test_no_file_means_every_default():
    assert load_config(None) == Config() == from_document({})


def test_an_empty_file_means_every_default(tmp_path: Path):
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert load_config(tmp_path / "empty.yaml") == Config()


def test_every_fault_is_named_at_once():
    text = faults_of(
        {
            "experiment": {"sed": 1, "device": "gpu"},
            "train": {"batch_size": 0, "parameters": {"num_epochs": "many", "loss_function": "jaccard"}},
            "pruning": {"ratios": {"default": 1.0, "block_ratios": {"encoder.0": 0.5}}},
            "sweep": {"ratio_sets": [{"name": "half", "ratios": {"block_ratios": {"bottelneck": 0.5}}}]},
        }
    )
    assert "the defaults has 8 faults" in text
    for part in (
        "experiment.sed: unknown key. Did you mean 'seed'?",
        "experiment.device: ",
        "train.batch_size: input should be greater than 0, got 0.",
        "train.parameters.num_epochs: ",
        "'ce', 'dice' or 'ce_dice', got 'jaccard'",
        "pruning.ratios.default: input should be less than 1, got 1.0.",
        "pruning.ratios.block_ratios.encoder.0: unknown block. Did you mean 'encoders.0'?",
        "sweep.ratio_sets.0.ratios.block_ratios.bottelneck: unknown block. Did you mean 'bottleneck'?",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("document", "part"),
    [
        ({"trian": {}}, "trian: unknown key. Did you mean 'train'?"),
        ({"train": {"model": {"feature": [8]}}}, "train.model.feature: unknown key. Did you mean 'features'?"),
        ({"train": {"qqqq": 1}}, "Known: phase, val_ratio, folds"),
        (
            {"sweep": {"ratio_sets": [{"name": "x", "ratio": {}, "ratios": {}}]}},
            "0.ratio: unknown key. Did you mean 'ratios'?",
        ),
        ({"sweep": {"ratio_sets": [{"name": "x"}]}}, "sweep.ratio_sets.0.ratios: this key is required."),
        ({"pruning": {"ratios": {"block_ratios": {"decoders.10": 0.5}}}}, "decoders.10: unknown block."),
        ({"pruning": {"method": "l3"}}, "pruning.method: input should be 'l1', 'l2', 'bn-scale'"),
        ({"pruning": {"schedule": "rewind"}}, "pruning.schedule: input should be 'lr-rewind' or 'finetune'"),
        ({"pruning": {"distill": 1.5}}, "pruning.distill: input should be less than or equal to 1, got 1.5."),
        ({"train": {"fold": 1}}, "train.fold 1 is none of the 1 parts, counted from 0"),
        ({"train": {"folds": 3, "fold": 3}}, "train.fold 3 is none of the 3 parts"),
        ({"pruning": {"ratios": {"align": 0}}}, "ratios.align is 0; auto, none or a positive whole number is needed."),
        ({"pruning": {"ratios": {"align": "cuda"}}}, "ratios.align is 'cuda'; auto, none"),
        ({"sweep": {"inits": ["kept"]}}, "sweep.inits.0: input should be 'keep', 'random' or 'rewind', got 'kept'"),
    ],
)
def test_one_fault_says_where_what_and_why(document: dict[str, Any], part: str):
    text = faults_of(document)
    assert text.startswith("the defaults: "), text
    assert part in text
    assert "pydantic" not in text


LIMITS = (
    *(
        "experiment=UNet",
        "experiment.experiment_name=../up",
        "train.model.features=16",
        "train.model.features=[16, -1]",
    ),
    *("train.batch_size=2.5", "train.val_ratio=1.0", "train.parameters.learning_rate=.inf", "sweep.seeds=[1, -1]"),
    *("train.model.features=[16, -1]", "pruning.floor=1.0", "pruning.rounds=0", "pruning.distill_temperature=0"),
    *("pruning.ratios.default=.nan", "pruning.ratios.default=-0.1", "pruning.ratios.block_ratios=[0.5]"),
    *("gate.margins.dice=0", "gate.margins.dice=-1", "gate.margins.dice=.nan", "gate.min_patients=3"),
    *("gate.resamples=10", "quantization.budget=2", "pruning.ratios.block_ratios.bottleneck=1.0"),
)


@pytest.mark.parametrize("override", LIMITS)
def test_what_a_value_may_be(override: str):
    assert faults_of({}, (override,)).startswith(f"the defaults: {override.partition('=')[0]}")


@pytest.mark.parametrize("word", ["none", "null", "keep"])
def test_none_is_an_older_word_for_keep(tmp_path: Path, word: str):
    path = tmp_path / "earlier.yaml"
    path.write_text(f"pruning: {{reinitialize_weights: {word}}}\nsweep: {{inits: [{word}, random]}}\n")
    for config in (
        load_config(path),
        from_document({}, [f"pruning.reinitialize_weights={word}", f"sweep.inits=[{word}, random]"]),
    ):
        assert config.pruning.reinitialize_weights == "keep" and config.sweep.inits == ["keep", "random"]
    assert "none" not in (config.to_json()["pruning"]["reinitialize_weights"], *config.to_json()["sweep"]["inits"])


def test_block_names_follow_the_number_of_features():
    document = {"train": {"model": {"features": [8, 8]}}, "pruning": {"ratios": {"block_ratios": {"encoders.2": 0.5}}}}
    assert "encoders.2: unknown block" in faults_of(document)
    assert block_names(2) == [
        "encoders.0", "encoders.1", "bottleneck", "decoders.0", "decoders.1", "decoders.2", "decoders.3",
    ]  # fmt: skip


def test_ratios_may_name_the_convolutions_of_double_blocks():
    names = ratio_names(2)
    assert names[: len(block_names(2))] == block_names(2)
    inner = set(names) - set(block_names(2))
    blocks = ("encoders.0", "encoders.1", "bottleneck", "decoders.1", "decoders.3")
    assert inner == {f"{block}.{conv}" for block in blocks for conv in ("conv1", "conv2")}


@pytest.mark.parametrize(("value", "expected"), [("auto", "auto"), ("none", "none"), (None, "none"), (16, 16)])
def test_alignments(value: object, expected: object):
    assert check_align(value) == expected
    assert from_document({"pruning": {"ratios": {"align": value}}}).pruning.ratios.align == expected


@pytest.mark.parametrize("value", [True, 2.5, -8, "8", [8]])
def test_other_alignments_are_refused(value: object):
    with pytest.raises(ValueError, match="auto, none or a positive whole number"):
        check_align(value)


def test_values_that_do_not_fit_together_are_all_named():
    text = faults_of(
        {
            "data": {"size": [160, 100]},
            "train": {"parameters": {"num_epochs": 2, "rewind_epoch": 3}},
            "sweep": {"ratio_sets": [{"name": "a", "ratios": {}}, {"name": "a", "ratios": {}}]},
        }
    )
    assert "3 faults" in text
    assert "data.size [160, 100] must be multiples of 32: 5 encoders halve it 5 times." in text
    assert "rewind_epoch 3 lies beyond num_epochs 2." in text
    assert "name twice: ['a', 'a']." in text
    assert from_document({"data": {"size": [96, 32]}, "train": {"model": {"features": [4, 8]}}}).data.size == (96, 32)


def test_overrides_are_yaml_and_reach_every_depth():
    config = from_document(
        {"train": {"batch_size": 4}},
        [
            "train.batch_size=8",
            "train.model.features=[4, 8]",
            "train.parameters.learning_rate=1e-3",
            "data.cache_dir=/tmp/a=b",
            "pruning.reinitialize_weights=rewind",
            "pruning.ratios.block_ratios.encoders.1=0.3",
            "pruning.ratios.block_ratios.bottleneck=0.4",
            "train.paths.train_dir=null",
        ],
    )
    assert (config.train.batch_size, config.train.model.features) == (8, [4, 8])
    assert config.train.parameters.learning_rate == 0.001
    assert config.data.cache_dir == "/tmp/a=b"
    assert config.pruning.ratios.block_ratios == {"encoders.1": 0.3, "bottleneck": 0.4}
    whole = from_document({}, ["pruning.ratios.block_ratios={decoders.1: 0.25}"])
    assert whole.pruning.ratios.block_ratios == {"decoders.1": 0.25}


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("train.batch_size", "not of the form key.path=value"),
        ("=3", "not of the form key.path=value"),
        ("train.batch_size=[1", "not valid YAML"),
        ("train.batch_size.deep=1", "'batch_size' is a single value, not a section"),
        ("train.bach_size=1", "train.bach_size: unknown key. Did you mean 'batch_size'?"),
        ("pruning.ratios.block_ratios.encoders.7=0.1", "block_ratios.encoders.7: unknown block."),
    ],
)
def test_wrong_overrides_say_so(override: str, part: str):
    assert part in faults_of({"train": {"batch_size": 4}}, (override,))


def test_saved_configurations_read_back_equal(tmp_path: Path):
    (tmp_path / "thesis.yaml").write_text(THESIS)
    for config in (Config(), load_config(tmp_path / "thesis.yaml", ["experiment.seed=7", "data.phantom.seed=3"])):
        assert load_config(save_config(config, tmp_path / "out" / "config.yaml")) == config


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("- a\n- b\n", "holds a list"),
        ("a: [1", "cannot be read as YAML"),
        ("\x00", "cannot be read as YAML"),
        ("a: &x [1]\nb: *x\n", r"cannot be read as YAML: aliases \(\*x\) are not allowed"),
        ("bench:\n  rounds: 3\n  rounds: 4\n", "cannot be read as YAML: 'rounds' stands there twice, in line 3"),
        ("[" * 2000, "cannot be read as YAML"),
        ("experiment: {seed: 2024-13-45}", "cannot be read as YAML"),
        (f"experiment: {{seed: {'9' * 5000}}}", "cannot be read as YAML"),
        (f"# {'x' * 2**17}\n", "is no regular file of at most 131072 bytes"),
        ("".join(f"k{number}: 1\n" for number in range(10_000)), "cannot be read as YAML: a mapping has 10000 keys"),
    ],
    ids=range(10),
)
def test_unreadable_files_are_named(tmp_path: Path, content: str, part: str):
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(ConfigError, match=f"c.yaml {part}") as caught:
        load_config(tmp_path / "c.yaml")
    assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)


def test_a_long_value_is_cut_where_it_is_named():
    with pytest.raises(ConfigError) as caught:
        from_document({"experiment": {"seed": [["a"] * 10] * 10_000}})
    assert len(str(caught.value)) < 600


def test_a_missing_file_points_to_init(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"No such file: .*absent\.yaml\. `cardiocompress init` writes one\."):
        load_config(tmp_path / "absent.yaml")


def test_configurations_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Config().experiment.seed = 3  # type: ignore[misc]


class TestRatioFiles:
    def read(self, folder: Path, text: str, *, levels: int = 2) -> Ratios:
        (folder / "ratios.yaml").write_text(text)
        return load_ratios(folder / "ratios.yaml", levels=levels)

    def fault(self, folder: Path, text: str) -> str:
        with pytest.raises(PlanError) as caught:
            self.read(folder, text)
        return str(caught.value)

    def test_nested_and_flat_files_mean_the_same(self, tmp_path: Path):
        nested = self.read(tmp_path, "default: 0.1\nblock_ratios: {encoders.0: 0.5, bottleneck: 0.25}\n")
        flat = self.read(tmp_path, "default: 0.1\nencoders.0: 0.5\nbottleneck: 0.25\n")
        mixed = self.read(tmp_path, "default: 0.1\nencoders.0: 0.5\nblock_ratios: {bottleneck: 0.25}\n")
        assert nested == flat == mixed == Ratios(default=0.1, block_ratios={"encoders.0": 0.5, "bottleneck": 0.25})

    def test_an_empty_file_is_the_default(self, tmp_path: Path):
        assert self.read(tmp_path, "") == Ratios()

    @pytest.mark.parametrize(
        ("text", "part"),
        [
            (
                "block_ratios: {encoders.5: 0.5}",
                "block_ratios.encoders.5: unknown block. This network has 2 encoders, its",
            ),
            ("encoders.0: 0.5\nbotleneck: 0.2", "block_ratios.botleneck: unknown block. Did you mean 'bottleneck'?"),
            ("encoders.0: 0.5\ndefualt: 0.2", "defualt: unknown key. Did you mean 'default'?"),
            ("encoders.0: 1.0", "block_ratios.encoders.0: input should be less than 1, got 1.0."),
            ("default: -0.1", "default: input should be greater than or equal to 0, got -0.1."),
            ("default: half", "default: input should be a valid number"),
            ("block_ratios: [0.5]\nencoders.0: 0.5", "block_ratios: input should be a valid dictionary, got [0.5]."),
        ],
    )
    def test_faults(self, tmp_path: Path, text: str, part: str):
        assert part in self.fault(tmp_path, text)

    def test_all_faults_at_once(self, tmp_path: Path):
        text = self.fault(tmp_path, "default: 2\nencoders.0: 0.5\nencoders.9: 0.5\n")
        assert "2 faults" in text and "default: " in text and "encoders.9" in text


class TestTemplates:
    def test_the_written_configuration_is_the_defaults(self):
        assert from_document(yaml.safe_load(config_text(None, providers=PROVIDERS))) == from_document(
            {}, ["sweep.ratio_sets=[{name: quarter, ratios: {default: 0.25}}, {name: half, ratios: {default: 0.5}}]"]
        )

    @settings(max_examples=20)
    @example("/data/" + "a long folder name " * 9 + 'with "quotes" and {braces}')
    @given(st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1))
    def test_any_folder_name_survives(self, folder: str):
        assert yaml.safe_load(config_text(folder, providers=PROVIDERS))["train"]["paths"]["train_dir"] == folder

    @pytest.mark.parametrize("levels", [1, 3, 5])
    def test_the_written_ratios_remove_half_of_every_block(self, tmp_path: Path, levels: int):
        (tmp_path / "ratios.yaml").write_text(ratios_text(levels))
        ratios = load_ratios(tmp_path / "ratios.yaml", levels=levels)
        followers = {f"decoders.{2 * i}" for i in range(levels)}
        assert (ratios.default, ratios.align) == (Ratios().default, "auto")
        assert ratios.block_ratios == {name: 0.5 for name in block_names(levels) if name not in followers}

    def test_the_demo_is_a_valid_configuration(self, tmp_path: Path):
        config = from_document(demo_document(str(tmp_path)))
        assert config.data.phantom == Phantom(patients=60, seed=7)
        assert config.train.paths.save_root == str(tmp_path)
        assert config.pruning.ratios.align == "none", "half of the narrowest blocks is below any vector width"
