"""`ship --wheels`: what a machine without a network installs, for every platform that a hospital may have."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement

from compress.errors import EnvironmentFault
from compress.progress import SILENT, Progress

PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "Linux x86-64": (
        {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
        ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    ),
    "Linux aarch64": (
        {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "aarch64"},
        ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
    ),
    "Windows": (
        {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"},
        ("win_amd64",),
    ),
    "macOS": (
        {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix", "platform_machine": "arm64"},
        ("macosx_14_0_arm64", "macosx_14_0_universal2"),
    ),
}
"""What the markers of requirements see on a platform, and the tags of its wheels, newest first."""


def collect_wheels(requirements: str, folder: Path, *, progress: Progress = SILENT) -> None:
    """Download the wheels that a requirements.txt with hashes names into `folder`, for all `PLATFORMS` and `PYTHONS`.

    pip compares every file with its digest. Raises `EnvironmentFault` when a file cannot be had: no network, no pip, or
    no wheel for a platform.
    """
    folder.mkdir()
    places = [(platform, python) for platform in PLATFORMS for python in PYTHONS]
    with progress.task("Collecting wheels", len(places)) as task:
        for platform, python in places:
            _download(_wanted(requirements, platform, python), folder, platform, python)
            task.advance(info=f"{platform}, Python {python}")


def _wanted(requirements: str, platform: str, python: str) -> str:
    """The lines that hold there, without their markers: pip would ask those of the machine that it runs on."""
    sees = PLATFORMS[platform][0] | {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    kept = []
    for line in requirements.replace("\\\n", " ").splitlines():
        named, *hashes = line.split(" --hash=")
        if named.startswith("./"):  # the program's own wheel lies in the bundle
            continue
        wanted = Requirement(named)
        if wanted.marker is None or wanted.marker.evaluate(sees):
            kept.append(" --hash=".join([f"{wanted.name}{wanted.specifier}", *map(str.strip, hashes)]))
    return "\n".join(kept) + "\n"


def _download(requirements: str, folder: Path, platform: str, python: str) -> None:
    with tempfile.TemporaryDirectory(prefix="cardiocompress-wheels-") as scratch:
        listed = Path(scratch, "requirements.txt")
        listed.write_text(requirements, encoding="utf-8")
        command = [
            *(sys.executable, "-P", "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--require-hashes", "--only-binary=:all:", "--no-deps", "--requirement", str(listed)),
            *("--dest", str(folder), "--implementation", "cp", "--python-version", python),
            *(word for tag in PLATFORMS[platform][1] for word in ("--platform", tag)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = said[-1] if said else "nothing was said"
        raise EnvironmentFault(
            f"The wheels for {platform}, Python {python}, could not be collected ({reason}).",
            cure="Check the network, or ship without --wheels.",
        )
