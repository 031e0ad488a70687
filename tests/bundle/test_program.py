"""A bundle carries what runs it: its wheel, and exact versions of what that needs."""

from __future__ import annotations

import io
import re
import shutil
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

from compress import __version__
from compress.bundle import wheel, wheelhouse
from compress.bundle.requirements import requirements_of
from compress.errors import EnvironmentFault
from compress.files import digest_bytes

ROOT = Path(wheel.__file__).parents[2]
WHEEL = ("cardiocompress-1-py3-none-any.whl", b"a wheel")


def test_the_wheel_holds_the_program_and_nothing_else() -> None:
    name, content = wheel.own_wheel()
    assert name == f"cardiocompress-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        names = packed.namelist()
        assert packed.read("compress/errors.py") == (ROOT / "compress/errors.py").read_bytes()
        assert "compress/bundle/templates/README.md.j2" in names and "compress/py.typed" in names
        assert (
            "cardiocompress = cli.app:main"
            in packed.read(f"cardiocompress-{__version__}.dist-info/entry_points.txt").decode()
        )
        described = packed.read(f"cardiocompress-{__version__}.dist-info/METADATA").decode()
        record = packed.read(f"cardiocompress-{__version__}.dist-info/RECORD").decode()
    assert all(each.startswith(("compress/", "cli/", f"cardiocompress-{__version__}.dist-info/")) for each in names)
    assert not [each for each in names if "__pycache__" in each or each.endswith((".pyc", "direct_url.json"))]
    assert all(each in record for each in names)
    assert f"Version: {__version__}\n" in described


def test_equal_programs_give_equal_bytes() -> None:
    first = wheel.own_wheel()
    wheel.own_wheel.cache_clear()
    assert wheel.own_wheel() == first


def test_a_link_in_the_program_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / "__init__.py").touch()
    (tmp_path / "loose" / "key.py").symlink_to(tmp_path / "private.pem")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EnvironmentFault, match=r"key\.py is a link"):
        wheel._copy_package("loose", tmp_path / "copy")


@pytest.mark.parametrize("signed", [False, True])
def test_every_requirement_is_pinned_with_digests_as_it_is_tested(signed: bool) -> None:
    own, *lines = requirements_of(WHEEL, signed=signed).replace("\\\n", " ").splitlines()
    assert own == f"./wheels/{WHEEL[0]} --hash=sha256:{digest_bytes(WHEEL[1])}"
    tested = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text().lower(), re.MULTILINE))
    tested = {re.sub(r"[-_.]+", "-", name): version for name, version in tested.items()}
    for line in lines:
        name, version = re.match(r"([\w.-]+)==(\S+)", line).groups()  # pyright: ignore[reportOptionalMemberAccess]
        assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}(?: |$)", line)) >= 1, line
        assert tested.get(name, version) == version, "make lock"
    asked = {re.match(r"[\w.-]+", line).group() for line in lines}  # pyright: ignore[reportOptionalMemberAccess]
    assert {"numpy", "nibabel", "onnxruntime", "typer", "rich", "pydicom", "highdicom"} <= asked
    assert ("model-signing" in asked) is signed and "torch" not in asked


def test_markers_are_asked_of_the_machine_that_it_goes_to() -> None:
    text = requirements_of(WHEEL, signed=False)
    windows, linux = (wheelhouse._wanted(text, platform, "3.12") for platform in ("Windows", "Linux x86-64"))
    assert "colorama==" in windows and "colorama" not in linux
    assert "importlib-resources==" not in linux
    assert "importlib-resources==" in wheelhouse._wanted(text, "macOS", "3.11")
    assert ";" not in windows and WHEEL[0] not in windows


def test_wheels_are_taken_with_their_digests_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setattr(wheelhouse, "PYTHONS", ("3.12",))
    monkeypatch.setattr(wheelhouse, "PLATFORMS", {"Windows": wheelhouse.PLATFORMS["Windows"]})
    name, content = wheel.own_wheel()
    (index / name).write_bytes(content)
    text = f"cardiocompress=={__version__} --hash=sha256:{{}}\n"
    wheelhouse.collect_wheels(text.format(digest_bytes(content)), tmp_path / "wheels")
    assert [each.name for each in (tmp_path / "wheels").iterdir()] == [name]
    shutil.rmtree(tmp_path / "wheels")
    with pytest.raises(EnvironmentFault, match=r"for Windows, Python 3\.12, could not be collected"):
        wheelhouse.collect_wheels(text.format("0" * 64), tmp_path / "wheels")


def test_the_lists_are_packed_with_the_program() -> None:
    assert files("compress.bundle.requirements").joinpath("runtime.txt").is_file()
