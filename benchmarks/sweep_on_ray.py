"""The same sweep on this machine, on a local Ray cluster of two workers, and there with one worker killed.

    python benchmarks/sweep_on_ray.py --work folder

A tiny network on phantom data: what is compared is the table and every file of the result, not the speed. The worker is
killed by SIGKILL while its trial trains. Needs the [train] and [scale] extras and Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
import time
from itertools import pairwise
from pathlib import Path

from safety import content, finish, fresh, works

from compress.config.read import load_config
from compress.pipeline import sweep
from compress.progress import Progress
from compress.runtime.machine import cpu_model
from compress.steps.sweeping.engines import needs_of
from compress.steps.workspace import Workspace

TRIALS = ("sweep.inits=[keep, random]", "sweep.seeds=[0, 1]")
_TASK = b"ray::_there"
"""What Ray calls a process that works on a task of ours."""


class Said(Progress):
    """What the sweep says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)

    warn = note


def working(ancestor: int) -> list[int]:
    """Descendants of a process that have a task of Ray's."""
    parents, found = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if (folder / "cmdline").read_bytes().startswith(_TASK):
                found.append(int(folder.name))
        except OSError:
            continue  # it has ended

    def descends(pid: int) -> bool:
        return pid == ancestor or (pid in parents and descends(parents[pid]))

    return [pid for pid in found if descends(pid)]


def kill_one(folder: Path, killed: list[str]) -> None:
    """Kill a worker of this process's cluster once its trial has written the checkpoint of an epoch."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not killed:
        begun = list(folder.glob("pruned/*/checkpoints/resume.safetensors"))
        if begun and (pids := working(os.getpid())):
            os.kill(pids[0], signal.SIGKILL)
            killed.append(begun[0].parts[-3])
        time.sleep(0.05)


def ran(work, words: tuple[str, ...], folder: Path, *, kill: bool = False) -> dict[str, object]:
    """One sweep on the cluster, in `folder`: its files, seconds, and what was said of what was taken up again."""
    os.chdir(fresh(folder, work))
    overrides = [value for flag, value in pairwise(words) if flag == "--set"]
    said, killed = Said(), list[str]()
    ws = Workspace(load_config(Path(words[words.index("--config") + 1]), overrides), said)
    if kill:
        threading.Thread(target=kill_one, args=(ws.run.root.absolute(), killed), daemon=True).start()
    began = time.perf_counter()
    sweep(ws, engine="ray", needs=needs_of(ws, "ray", cpus=1, gpus=None))
    seconds = time.perf_counter() - began
    taken_up = [line for line in said.lines if "resuming after" in line]
    again = Said()
    ws.progress = again
    sweep(ws, engine="ray", needs=needs_of(ws, "ray", cpus=1, gpus=None))
    kept = sum("already done" in line for line in again.lines)
    return {"seconds": round(seconds, 1), "killed": killed, "taken up again": taken_up, "kept by a second call": kept}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    root = parser.parse_args().work.resolve()
    root.mkdir(parents=True, exist_ok=True)
    work = next(work for work in works(root) if work.name == "sweep")
    words = (*work.words, *(part for value in TRIALS for part in ("--set", value)))
    here = fresh(root / "local", work)
    print(cpu_model(), json.dumps({"local, seconds": round(finish(words, here), 1)}), flush=True)
    expected = content(here / work.results)
    for name, kill in (("two workers", False), ("one of two workers killed", True)):
        folder = root / name.replace(" ", "-")
        figures = ran(work, words, folder, kill=kill)
        found = content(folder / work.results)
        names = (expected.keys() | found.keys()) - {"report.html", "report.md"}
        unlike = sorted(n for n in names if expected.get(n) != found.get(n))
        print(json.dumps({"sweep": name, **figures, "files": len(names), "unlike": unlike}, indent=2), flush=True)


if __name__ == "__main__":
    main()
