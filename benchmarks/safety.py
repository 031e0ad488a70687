"""Kill commands at random moments, resume them, and compare every file with an uninterrupted run's.

    python benchmarks/safety.py --work folder --kills 25 [--nnunet results.zip]

Each command (`works` lists them; all on phantom data, of import-nnunet the zip that is named) runs twice
without interruption; files that differ between these two (they tell seconds) are compared without their numbers of
seconds, or named. Then it is killed once at a random moment, by SIGKILL and SIGTERM in turn, and resumed, `--kills`
times from the beginning. Processes are forked from one that has imported everything, so that the moments fall
into the work and not into Python's start. Needs the [train] extra and a system that forks.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import compress.pipeline
import compress.steps.quantizing.quantize
from cli.app import main as command
from compress.data.phantom import write_phantom
from compress.files import digest_bytes
from compress.runtime.machine import cpu_model
from compress.steps.reporting import refresh

TINY = (
    *("data.size=[32, 32]", "data.spacing_mm=[4.0, 4.0]", "train.val_ratio=0.34", "train.batch_size=4"),
    *("train.model.features=[4, 8]", "train.parameters.num_epochs=6", "train.parameters.save_interval=2"),
    *("train.parameters.precision=fp32", "experiment.device=cpu", "train.num_slices_per_volume=3"),
    *("evaluation.num_visuals=0", "evaluation.num_slices_per_volume=2"),
    *("pruning.ratios.align=none", "pruning.finetune_epochs=4"),
    *("sweep.inits=[keep, random]", "sweep.seeds=[0]"),
)
TIMED = re.compile(r'"(seconds|[a-z_]*_seconds|time|date)": [^,}\n]+')
MINUTES = re.compile(r"\| \d+\.\d \|$", re.MULTILINE)
"""The last column of a table of networks."""


@dataclass(frozen=True)
class Work:
    """One command that is killed."""

    name: str
    words: tuple[str, ...]
    resume: tuple[str, ...]
    results: str
    """The folder that is compared."""
    prepare: Callable[[Path], None] = lambda folder: None
    codes: tuple[int, ...] = (0,)
    """The exit codes of a command that came to its end; a gate may refuse."""


def start(words: tuple[str, ...], folder: Path) -> int:
    """A forked process that runs the command in `folder`, as leader of its own group; its pid."""
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    os.chdir(folder)
    log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    sys.argv = ["cardiocompress", *words]
    try:
        command()
    except SystemExit as stop:
        os._exit(int(stop.code or 0))
    finally:
        os._exit(99)


def finish(words: tuple[str, ...], folder: Path, codes: tuple[int, ...] = (0,)) -> float:
    """Run to the end; the seconds that it took. Exits when the command fails."""
    began = time.perf_counter()
    _, status = os.waitpid(start(words, folder), 0)
    if os.waitstatus_to_exitcode(status) not in codes:
        sys.exit(f"{words} failed in {folder}:\n{(folder / 'log.txt').read_text()[-3000:]}")
    return time.perf_counter() - began


def content(folder: Path) -> dict[str, str]:
    """Digest of every file by its name, without what says how long something took."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            text = path.read_bytes()
            if path.suffix in (".json", ".jsonl"):
                text = TIMED.sub("", text.decode()).encode()
            if path.suffix == ".md":
                text = MINUTES.sub("", text.decode()).encode()
            found[str(path.relative_to(folder))] = digest_bytes(text)
    return found


def partial(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*partial*")] if folder.is_dir() else []


def fresh(folder: Path, work: Work) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    work.prepare(folder)
    return folder


def tried(work: Work, root: Path, kills: int, seed: int) -> dict[str, object]:
    """Kill and resume `kills` times; the figures."""
    draw = random.Random(seed)
    whole, control = fresh(root / "whole", work), fresh(root / "control", work)
    seconds = min(finish(work.words, folder, work.codes) for folder in (whole, control))
    expected, again = content(whole / work.results), content(control / work.results)
    varying = sorted(name for name in expected.keys() | again.keys() if expected.get(name) != again.get(name))
    equal, codes, faults, left, number, late = 0, {}, [], 0, 0, 0
    while number < kills:
        folder = fresh(root / "killed", work)
        what = (signal.SIGKILL, signal.SIGTERM)[number % 2]
        pid = start(work.words, folder)
        time.sleep(draw.uniform(0, seconds))
        os.kill(pid, what)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code in work.codes:  # on a busy machine some runs are faster than the two that were timed
            late += 1
            continue
        number += 1
        codes[f"{what.name} {code}"] = codes.get(f"{what.name} {code}", 0) + 1
        left += what == signal.SIGTERM and bool(partial(folder))
        finish(work.resume, folder, work.codes)
        found = content(folder / work.results)
        unlike = [n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n) and n not in varying]
        unlike += partial(folder / work.results)
        equal += not unlike
        if unlike:
            faults.append(f"kill {number} ({what.name}): {sorted(unlike)[:5]}")
            shutil.copytree(folder, root / f"fault-{number}", dirs_exist_ok=True)
        print(f"{work.name}: {equal} of {number} equal, {codes}, {left} partial", file=sys.stderr, flush=True)
    return {
        "command": work.name,
        "kills": kills,
        "equal": equal,
        "exit codes": codes,
        "came too late and were drawn again": late,
        "files compared": len(expected) - len(varying),
        "differ between two uninterrupted runs": varying,
        "partial files after SIGTERM": left,
        "seconds uninterrupted": round(seconds, 2),
        "faults": faults,
    }


def works(root: Path, nnunet: Path | None = None) -> list[Work]:
    """The commands; their data are made once."""
    data = root / "phantom"
    if not data.is_dir():
        write_phantom(root / ".phantom", patients=4, seed=11).rename(data)
    settings = tuple(part for value in (*TINY, f"train.paths.train_dir={data}") for part in ("--set", value))
    empty = root / "empty.yaml"
    empty.write_text("{}\n")
    settings = ("--config", str(empty), *settings)
    trained = root / "trained"
    if not trained.is_dir():
        making = root / ".trained"
        making.mkdir(exist_ok=True)
        finish(("train", *settings), making)
        finish(("export", *settings), making)
        making.rename(trained)

    judges = root / "judges"
    if not judges.is_dir():
        write_phantom(root / ".judges", patients=10, seed=12).rename(judges)

    def with_dense(folder: Path) -> None:
        shutil.copytree(trained / "artifacts", folder / "artifacts")

    def with_two(folder: Path) -> None:
        with_dense(folder)
        shutil.copyfile(model, folder / "candidate.onnx")
        shutil.copyfile(half, folder / "half.onnx")

    model = trained / "artifacts/cardiac/baseline/final_model.onnx"
    half = trained / "half.onnx"
    to_half = ("quantize", str(model), "--to", "fp16", "--provider", "cpu", "--keep")
    if not half.is_file():
        finish((*to_half, "--out", str(half), *settings), trained)
    prune = ("prune", "--rounds", "2", *settings)
    here = "artifacts/cardiac/baseline/final_model.onnx"
    quantize = ("quantize", here, "--method", "minmax", "--keep", *settings)
    whole = ("--set", "evaluation.num_slices_per_volume=null", "--set", f"evaluation.paths.eval_dir={judges}")
    gate = ("gate", here, "half.onnx", *settings, *whole)
    ship = ("ship", "candidate.onnx", "--ungated", "--threads", "1", "-o", "bundle")
    convert = ("data", "convert", str(data), "nifti")
    network, told = monai_network(root)
    torch_words = ("import-torch", "monai.networks.nets:UNet", str(network), "--preprocessing", str(told))
    bring = ("import-nnunet", str(nnunet))
    segment = ("predict", str(model), str(data), "-o", "masks", "--threads", "1", "--force")
    return [
        Work("train", ("train", *settings), ("train", "--resume", *settings), "artifacts/cardiac"),
        Work("prune --rounds 2", prune, (*prune, "--resume"), "artifacts/cardiac", with_dense),
        Work("sweep", ("sweep", *settings), ("sweep", *settings), "artifacts/cardiac", with_dense),
        Work("predict", segment, (*segment, "--resume"), "masks"),
        Work("predict --jobs 2", (*segment, "--jobs", "2"), (*segment, "--jobs", "2", "--resume"), "masks"),
        Work("quantize", quantize, quantize, "artifacts/cardiac", with_dense),
        Work("gate", gate, gate, "artifacts/cardiac", with_two, codes=(0, 4)),
        Work("ship", ship, ship, "bundle", with_two),
        Work("ship --web", (*ship, "--web"), (*ship, "--web"), "bundle", with_two),
        Work("data convert", convert, (*convert, "--resume"), "nifti"),
        Work("import-torch", torch_words, torch_words, "artifacts"),
        *([Work("import-nnunet", bring, bring, "artifacts")] if nnunet else []),
    ]


def monai_network(root: Path) -> tuple[Path, Path]:
    """Random weights of a MONAI network, and the file that describes it."""
    import torch
    from monai.networks.nets.unet import UNet

    arguments = {"spatial_dims": 2, "in_channels": 1, "out_channels": 4, "channels": [8, 16], "strides": [2]}
    weights, told = root / "monai.pth", root / "monai.yaml"
    if not told.is_file():
        torch.manual_seed(0)
        torch.save(UNet(**arguments).state_dict(), weights)
        rules = {"spacing_mm": [4.0, 4.0], "size": [32, 32], "clip_percentiles": [0.5, 99.5]}
        document = {"preprocessing": rules, "labels": {"RV": 1, "MYO": 2, "LV": 3}, "network": arguments}
        told.write_text(json.dumps(document))  # JSON is YAML
    return weights, told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for data and results; may hold earlier ones")
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nnunet", type=Path, help="a results zip for import-nnunet; without it that one is left out")
    parser.add_argument("--only", action="append", help="a command, as `works` calls it; repeatable")
    asked = parser.parse_args()
    refresh.write_pages = lambda ws: None  # drawn anew after every command: most of the seconds, none of the results
    compress.pipeline.write_pages = lambda ws: (Path(), Path())
    asked.work.mkdir(parents=True, exist_ok=True)
    print(cpu_model(), flush=True)
    for work in works(asked.work.resolve(), asked.nnunet and asked.nnunet.resolve()):
        if asked.only is None or work.name in asked.only:
            figures = tried(work, asked.work.resolve() / work.name.replace(" ", ""), asked.kills, asked.seed)
            print(json.dumps(figures, indent=2), flush=True)


if __name__ == "__main__":
    main()
