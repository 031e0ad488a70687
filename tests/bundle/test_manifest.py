"""Manifests: what they may say, and that a hostile one ends in a typed error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.bundle.manifest import MAX_BYTES, MAX_FILES, Entry, Manifest, check_name
from compress.errors import ModelFileError

GOOD = Manifest(True, False, False, "0.4.0", {"model.onnx": "b" * 64}, (Entry("model.onnx", 3, "a" * 64),))
HERE = Path("manifest.json")


def test_what_is_written_is_read() -> None:
    assert Manifest.loads(GOOD.dumps().encode(), HERE) == GOOD


def _set(**fields: Any) -> Callable[[dict], object]:
    return lambda document: document.update(fields)


def _file(**fields: Any) -> Callable[[dict], object]:
    return lambda document: document["files"][0].update(fields)


def _more(*paths: str) -> Callable[[dict], object]:
    return lambda d: d["files"].extend({"path": path, "size": 1, "sha256": "a" * 64} for path in paths)


HOSTILE = {
    "another schema": (_set(schema=2), "reads schema 1"),
    "a schema of true": (_set(schema=True), "reads schema 1"),
    "another kind": (_set(kind="x"), "reads schema 1"),
    "no files": (lambda d: d.pop("files"), "no key 'files'"),
    "files of text": (_set(files="abc"), "is no manifest"),
    "a path above": (_more("../evil"), "the path '../evil'"),
    "a path above in the middle": (_more("evidence/../../evil"), "no '..'"),
    "an absolute path": (_more("/etc/passwd"), "no root"),
    "a drive": (_more("C:evil"), "the path"),
    "a backslash": (_more("evidence\\evil"), "the path"),
    "a NUL": (_more("evil\0"), "the path"),
    "a new line": (_more("evil\n"), "the path"),
    "a hidden file": (_more(".evil"), "the path"),
    "an empty path": (_more(""), "the path"),
    "a folder": (_more("evidence/"), "the path"),
    "a deep path": (_more("a/b/c/d/e"), "the path"),
    "a long path": (_more("a" * 300), "the path"),
    "a path of a number": (_file(path=7), "the path '7'"),
    "the manifest itself": (_more("manifest.json"), "it lists manifest.json"),
    "the sums": (_more("sha256sums"), "it lists sha256sums"),
    "a path twice": (_more("x", "x"), "x stands there twice"),
    "a path twice but for its case": (_more("x", "X"), "x stands there twice"),
    "a negative size": (_file(size=-1), "a size of -1"),
    "a size beyond all files": (_file(size=2**60), f"from 0 to {MAX_BYTES}"),
    "a size of true": (_file(size=True), "a size of True"),
    "a size of text": (_file(size="3"), "a size of 3"),
    "an endless list": (_more(*(f"f{i}" for i in range(MAX_FILES + 1))), f"at most {MAX_FILES}"),
    "a short digest": (_file(sha256="aa"), "the digest 'aa'"),
    "a digest in capitals": (_file(sha256="A" * 64), "the digest"),
    "an unknown field of a file": (_file(mode=7), "is no manifest"),
    "no model": (_set(models={}), "its models are none"),
    "a model that is no file": (_set(models={"model.onnx": "b" * 64, "baseline.onnx": "b" * 64}), "its models are"),
    "a model elsewhere": (_set(models={"model.onnx": "b" * 64, "/x.onnx": "b" * 64}), "its models are"),
    "gated by a word": (_set(gated="yes"), "must be true or false"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_manifest_is_a_typed_error(name: str) -> None:
    change, says = HOSTILE[name]
    document = json.loads(GOOD.dumps())
    change(document)
    with pytest.raises(ModelFileError) as caught:
        Manifest.loads(json.dumps(document).encode(), HERE)
    assert says in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"null", b"\xff\xfe", b"[" * 10**5, b'{"a": 1, "a": 2}', b'{"schema": ' + b"1" * 5000 + b"}"]
)
def test_what_is_no_manifest_is_a_typed_error(text: bytes) -> None:
    with pytest.raises(ModelFileError, match="is no manifest of a bundle"):
        Manifest.loads(text, HERE)


@given(st.text("aZ09._- /\\:~\n\0\u00e4", max_size=40))
def test_no_allowed_name_leads_out_of_the_folder(name: str) -> None:
    try:
        check_name(name)
    except ValueError:
        return
    root = Path("/bundle")
    assert (root / name).resolve().is_relative_to(root) and name.isascii() and name.isprintable()
