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
import torch
from cli_kit import settings
from command_names import runnable
from hostile_kit import voxels, write_image
from monai.networks.nets import UNet
from nnunet_kit import MODEL, Kind, write_results

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
MEMORY = int(3.5 * 2**30)
SECONDS = 900
THIRD = ("numpy", "torch", "onnx", "onnxruntime", "yaml", "nibabel", "pydicom", "safetensors", "monai", "matplotlib")
MODULES = (
    *sorted(name for name in sys.stdlib_module_names if not name.startswith("_")),
    *THIRD,
    *("sitecustomize", "usercustomize", "compress", "cli", "wandb", "tensorboard", "pip", "wheel", "google"),
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
def trap(tmp_path: Path, tiny_phantom: Path, sealed_path: Path, trained_once: Path, user: int | None) -> Path:
    """The hostile folder, with good models, a good image, good data and a trained run in it."""
    for name in MODULES:
        text = f"open({str(tmp_path / 'RAN')!r}, 'a').write({name!r})\nraise SystemExit({name!r})\n"
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "matplotlibrc").write_text("backend: module://json\n")
    (tmp_path / "conftest.py").write_text("raise SystemExit\n")
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe.nii.gz")
    os.mkfifo(tmp_path / "dataset.json")
    for name in ("a\nno problems", "\x1b]52;c;aGk=\x07", "x\u202egz.iin"):
        (tmp_path / f"{name}.nii.gz").write_bytes(b"x")
    (tmp_path / "good.yaml").write_text("experiment: {model_name: mine}\n")
    for name in ("model.onnx", "second.onnx"):
        shutil.copyfile(sealed_path, tmp_path / name)
    write_image(tmp_path / "heart.nii.gz", voxels())
    for name in ("a", "b"):
        write_image(tmp_path / "images" / f"{name}.nii.gz", voxels())
    shutil.copytree(tiny_phantom, tmp_path / "data")
    shutil.copytree(trained_once, tmp_path / "artifacts")
    (tmp_path / "home").mkdir()
    for path in (tmp_path, *tmp_path.rglob("*")):
        if user is not None and not path.is_symlink():
            os.chown(path, user, user)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith("pytest-"):
            folder.chmod(0o755)
    return tmp_path


@pytest.fixture
def others(trap: Path, user: int | None) -> Path:
    """Networks that others trained, in the hostile folder; nothing else is trained there."""
    shutil.rmtree(trap / "artifacts")
    write_results(trap, Kind())
    torch.save(UNet(**UNET).state_dict(), trap / "w.pth")  # pyright: ignore[reportArgumentType]
    (trap / "it.yaml").write_text(
        "preprocessing: {spacing_mm: [4.0, 4.0], size: [32, 32], clip_percentiles: [0.5, 99.5]}\n"
        f"labels: {{RV: 1, MYO: 2, LV: 3}}\nnetwork: {UNET}\n".replace("'", "")
    )
    for path in trap.rglob("*"):
        if user is not None and not path.is_symlink():
            os.chown(path, user, user)
    return trap


UNET = {"spatial_dims": 2, "in_channels": 1, "out_channels": 4, "channels": [8, 16], "strides": [2]}
_CONFIG = ("--config", "good.yaml", *settings("train.paths.train_dir=data"))
_RUN = "artifacts/cardiac"
Step = tuple[tuple[str, ...], tuple[int, ...]]
"""What is typed, and the exit codes that it may have."""
QUICK: dict[str, list[Step]] = {
    "version": [(("--version",), (0,))],
    "explain": [(("explain", "case"), (0,))],
    "init": [(("init", "--data", "data"), (0,))],
    "data check": [(("data", "check", "data"), (0,))],
    "info": [(("info", "model.onnx"), (0,))],
    "verify": [(("verify", "model.onnx", "--threads", "1"), (0,))],
    "predict": [(("predict", "model.onnx", "heart.nii.gz", "-o", "out", "--threads", "1"), (0,))],
    "predict here": [(("predict", "model.onnx", ".", "-o", "out", "--threads", "1"), (2,))],
    "predict --jobs": [(("predict", "model.onnx", "images", "-o", "out", "--threads", "1", "--jobs", "2"), (0,))],
    "ship": [(("ship", "model.onnx", "--ungated", "-o", "bundle", "--threads", "1"), (0,))],
    "bench": [(("bench", "model.onnx", "second.onnx", "--no-dice", *_CONFIG), (0,))],
}
SLOW: dict[str, list[Step]] = {
    "train": [(("train", "--restart", *_CONFIG), (0,))],
    "inspect": [(("inspect", *_CONFIG), (0,))],
    "sensitivity and plan": [
        (("sensitivity", "--slices", "4", *_CONFIG), (0,)),
        (("plan", "--target", "macs=0.5x", *_CONFIG), (0,)),
    ],
    "prune to ship": [
        (("prune", "--finetune", "none", *_CONFIG), (0,)),
        (("finetune", "--epochs", "1", *_CONFIG), (0,)),
        (("eval", *_CONFIG), (0,)),
        (("export", *_CONFIG), (0,)),
        (("bench", *_CONFIG), (0,)),
        (("gate", f"{_RUN}/baseline/final_model.onnx", f"{_RUN}/baseline/final_model.onnx", *_CONFIG), (0, 2, 4)),
        (
            ("quantize", f"{_RUN}/baseline/final_model.onnx", "--keep", "--slices", "4", "--budget", "0.9", *_CONFIG),
            (0,),
        ),
        (("ship", f"{_RUN}/baseline/final_model.onnx", "--ungated", "-o", "bundle", *_CONFIG), (0, 2, 4)),
    ],
    "run": [(("run", *_CONFIG), (0,))],
    "sweep": [(("sweep", *_CONFIG, "--set", "sweep.ratio_sets=[{name: half, ratios: {default: 0.5}}]"), (0,))],
    "data phantom": [(("data", "phantom", "made", "--patients", "2"), (0,))],
    "data convert": [(("data", "convert", ".", "made"), (2,))],
    "demo": [(("demo", *settings("data.phantom.patients=6")), (2,))],  # too few patients for its gate, at the end
}
IMPORTS: dict[str, list[Step]] = {
    "nnunet": [
        (("import-nnunet", MODEL, *_CONFIG), (0,)),
        (("export-nnunet", _RUN, "back", "--name", "dense"), (0,)),
    ],
    "torch": [(("import-torch", "monai.networks.nets:UNet", "w.pth", "--preprocessing", "it.yaml", *_CONFIG), (0,))],
}


def test_every_command_is_typed() -> None:
    typed = {words for steps in (*QUICK.values(), *SLOW.values(), *IMPORTS.values()) for words, _ in steps}
    assert not [name for name in runnable() if not any(" ".join(words).startswith(name) for words in typed)]


def nothing_of_it_runs(steps: list[Step], trap: Path, user: int | None) -> None:
    for words, codes in steps:
        done = _as(user, PROGRAM, *words, cwd=trap)
        assert done.returncode in codes, done.stdout + done.stderr
        assert not (trap / "RAN").exists(), (words, (trap / "RAN").read_text())
        assert "Traceback" not in done.stderr
        assert all(c.isprintable() or c == "\n" for c in done.stdout + done.stderr), done.stdout + done.stderr
        assert "no problems.nii.gz" not in done.stdout.splitlines()


needs_program = pytest.mark.skipif(not PROGRAM.is_file(), reason="the program is not installed beside this Python")


@needs_program
@pytest.mark.fuzz
@pytest.mark.parametrize("name", [*QUICK, *(SLOW if LONG else ())])
def test_nothing_of_the_folder_runs(name: str, trap: Path, user: int | None) -> None:
    nothing_of_it_runs({**QUICK, **SLOW}[name], trap, user)


@needs_program
@pytest.mark.fuzz
@pytest.mark.skipif(not LONG, reason="CARDIOCOMPRESS_FUZZ is not set")
@pytest.mark.parametrize("name", IMPORTS)
def test_nothing_runs_while_a_network_of_others_comes_in(name: str, others: Path, user: int | None) -> None:
    nothing_of_it_runs(IMPORTS[name], others, user)
