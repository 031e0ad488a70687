"""Whatever changed in a bundle since it was shipped is found and named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from shipping_kit import accepted_request

from compress import __version__
from compress.bundle.files import check_files
from compress.bundle.manifest import Entry, Manifest
from compress.bundle.ship import ship
from compress.bundle.verify import verify_bundle
from compress.errors import InputError, ModelFileError
from compress.files import digest_bytes

FILES = (
    *("model.onnx", "baseline.onnx", "README.md", "LICENSE-NOTE.md", "example.py", "example_phantom.nii.gz"),
    *("evidence/verdict.json", "evidence/baseline.json", "evidence/candidate.json", "evidence/verdict.md"),
    *("evidence/overlays.png", "sbom.cdx.json", "manifest.json", "SHA256SUMS"),
    *("requirements.txt", f"wheels/cardiocompress-{__version__}-py3-none-any.whl"),
)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory, sealed_path: Path) -> Path:
    return ship(accepted_request(tmp_path_factory.mktemp("shipped"), sealed_path)).folder


@pytest.fixture
def bundle(shipped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped, tmp_path / "bundle"))


def test_the_list_of_files_is_whole(bundle: Path) -> None:
    assert {p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file()} == set(FILES)
    assert check_files(bundle).changes == ()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.999])
def test_one_flipped_bit_anywhere_is_named(name: str, share: float, bundle: Path) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[int(share * len(content))] ^= 1
    (bundle / name).write_bytes(content)
    found = verify_bundle(bundle)
    assert not found.ok and not found.models, "no model of a changed bundle runs"
    assert any(name in reason for reason in found.reasons), found.reasons


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(name: str, bundle: Path) -> None:
    (bundle / name).unlink()
    if name == "manifest.json":
        with pytest.raises(ModelFileError, match=r"without manifest\.json"):
            verify_bundle(bundle)
    else:
        assert verify_bundle(bundle).reasons == (f"{name} is missing",)


def _link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


STRANGERS: dict[str, Callable[[Path], object]] = {
    "a file": lambda path: path.write_bytes(b"x"),
    "an empty file": lambda path: path.touch(),
    "a pipe": os.mkfifo,
    "a link": _link_to("/etc/hostname"),
    "a link to nothing": _link_to("/no/such/thing"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to a folder": _link_to("/proc"),
    "a device": _link_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_what_does_not_belong_is_named(kind: str, bundle: Path) -> None:
    names = (".hidden", "deep", "evidence/.gitattributes", "extra", "model.sig")
    for name in names:
        STRANGERS[kind](bundle / name)
    assert sorted(verify_bundle(bundle).reasons) == [f"{name} does not belong to the bundle" for name in names]


@pytest.mark.parametrize("kind", [kind for kind in STRANGERS if kind not in ("a file", "an empty file")])
def test_a_file_that_became_something_else_is_named(kind: str, bundle: Path) -> None:
    names = ("SHA256SUMS", "evidence/verdict.json", "model.onnx")
    for name in names:
        (bundle / name).unlink()
        STRANGERS[kind](bundle / name)
    what = "no regular file" if kind == "a pipe" else "a link"
    assert sorted(verify_bundle(bundle).reasons) == [f"{name} is {what}" for name in names]


def test_a_linked_folder_is_named(bundle: Path, tmp_path: Path) -> None:
    shutil.move(bundle / "evidence", tmp_path / "away")
    (bundle / "evidence").symlink_to(tmp_path / "away")
    reasons = verify_bundle(bundle).reasons
    assert "evidence does not belong to the bundle" in reasons and "evidence/verdict.json is a link" in reasons


@pytest.mark.parametrize(
    "make", [os.mkfifo, _link_to("/dev/zero"), lambda p: p.mkdir()], ids=["pipe", "zero", "folder"]
)
def test_a_manifest_that_is_no_file_is_a_typed_error(make, bundle: Path) -> None:
    (bundle / "manifest.json").unlink()
    make(bundle / "manifest.json")
    with pytest.raises(ModelFileError, match="no regular, readable file"):
        verify_bundle(bundle)


def test_a_huge_sparse_file_is_not_read(bundle: Path) -> None:
    os.truncate(bundle / "model.onnx", 2**40)
    (reason,) = verify_bundle(bundle).reasons
    assert reason.startswith("model.onnx changed: 1099511627776 bytes instead of")
    os.truncate(bundle / "manifest.json", 2**40)
    with pytest.raises(ModelFileError, match="of at most"):
        verify_bundle(bundle)


def forge(bundle: Path, change: Callable[[Manifest], Manifest]) -> None:
    """What someone who can write the folder can do: a manifest and sums that agree with everything."""
    manifest = change(Manifest.loads((bundle / "manifest.json").read_bytes(), bundle))
    contents = {entry.path: (bundle / entry.path).read_bytes() for entry in manifest.files}
    files = tuple(Entry(name, len(text), digest_bytes(text)) for name, text in contents.items())
    text = replace(manifest, files=files).dumps().encode()
    (bundle / "manifest.json").write_bytes(text)
    (bundle / "SHA256SUMS").write_bytes(replace(manifest, files=files).sums(text).encode())


FALSE = {
    "another graph": (lambda m: replace(m, models={**m.models, "model.onnx": "0" * 64}), "another graph of model.onnx"),
    "no phantom": (lambda m: replace(m, phantom=False), "contradict each other about phantom data"),
    "signed": (lambda m: replace(m, signed=True), "model.sig is missing"),
}


@pytest.mark.parametrize("claim", FALSE)
def test_a_false_claim_is_found_even_where_all_digests_agree(claim: str, bundle: Path) -> None:
    forge(bundle, FALSE[claim][0])
    assert FALSE[claim][1] in "; ".join(verify_bundle(bundle, threads=1).reasons)


@pytest.mark.parametrize("name", ["README.md", "LICENSE-NOTE.md", "example.py"])
def test_a_document_that_was_left_out_is_missed_even_where_all_digests_agree(name: str, bundle: Path) -> None:
    (bundle / name).unlink()
    forge(bundle, lambda m: replace(m, files=tuple(entry for entry in m.files if entry.path != name)))
    assert f"{name} is in no manifest" in verify_bundle(bundle).reasons


@pytest.mark.parametrize("change", [{"accepted": False}, {"candidate": {"sha256": "0" * 64}}, {"candidate": 7}])
def test_gated_needs_a_verdict_that_accepts_this_model(change: dict, bundle: Path) -> None:
    path = bundle / "evidence/verdict.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    forge(bundle, lambda manifest: manifest)
    assert "does not accept model.onnx" in "; ".join(verify_bundle(bundle, threads=1).reasons)


def test_weights_changed_with_all_digests_forged_are_broken(bundle: Path) -> None:
    content = bytearray((bundle / "model.onnx").read_bytes())
    content[len(content) // 3] ^= 1
    (bundle / "model.onnx").write_bytes(content)
    forge(bundle, lambda manifest: manifest)
    try:
        found = verify_bundle(bundle, threads=1)
    except ModelFileError:
        return
    assert not found.ok


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """key.pem, public.pem and another pair, in one folder."""
    pytest.importorskip("model_signing", reason="the extra [signing] is not installed")
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    folder = tmp_path_factory.mktemp("keys")
    pairs = {"": ec.generate_private_key(ec.SECP256R1()), "other-": ec.generate_private_key(ec.SECP384R1())}
    pairs["rsa-"] = rsa.generate_private_key(65537, 2048)
    for name, key in pairs.items():
        private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
        (folder / f"{name}key.pem").write_bytes(private)
        public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
        (folder / f"{name}public.pem").write_bytes(public)
    locked = pairs[""].private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"x"))
    (folder / "locked-key.pem").write_bytes(locked)
    return folder


@pytest.fixture
def signed(keys: Path, tmp_path: Path, sealed_path: Path) -> Path:
    request = replace(accepted_request(tmp_path, sealed_path), out=tmp_path / "signed", sign_key=keys / "key.pem")
    return Path(shutil.move(ship(request).folder, tmp_path / "moved"))


def test_a_signature_holds_after_a_move(signed: Path, keys: Path) -> None:
    assert verify_bundle(signed, public_key=keys / "public.pem", threads=1).signature == "verified"
    unchecked = verify_bundle(signed, threads=1)
    assert unchecked.ok and unchecked.signature.startswith("not checked")
    wrong = verify_bundle(signed, public_key=keys / "other-public.pem", threads=1)
    assert not wrong.ok and wrong.signature == "bad" and "model.sig is not a signature" in wrong.reasons[0]


def test_whoever_forges_all_digests_still_has_no_signature(signed: Path, keys: Path) -> None:
    (signed / "README.md").write_text("Cleared for clinical use.")
    forge(signed, lambda manifest: manifest)
    assert verify_bundle(signed, threads=1).ok, "digests alone do not stop a forger"
    found = verify_bundle(signed, public_key=keys / "public.pem", threads=1)
    assert not found.ok and "README.md" in found.reasons[0]
    forge(signed, lambda manifest: replace(manifest, signed=False))
    (signed / "model.sig").unlink()
    assert "it is not signed" in verify_bundle(signed, public_key=keys / "public.pem", threads=1).reasons


GARBAGE = {"empty": b"", "text": b"signed, honestly", "object": b"{}", "list": b"[]", "deep": b"[" * 10**5}


@pytest.mark.parametrize("name", GARBAGE)
def test_a_signature_that_is_none_is_bad(name: str, signed: Path, keys: Path) -> None:
    (signed / "model.sig").write_bytes(GARBAGE[name])
    found = verify_bundle(signed, public_key=keys / "public.pem", threads=1)
    assert not found.ok and "model.sig is not a signature" in found.reasons[0] and "\n" not in found.reasons[0]


@pytest.mark.parametrize("name", ["no.pem", "rsa-key.pem", "public.pem", "locked-key.pem", "."])
def test_what_is_no_private_key_is_a_typed_error(name: str, keys: Path, tmp_path: Path, sealed_path: Path) -> None:
    request = replace(accepted_request(tmp_path, sealed_path), sign_key=keys / name)
    with pytest.raises(InputError, match="key"):
        ship(request)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("name", ["no.pem", "rsa-public.pem", "key.pem", "."])
def test_what_is_no_public_key_is_a_typed_error(name: str, keys: Path, bundle: Path) -> None:
    with pytest.raises(InputError, match="key"):
        verify_bundle(bundle, public_key=keys / name)


def test_the_signature_is_what_others_check(signed: Path, keys: Path) -> None:
    words = ["verify", "key", signed, "--signature", signed / "model.sig", "--public_key", keys / "public.pem"]
    done = subprocess.run(
        [sys.executable, "-m", "model_signing", *map(str, words)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
