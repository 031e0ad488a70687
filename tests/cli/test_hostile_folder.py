"""Every command in a folder full of hostile modules, links, pipes and names, with 3.5 GB: nothing of it runs.

As an ordinary user where this process may become one who can read the program; else as whoever runs the tests.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_kit import settings
from hostile_kit import voxels, write_image

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
MEMORY = int(3.5 * 2**30)
SECONDS = 300
MODULES = (
    "json",
    "numpy",
    "sitecustomize",
    "usercustomize",
    "torch",
    "typing",
    "onnxruntime",
    "yaml",
    "compress",
    "cli",
)
LONG = float(os.environ.get("CARDIOCOMPRESS_FUZZ", "0")) > 0
PROGRAM = Path(sys.executable).with_name("cardiocompress")


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _as(user: int | None, *words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(cwd / "home"), "OMP_NUM_THREADS": "1"}
    env |= {"PYTHONDONTWRITEBYTECODE": "1", "MPLCONFIGDIR": str(cwd / "home")}
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env=env,
        user=user,
        group=user,
        extra_groups=[] if user is not None else None,
        preexec_fn=_limited,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> int | None:
    if os.geteuid() != 0:
        return None
    place = tmp_path_factory.mktemp("try")
    for folder in (place, *place.parents):
        if folder.name.startswith("pytest-"):
            folder.chmod(0o755)
    place.chmod(0o777)
    try:
        done = _as(NOBODY, "-c", "import cli.app, compress", cwd=place)
    except (OSError, subprocess.SubprocessError):
        return None
    return NOBODY if done.returncode == 0 else None


@pytest.fixture
def trap(tmp_path: Path, tiny_phantom: Path, sealed_path: Path, user: int | None) -> Path:
    """The hostile folder, with a good model, a good image and good data in it."""
    for name in MODULES:
        text = f"open({str(tmp_path / 'RAN')!r}, 'a').write({name!r})\nraise SystemExit({name!r})\n"
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "matplotlibrc").write_text("backend: module://json\n")
    (tmp_path / "conftest.py").write_text("raise SystemExit\n")
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe.nii.gz")
    os.mkfifo(tmp_path / "dataset.json")
    (tmp_path / "a\nno problems.nii.gz").write_bytes(b"x")
    (tmp_path / "\x1b]52;c;aGk=\x07.nii.gz").write_bytes(b"x")
    (tmp_path / "good.yaml").write_text("experiment: {seed: 1}\n")
    for name in ("model.onnx", "second.onnx"):
        shutil.copyfile(sealed_path, tmp_path / name)
    write_image(tmp_path / "heart.nii.gz", voxels())
    for number in (1, 2, 3, 4):
        patient = f"training/patient{number:03d}"
        shutil.copytree(tiny_phantom / patient, tmp_path / "data" / patient)
    (tmp_path / "home").mkdir()
    for path in (tmp_path, *tmp_path.rglob("*")):
        if user is not None and not path.is_symlink():
            os.chown(path, user, user)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith("pytest-"):
            folder.chmod(0o755)
    return tmp_path


_CONFIG = ("--config", "good.yaml", *settings("train.parameters.num_epochs=1"))
QUICK: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "version": (("--version",), (0,)),
    "init": (("init", "--data", "data"), (0,)),
    "data check": (("data", "check", "data"), (0,)),
    "info": (("info", "model.onnx"), (0,)),
    "verify": (("verify", "model.onnx", "--threads", "1"), (0,)),
    "predict": (("predict", "model.onnx", "heart.nii.gz", "-o", "out", "--threads", "1"), (0,)),
    "predict here": (("predict", "model.onnx", ".", "-o", "out", "--threads", "1"), (2,)),
    "ship": (("ship", "model.onnx", "--ungated", "-o", "bundle", "--threads", "1"), (0,)),
    "bench": (("bench", "model.onnx", "second.onnx", "--no-dice", *_CONFIG), (0,)),
}
_DATA = (*_CONFIG, "--set", "train.paths.train_dir=data")
SLOW: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "train": (("train", *_DATA), (0,)),
    "inspect": (("inspect", *_DATA), (2,)),
    "sensitivity": (("sensitivity", *_DATA), (2,)),
    "plan": (("plan", "--target", "macs=0.5x", *_DATA), (2,)),
    "prune": (("prune", *_DATA), (2,)),
    "eval": (("eval", *_DATA), (2,)),
    "export": (("export", *_DATA), (2,)),
    "quantize": (("quantize", "model.onnx", *_DATA), (2, 4)),
    "gate": (("gate", "model.onnx", "model.onnx", *_DATA), (2, 4)),
    "run": (("run", *_DATA), (0,)),
    "sweep": (("sweep", *_DATA), (0,)),
    "data phantom": (("data", "phantom", "made", "--patients", "2"), (0,)),
    "data convert": (("data", "convert", ".", "made"), (2,)),
}


@pytest.mark.skipif(not PROGRAM.is_file(), reason="the program is not installed beside this Python")
@pytest.mark.fuzz
@pytest.mark.parametrize("name", [*QUICK, *(SLOW if LONG else ())])
def test_nothing_of_the_folder_runs(name: str, trap: Path, user: int | None) -> None:
    words, codes = {**QUICK, **SLOW}[name]
    done = _as(user, PROGRAM, *words, cwd=trap)
    assert done.returncode in codes, done.stdout + done.stderr
    assert not (trap / "RAN").exists(), (trap / "RAN").read_text()
    assert "Traceback" not in done.stderr
    assert all(c.isprintable() or c == "\n" for c in done.stdout + done.stderr)
    assert "no problems.nii.gz" not in done.stdout.splitlines()
