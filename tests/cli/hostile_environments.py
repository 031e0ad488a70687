"""Machines that lack something or say nonsense: what is changed, what is typed, and what must be said."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dicom_kit
from hostile_kit import Place, mounted
from pytest import MonkeyPatch


@dataclass(frozen=True)
class Machine:
    """What a row may change: all of it is undone after the row."""

    here: Path
    patch: MonkeyPatch
    undo: ExitStack = field(default_factory=ExitStack)
    limits: dict[int, int] = field(default_factory=dict)
    """What the process may have while the command runs: `resource.RLIMIT_...` -> how much."""

    @contextmanager
    def limited(self) -> Iterator[None]:
        before = {what: resource.getrlimit(what) for what in self.limits}
        try:
            for what, most in self.limits.items():
                resource.setrlimit(what, (most, before[what][1]))
            yield
        finally:
            for what, earlier in before.items():
                resource.setrlimit(what, earlier)


Change = Callable[[Machine], object]


def _says(**variables: str) -> Change:
    return lambda machine: [machine.patch.setenv(name, value) for name, value in variables.items()]


def _lacks(package: str, *importers: str) -> Change:
    """As if it were not installed; `importers`: our modules that may have imported it in an earlier test."""

    def forget(machine: Machine) -> None:
        for name in importers:
            machine.patch.delitem(sys.modules, name, raising=False)
        for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
            machine.patch.delitem(sys.modules, name)
        machine.patch.setitem(sys.modules, package, None)

    return forget


def _disk(size: str) -> Change:
    def mount(machine: Machine) -> None:
        place = Place(machine.here, machine.here, machine.here, machine.here, undo=machine.undo)
        mounted(place, machine.here / "disk", size)

    return mount


def _limited(what: int, most: int) -> Change:
    return lambda machine: machine.limits.update({what: most})


def _gone(machine: Machine) -> None:
    """The folder that is stood in was deleted."""
    place = machine.here / "gone"
    place.mkdir()
    machine.patch.chdir(place)
    place.rmdir()


def _with(make: Callable[[Path], object], change: Change) -> Change:
    return lambda machine: (make(machine.here), change(machine))


TORCHRUN = {"RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29999"}
PREDICT = ("predict", "model.onnx", "heart.nii.gz", "-o", "out", "--threads", "1")
SHIP = ("ship", "model.onnx", "--ungated", "-o", "bundle", "--threads", "1")
TRAIN = ("train", "--config", "good.yaml")
ENVIRONMENTS: dict[str, tuple[Change, tuple[str, ...], int, str]] = {
    **{
        f"{number or 'no'} processes of torchrun": (
            _says(**TORCHRUN, WORLD_SIZE=number),
            TRAIN,
            3,
            "a number of processes is needed",
        )
        for number in ("", "0", "-2", "many", "2.5", "\u0662", "1" * 20)
    },
    "a rank of nobody's": (_says(**{**TORCHRUN, "RANK": "first"}, WORLD_SIZE="2"), TRAIN, 3, "do not meet"),
    "a port of nobody's": (_says(**{**TORCHRUN, "MASTER_PORT": "door"}, WORLD_SIZE="2"), TRAIN, 3, "do not meet"),
    **{
        f"a day of {day or 'nothing but a blank'}": (_says(SOURCE_DATE_EPOCH=day), SHIP, 2, "seconds since 1970")
        for day in ("yesterday", "-1", "1e9", "1" * 30, " ")
    },
    "no Ray for predict": (_lacks("ray"), (*PREDICT, "--engine", "ray"), 3, "[scale]"),
    "no Ray for sweeps": (_lacks("ray"), ("sweep", "--config", "good.yaml", "--engine", "ray"), 3, "[scale]"),
    "no matplotlib": (
        _lacks("matplotlib", "compress.inference.study_overlay"),
        (*PREDICT, "--overlays"),
        3,
        "[overlays]",
    ),
    "no pydicom": (
        _with(lambda here: dicom_kit.write_study(here / "scan"), _lacks("pydicom")),
        ("predict", "model.onnx", "scan", "-o", "out", "--threads", "1"),
        3,
        "[dicom]",
    ),
    "no SimpleITK": (
        _with(
            lambda here: (here / "heart.mha").write_text("NDims = 3\nElementDataFile = LOCAL\n"), _lacks("SimpleITK")
        ),
        ("predict", "model.onnx", "heart.mha", "-o", "out", "--threads", "1"),
        2,
        "[itk]",
    ),
    "no CUDA": (lambda machine: None, (*PREDICT, "--provider", "cuda"), 3, "'cuda' was asked for"),
    "no OpenVINO": (_lacks("openvino"), (*PREDICT, "--provider", "openvino"), 3, "openvino"),
    "a full disk under predict": (_disk("4k"), (*PREDICT[:3], "-o", "disk/out", "--threads", "1"), 3, "No space left"),
    "a full disk under ship": (_disk("16k"), (*SHIP[:3], "-o", "disk/bundle", "--threads", "1"), 3, "No space left"),
    "a full disk under init": (_disk("4k"), ("init", "disk"), 3, "No space left"),
    "files of no size": (_limited(resource.RLIMIT_FSIZE, 0), PREDICT, 3, "File too large"),
    "no more files": (_limited(resource.RLIMIT_NOFILE, 3), PREDICT, 3, "Too many open files"),
    "a folder that is gone": (_gone, ("data", "check", "."), 2, ""),
    "a folder that is gone, for training": (_gone, ("train",), 2, ""),
    "a folder that is gone, for init": (_gone, ("init",), 3, ""),
    "a name that is too long": (lambda machine: None, ("data", "check", "x" * 5000), 2, "File name too long"),
    "a model's name that is too long": (lambda machine: None, ("info", "x" * 5000), 2, ""),
    "an output's name that is too long": (
        lambda machine: None,
        (*PREDICT[:3], "-o", "x" * 5000, "--threads", "1"),
        2,
        "",
    ),
}
"""What is changed, what is typed, the exit code, and what must be said."""
