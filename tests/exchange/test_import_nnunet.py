"""A results folder of nnU-Net comes in with every tensor, and computes the masks that stock nnU-Net computes."""

from __future__ import annotations

import copy
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunet_kit import KINDS, MODEL, STOCK, Kind, write_image, write_results

from compress.data.channels import Channels
from compress.data.nnunet.tiles import mirrored
from compress.data.rules import rules_from_json
from compress.data.volume import Case, Volume
from compress.errors import CheckpointError, ConfigError, InputError
from compress.exchange.archive import directory_size
from compress.exchange.import_nnunet import EXTRA, import_nnunet
from compress.models.checkpoint import Checkpoint, load, save
from compress.runtime.predict import predict_mask

MASKS = np.load(STOCK)
TIES = 2
"""Voxels that may differ on a processor that sums in another order: nnU-Net's float16 has near-ties."""


def masks_of(checkpoint: Checkpoint, images: list[Path]) -> dict[str, np.ndarray]:
    """Mirrored and plain, by the checkpoint's own rules."""
    rules, file = rules_from_json(checkpoint.meta.preprocessing), Channels(tuple(images)).open()
    voxels = next(file.volumes())
    volume = Volume(
        Case("case", "", images[0], None), voxels[0] if len(voxels) == 1 else voxels, None, file.spacing, file.affine
    )
    prepared = rules.forward(volume)

    @torch.inference_mode()
    def run(tiles: np.ndarray) -> np.ndarray:
        return checkpoint.network(torch.from_numpy(np.ascontiguousarray(tiles))).numpy()

    ways = {"mirrored": mirrored(run, rules.mirror_axes), "plain": run}  # pyright: ignore
    return {name: predict_mask(way, prepared, batch_size=3) for name, way in ways.items()}


@pytest.mark.parametrize("name", KINDS)
def test_masks_are_those_of_stock_nnunet(name: str, tmp_path: Path):
    folder, images = write_results(tmp_path, KINDS[name]), write_image(tmp_path, KINDS[name])
    found = import_nnunet(folder, fold="all")
    for way, mask in masks_of(found.checkpoint, images).items():
        stock = MASKS[f"{name}, {way}"]
        assert len(np.unique(stock)) > 2
        assert np.count_nonzero(mask != stock) <= TIES


def test_a_checkpoint_of_it_is_stored_without_second_names(tmp_path: Path):
    found = import_nnunet(write_results(tmp_path, KINDS["residual"])).checkpoint
    meta = save(tmp_path / "it.safetensors", found.network, found.meta)
    again = load(tmp_path / "it.safetensors")
    assert again.meta == meta and meta.extra[EXTRA]["trainer"] == "nnUNetTrainer"
    assert not any("all_modules" in name or "decoder.encoder" in name for name in again.network.state_dict())
    image = torch.randn(1, 1, 48, 40)
    assert torch.equal(again.network(image), found.network(image))


def test_a_zip_and_the_folder_around_it_are_understood(tmp_path: Path):
    folder = write_results(tmp_path / "Dataset001_Made", Kind(folds=(0, "all")))
    with zipfile.ZipFile(tmp_path / "it.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in tmp_path.rglob("*.*"):
            if file.is_file() and file.suffix != ".zip":
                archive.write(file, file.relative_to(tmp_path))
    ways = [import_nnunet(each) for each in (folder, tmp_path / "Dataset001_Made", tmp_path / "it.zip")]
    assert {way.model for way in ways} == {MODEL} and {way.others for way in ways} == {("all",)}
    states = [way.checkpoint.network.state_dict() for way in ways]
    assert all(torch.equal(states[0][key], state[key]) for state in states for key in state)


def edited(tmp_path: Path, name: str, change) -> Path:
    folder = write_results(tmp_path, Kind())
    document = json.loads((folder / name).read_text())
    change(document)
    (folder / name).write_text(json.dumps(document))
    return folder


def flat(plans: dict) -> dict:
    return plans["configurations"]["2d"]


PLANS = {
    "resample_torch_fornnunet": lambda p: flat(p).update(resampling_fn_data="resample_torch_fornnunet"),
    "force_separate_z": lambda p: flat(p)["resampling_fn_probabilities_kwargs"].update(force_separate_z=False),
    "read by SimpleITKIOWithReorient": lambda p: p.update(image_reader_writer="SimpleITKIOWithReorient"),
    "cascade": lambda p: flat(p).update(previous_stage="3d_lowres"),
    "3D": lambda p: flat(p).update(patch_size=[16, 48, 40]),
    "normalisation 'MyNorm'": lambda p: flat(p).update(normalization_schemes=["MyNorm"]),
    "its network is Primus": lambda p: flat(p)["architecture"].update(network_class_name="a.b.Primus"),
    "is not known": lambda p: flat(p)["architecture"]["arch_kwargs"].update(nonlin="os.system"),
    "MyPreprocessor": lambda p: flat(p).update(preprocessor_name="MyPreprocessor"),
    "MyLabels": lambda p: p.update(label_manager="MyLabels"),
    "inherits from itself": lambda p: flat(p).update(inherits_from="2d"),
    "'elsewhere' is not in the plans": lambda p: flat(p).update(inherits_from="elsewhere"),
    "does not match its plans": lambda p: flat(p)["architecture"]["arch_kwargs"].update(features_per_stage=[8, 16, 16]),
}


@pytest.mark.parametrize("words", PLANS)
def test_plans_that_are_not_reproduced_are_refused_by_name(words: str, tmp_path: Path):
    with pytest.raises(InputError, match=words) as told:
        import_nnunet(edited(tmp_path, "plans.json", PLANS[words]))
    assert "\n" not in str(told.value)


DATASETS = {
    "images end in .nrrd": lambda d: d.update(file_ending=".nrrd"),
    "1 to their number": lambda d: d.update(labels={"background": 0, "RV": 1, "MYO": 3}),
    "regions_class_order": lambda d: d.update(labels={"background": 0, "a": [1, 2], "b": 2}),
    "numbers of channels": lambda d: d.update(channel_names={"0": "a", "1": "b"}),
    "version 1": lambda d: d.update(labels={"0": "background", "1": "RV"}),
}


@pytest.mark.parametrize("words", DATASETS)
def test_data_sets_that_are_not_reproduced_are_refused(words: str, tmp_path: Path):
    with pytest.raises(ConfigError, match=words):
        import_nnunet(edited(tmp_path, "dataset.json", DATASETS[words]))


class Runs:
    """What a pickle would run."""

    def __reduce__(self):
        return (print, ("run",))


def test_a_checkpoint_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = write_results(tmp_path, Kind(), trainer_name=Runs())
    with pytest.raises(CheckpointError, match="more than tensors and numbers"):
        import_nnunet(folder)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("weights", [None, {"a": 1}, {"a": torch.zeros(1)}])
def test_checkpoints_of_other_things_are_refused(weights: object, tmp_path: Path):
    with pytest.raises(CheckpointError):
        import_nnunet(write_results(tmp_path, Kind(), network_weights=weights))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path):
    folder = write_results(tmp_path, Kind())
    file = folder / "fold_0" / "checkpoint_final.pth"
    state = copy.deepcopy(torch.load(file, weights_only=False))
    next(iter(state["network_weights"].values()))[0] = float("nan")
    torch.save(state, file)
    with pytest.raises(CheckpointError, match="not finite"):
        import_nnunet(folder)


def archive_of(path: Path, entries: dict[str, bytes], *, link: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
        if link:
            entry = zipfile.ZipInfo(link)
            entry.external_attr = 0o120777 << 16
            archive.writestr(entry, "/etc/passwd")
    return path


@pytest.mark.parametrize(
    "name", ["../plans.json", "/plans.json", "a/../../plans.json", "..\\plans.json", "C:/plans.json"]
)
def test_an_archive_that_leaves_its_folder_is_refused(name: str, tmp_path: Path):
    with pytest.raises(InputError, match="leads out of"):
        import_nnunet(archive_of(tmp_path / "it.zip", {name: b"{}"}))


def test_an_archive_with_a_link_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="is a link"):
        import_nnunet(archive_of(tmp_path / "it.zip", {}, link="m/plans.json"))


def test_a_decompression_bomb_is_refused(tmp_path: Path):
    entries = {"m/plans.json": b" " * 2**25, "m/dataset.json": b"{}", "m/fold_0/checkpoint_final.pth": b""}
    with pytest.raises(InputError, match="would inflate"):
        import_nnunet(archive_of(tmp_path / "it.zip", {**entries, "m/fold_0/checkpoint_final.pth": b"\0" * 2**28}))


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path):
    folder = write_results(tmp_path, Kind())
    outside = tmp_path / "outside.json"
    (folder / "plans.json").rename(outside)
    (folder / "plans.json").symlink_to(outside)
    with pytest.raises(InputError, match="leads out of the folder"):
        import_nnunet(folder)


def test_folds_and_checkpoints_are_named_where_they_are_missing(tmp_path: Path):
    folder = write_results(tmp_path, Kind(folds=(0, 2)))
    with pytest.raises(ConfigError, match=r"has no fold 1 .* 0, 2"):
        import_nnunet(folder, fold="1")
    with pytest.raises(ConfigError, match=r"no checkpoint_best.pth in any fold. There is --checkpoint final"):
        import_nnunet(folder, checkpoint="best")
    assert import_nnunet(folder).folds == ("0",) and import_nnunet(folder, fold="2").folds == ("2",)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no archive"])
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path):
    (tmp_path / "it.zip").write_bytes(content)
    with pytest.raises(InputError, match="neither a folder nor a zip"):
        import_nnunet(tmp_path / "it.zip")


def test_the_first_version_s_pickles_are_named(tmp_path: Path):
    (tmp_path / "plans.pkl").write_bytes(b"")
    with pytest.raises(ConfigError, match="Version 1"):
        import_nnunet(tmp_path)


def test_postprocessing_comes_from_its_json_and_never_from_its_pickle(tmp_path: Path):
    folder = write_results(tmp_path, Kind())
    (folder / "postprocessing.pkl").write_bytes(b"cos\nsystem\n")
    assert "pickle" in import_nnunet(folder).notes[0]
    told = {
        "postprocessing_fns": ["remove_all_but_largest_component_from_segmentation"] * 2,
        "postprocessing_kwargs": [{"labels_or_regions": [1, 2, 3]}, {"labels_or_regions": 1}],
    }
    (folder / "postprocessing.json").write_text(json.dumps(told))
    found = import_nnunet(folder)
    rules = rules_from_json(found.checkpoint.meta.preprocessing)
    assert rules.largest_of == ((1, 2, 3), (1,)) and not found.notes  # pyright: ignore
    labels = np.zeros((1, 9, 9), np.uint8)
    labels[0, :3, :3], labels[0, 3, 3], labels[0, 7:, 7:], labels[0, 0, 0] = 2, 1, 3, 1
    kept = rules.keep_largest(labels)  # pyright: ignore
    assert (kept == 3).sum() == 0 and (kept == 2).sum() == 8 and (kept == 1).sum() == 2


class _AnyLength:
    def __reduce__(self):
        return bytearray, (2**34,)


@pytest.mark.parametrize("new", [True, False])
def test_a_checkpoint_that_asks_for_memory_without_holding_it_is_refused(new: bool, tmp_path: Path):
    """Sixteen GiB in a few hundred bytes: torch's own safe loader would make them."""
    folder = write_results(tmp_path, Kind())
    file = folder / "fold_0" / "checkpoint_final.pth"
    torch.save({"network_weights": {"a": _AnyLength()}}, file, _use_new_zipfile_serialization=new)
    with pytest.raises(CheckpointError, match="asks for memory"):
        import_nnunet(folder)


@pytest.mark.parametrize("large", [True, False])
def test_an_archive_that_lists_too_many_files_is_refused_before_they_are_listed(large: bool, tmp_path: Path):
    """Its table of contents alone is a bomb: half a KiB of memory for each 47 bytes."""
    entry = b"PK\1\2" + bytes(24) + (1).to_bytes(2, "little") + bytes(16) + b"a"
    many = 10**5
    size, count = (len(entry) * many).to_bytes(8, "little"), many.to_bytes(8, "little")
    end = b"PK\5\6" + bytes(8) + (b"\xff" * 4 if large else size[:4]) + bytes(6)
    record = b"PK\6\6" + bytes(20) + count + count + size + bytes(8)
    found = b"PK\6\7" + bytes(4) + size + (1).to_bytes(4, "little")
    (tmp_path / "it.zip").write_bytes(entry * many + (record + found if large else b"") + end)
    with pytest.raises(InputError, match="lists more files"):
        import_nnunet(tmp_path / "it.zip")


def test_its_table_of_contents_is_measured(tmp_path: Path):
    path = archive_of(tmp_path / "it.zip", {"m/plans.json": b"{}"})
    with path.open("rb") as stream:
        assert directory_size(stream) == 46 + len("m/plans.json")
