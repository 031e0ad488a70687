"""Files are written whole or not at all; digests and JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from compress.config.read import from_document
from compress.errors import ConfigError, EnvironmentFault, InputError
from compress.files import (
    atomic_path,
    check_writable,
    digest_bytes,
    digest_file,
    digest_json,
    parse_json,
    read_json,
    write_json,
    write_text,
)
from compress.outside import MAX_DOCUMENT, check_regular, leads_out, opened, read_bytes
from compress.registry import nearest, pick
from compress.rundir import RunDir, Stage, as_checkpoint_name, cache_dir, external_evaluation, phantom_dir


def test_atomic_write_creates_parents_and_replaces(tmp_path: Path):
    target = tmp_path / "a" / "b" / "note.txt"
    assert write_text(target, "first") == target
    write_text(target, "zweite Fassung: Größe")
    assert target.read_text(encoding="utf-8") == "zweite Fassung: Größe"
    assert [p.name for p in target.parent.iterdir()] == ["note.txt"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, fault: type[BaseException]):
    target = write_text(tmp_path / "note.txt", "old")
    with pytest.raises(fault), atomic_path(target) as temporary:
        temporary.write_text("half of the n")
        raise fault
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


def test_a_failed_first_write_leaves_an_empty_folder(tmp_path: Path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "figures.json", {"dice": float("nan")})
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "figures.json"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_the_machines_fault_and_a_path_through_a_file_the_users(tmp_path: Path):
    full = r"note\.txt: No space left on device\..*free space"
    with pytest.raises(EnvironmentFault, match=full), atomic_path(tmp_path / "note.txt"):
        raise OSError(28, "No space left on device")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"Cannot write .*note\.txt: a part of that path is a file"):
        write_text(tmp_path / "file" / "note.txt", "a folder is needed where a file lies")


def test_json_round_trip_keeps_the_order_of_keys(tmp_path: Path):
    value = {"z": [1, 2.5, None], "a": {"RV": True}}
    assert read_json(write_json(tmp_path / "v.json", value)) == value
    assert list(read_json(tmp_path / "v.json")) == ["z", "a"]


def test_read_json_names_the_file_in_every_error(tmp_path: Path):
    with pytest.raises(InputError, match=r"No such file: .*absent\.json"):
        read_json(tmp_path / "absent.json")
    for name, content in {"cut.json": b'{"a": 1', "binary.json": b"\xff\xfe\x00\x81"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} is not readable JSON"):
            read_json(tmp_path / name)
    with pytest.raises(InputError, match="is no regular file"):
        read_json(tmp_path)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', "[NaN]", "[-Infinity]", "[1e999]", '{"a": [{"b": 1, "b": 1}]}'])
def test_what_readers_would_differ_about_is_no_json(text: str, tmp_path: Path):
    with pytest.raises(ValueError):
        parse_json(text)
    with pytest.raises(InputError, match="not readable JSON"):
        read_json(write_text(tmp_path / "a.json", text))


def test_only_regular_files_of_a_size_are_opened(tmp_path: Path):
    small = write_text(tmp_path / "small", "1234")
    check_regular(small, most=4)
    with pytest.raises(InputError, match=r"^The key .*small is no regular file of at most 3 bytes"):
        check_regular(small, most=3, what="the key")
    for path in (tmp_path, Path("/dev/null")):
        with pytest.raises(InputError, match="no regular file"):
            check_regular(path, most=4)
    with pytest.raises(InputError, match=r"Cannot read .*absent"):
        check_regular(tmp_path / "absent", most=4)


def test_a_link_is_followed_only_where_somebody_named_it(tmp_path: Path):
    write_text(tmp_path / "secret", "1234")
    (tmp_path / "link").symlink_to("secret")
    assert read_bytes(tmp_path / "link", most=4, named=True) == b"1234"
    with pytest.raises(InputError, match="link is a link; nobody named it"):
        read_bytes(tmp_path / "link", most=4)


def test_what_grows_while_it_is_read_is_never_more_than_allowed(tmp_path: Path):
    path = write_text(tmp_path / "grows", "1234")
    with opened(path, most=4) as stream:
        path.write_text("123456")
        assert stream.read() == b"123456", "whoever takes the stream bounds it; read_bytes does"
    with pytest.raises(InputError, match="at most"):
        read_bytes(Path("/proc/self/maps"), most=4)  # of no size, and never empty


def test_what_leads_out_of_a_folder(tmp_path: Path):
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "in").symlink_to("sub/file")
    (tmp_path / "data" / "out").symlink_to("../home")
    (tmp_path / "data" / "folder").symlink_to("/etc")
    (tmp_path / "named").symlink_to("data")
    for name, out in {"in": False, "sub/x": False, "out": True, "folder/passwd": True}.items():
        assert leads_out(tmp_path / "data" / name, tmp_path / "data") is out, name
        assert leads_out(tmp_path / "named" / name, tmp_path / "named") is out, name


@pytest.mark.parametrize("text", ["[" * 101 + "]" * 101, "[" * 10**6, "1" * 41, "[-" + "1" * 5000 + "]"])
def test_depth_and_length_of_numbers_are_bounded(text: str, tmp_path: Path):
    with pytest.raises((ValueError, RecursionError)):
        parse_json(text)
    with pytest.raises(InputError, match="not readable JSON"):
        read_json(write_text(tmp_path / "a.json", text))
    assert parse_json("[" * 100 + "]" * 100) and parse_json("1" * 40)


def test_trying_to_write_leaves_nothing(tmp_path: Path):
    kept = write_text(tmp_path / "kept", "mine")
    check_writable(kept)
    check_writable(tmp_path / "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
    with pytest.raises(InputError, match="a part of that path is a file"):
        check_writable(kept / "below")


def test_digests(tmp_path: Path):
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180, SHA-256 of "abc"
    (tmp_path / "abc").write_bytes(b"abc")
    assert digest_bytes(b"a", b"bc") == digest_file(tmp_path / "abc") == known
    assert digest_json({"a": 1, "b": [2]}) == digest_json(json.loads('{"b": [2], "a": 1}'))
    assert digest_json({"a": 1}) != digest_json({"a": 2})


def test_pick_teaches_the_names():
    table = {"l1_norm": 1, "random": 2}
    assert pick("criterion", table, "random") == 2
    with pytest.raises(
        ConfigError, match=r"Unknown criterion 'l1norm'\. Known: l1_norm, random\. Did you mean 'l1_norm'"
    ):
        pick("criterion", table, "l1norm")
    with pytest.raises(ConfigError) as caught:
        pick("criterion", table, "qqqq")
    assert "Did you mean" not in str(caught.value)
    assert nearest("encoder.1", ["encoders.1", "bottleneck"]) == "encoders.1"


def test_run_folder_follows_the_configuration():
    config = from_document(
        {
            "experiment": {"experiment_name": "exp41"},
            "train": {"paths": {"save_root": "results"}},
            "pruning": {"ckpt_path": {"subfolder": "dense", "ckpt_name": "final_model.pth"}},
        }
    )
    run = RunDir.of(config)
    assert run.baseline.final == Path("results/exp41/dense/final_model.safetensors")
    assert run.pruned("rewind").final == Path("results/exp41/pruned/rewind/pruned_model.safetensors")
    assert run.pruned("rewind").onnx == Path("results/exp41/pruned/rewind/pruned_model.onnx")
    assert cache_dir(config) == Path("results/cache")
    assert phantom_dir(config) == Path("results/phantom-20-seed0")


def test_pruned_stages_lists_finished_ones_only(tmp_path: Path):
    config = from_document({}, [f"train.paths.save_root={tmp_path}"])
    run = RunDir.of(config)
    assert run.pruned_stages() == []
    for name in ("rewind", "none", "started"):
        run.pruned(name).root.mkdir(parents=True)
    for name in ("rewind", "none"):
        run.pruned(name).final.touch()
    assert [stage.root.name for stage in run.pruned_stages()] == ["none", "rewind"]


def test_external_evaluation_lies_apart_from_the_run():
    config = from_document({}, ["evaluation.paths.eval_dir=/data/imagesTs", "evaluation.paths.save_root=scores"])
    inside = RunDir.of(config).pruned("none")
    assert external_evaluation(config, stage=inside) == Path("scores/cardiac/pruned/none/eval-imagesTs")
    outside = Stage(Path("/elsewhere/net"), "net.safetensors")
    assert external_evaluation(config, stage=outside) == Path("scores/cardiac/net/eval-imagesTs")


def test_checkpoints_always_end_in_safetensors():
    assert as_checkpoint_name("final_model.pth") == as_checkpoint_name("final_model") == "final_model.safetensors"


def test_a_document_that_is_endless_or_too_large_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    large = tmp_path / "large.json"
    large.touch()
    os.truncate(large, MAX_DOCUMENT + 1)
    for path in (tmp_path / "pipe.json", large, Path("/dev/zero")):
        with pytest.raises(InputError, match="is no regular file of at most 67108864 bytes"):
            read_json(path)


def test_files_are_as_private_as_the_umask_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for mask, mode in ((0o077, 0o600), (0o022, 0o644), (0o027, 0o640)):
        monkeypatch.setattr("compress.files._UMASK", mask)
        assert write_text(tmp_path / "a.txt", "x").stat().st_mode & 0o777 == mode


def test_a_key_twice_among_many_is_found_at_once() -> None:
    keys = [*(f"k{number}" for number in range(200_000)), "k7"]
    text = "{" + ", ".join(f'"{key}": 0' for key in keys) + "}"  # quadratic readers would need minutes
    with pytest.raises(ValueError, match="'k7' stands there twice"):
        parse_json(text)
