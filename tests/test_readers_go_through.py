"""Files are opened by `compress/outside.py`; what opens one in another way says why here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
METHODS = {"open", "read_bytes", "read_text"}
"""Of a path; an opened image's own `open` takes nothing."""
FUNCTIONS = {
    *("open", "ZipFile", "dcmread", "safe_open", "pixel_array", "fromfile", "memmap"),
    *("use_elliptic_key_signer", "use_elliptic_key_verifier"),
}
LIBRARIES = {"np", "nib", "torch", "onnx", "json", "yaml", "pickle"}
"""Their `load` takes a path, or what was opened."""
OWN = {
    "compress/outside.py": "what all others go through",
    "compress/vouch.py": "the user's own secret, and what its seal holds for",
    "compress/lock.py": "a lock's own file, no link",
    "compress/files.py": "flushing what was just written",
    "compress/glossary.py": "in the package",
    "compress/extras.py": "the installer's own record",
    "compress/bundle/requirements/__init__.py": "in the package",
    "compress/bundle/web/page.py": "in the package",
    "compress/bundle/wheel.py": "the package itself, and a folder of our own",
    "compress/bundle/program.py": "a folder of our own",
    "compress/bundle/example.py": "a folder of our own",
    "compress/bundle/proof.py": "a folder of our own",
    "compress/bundle/writing.py": "written here, never over a file",
    "compress/runtime/machine.py": "the kernel's",
    "compress/bench/memory_probe.py": "the kernel's",
    "compress/bench/node_profile.py": "what ONNX Runtime wrote into a folder of our own",
    "compress/bench/precision.py": "a folder of our own",
    "compress/bench/mixed.py": "a folder of our own",
    "compress/export/quantize.py": "a folder of our own",
    "compress/export/seal.py": "what was just exported",
    "compress/steps/quantizing/quantize.py": "a folder of our own",
    "compress/models/checkpoint.py": "checked by `check_regular`, then opened once",
    "compress/exchange/archive.py": "an archive that `opened` gave",
    "compress/exchange/results.py": "bytes that were read",
    "compress/config/read.py": "bytes that were read",
    "compress/data/label_file.py": "writes",
    "compress/data/convert.py": "writes",
    "compress/data/dicom/stack.py": "a stream that `opened` gave",
    "compress/data/dicom/header.py": "a stream that `opened` gave",
    "compress/data/dicom/segmentation.py": "a stream that `opened` gave",
}
"""File -> why it may open something itself."""


def _opens(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Name):
        return call.func.id in FUNCTIONS
    if not isinstance(call.func, ast.Attribute):
        return False
    name, whose = call.func.attr, getattr(call.func.value, "id", "")
    method = name in METHODS and (name != "open" or bool(call.args)) and whose != "outside"
    method = method and not any(ast.unparse(argument) == "os.devnull" for argument in call.args)
    return method or name in FUNCTIONS - METHODS or (name == "load" and whose in LIBRARIES)


def opening(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and _opens(node):
            yield f"line {node.lineno}: {ast.unparse(node)[:60]}"


FILES = sorted(path for top in ("compress", "cli") for path in (ROOT / top).rglob("*.py"))


def test_no_file_is_opened_in_another_way() -> None:
    found = {name: list(opening(path)) for path in FILES if (name := str(path.relative_to(ROOT))) not in OWN}
    assert not {name: calls for name, calls in found.items() if calls}


def test_every_exception_is_one() -> None:
    assert not [name for name in OWN if not list(opening(ROOT / name))]
