"""What idle threads should do while a network trains: sleep (OMP_WAIT_POLICY=PASSIVE, which the command sets) or spin.

    python benchmarks/waiting_policy.py

Times training steps of the width-32 U-Net on made-up images, alone and beside processes that only burn their core,
with the passive and with torch's default policy. Every cell is the median over the steps of fresh processes, which
take turns. Prints a Markdown table. The machine must have nothing else to do; minutes to half an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from statistics import median

from compress.runtime.machine import available_cores, cpu_flags, cpu_model

DEFAULT, PASSIVE = "default", "passive"
MOST = 4.0
"""A step beside the other load may take this many times a step alone."""
_POLICY_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
_BUSY = "while True: pass"

Key = tuple[str, str, bool]
"""Precision, policy, and whether other processes are busy beside."""


def time_steps(asked: argparse.Namespace) -> list[float]:
    """Seconds of each training step in this process, without the first two; fewer steps when time runs out."""
    import torch

    from compress.data.dataset import Batch
    from compress.models.build import build
    from compress.models.unet import dense_widths
    from compress.progress import Task
    from compress.train.recipe import Recipe
    from compress.train.trainer import Trainer

    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    network = build("unet", {"in_channels": 1, "out_channels": 4, "widths": dense_widths(asked.features)})
    recipe = Recipe(
        epochs=asked.steps + 2,
        batch_size=asked.batch,
        learning_rate=0.001,
        weight_decay=0.0,
        loss="ce_dice",
        schedule="constant",
        augmentation=0.0,
        seed=0,
        bf16=asked.worker == "bf16",
    )
    trainer = Trainer(network, recipe, steps_per_epoch=1, device=torch.device("cpu"))
    shape = (asked.batch, asked.size, asked.size)
    batch = Batch(torch.randn(asked.batch, 1, asked.size, asked.size), torch.randint(0, 4, shape))
    seconds, begin = [], time.perf_counter()
    for _ in range(asked.steps + 2):
        start = time.perf_counter()
        trainer.run_epoch([batch], Task())  # pyright: ignore[reportArgumentType]
        seconds.append(time.perf_counter() - start)
        if len(seconds) > 2 and time.perf_counter() - begin > asked.seconds:
            break
    return seconds[2:]


@contextmanager
def busy(count: int) -> Iterator[None]:
    """`count` processes beside, each of which burns one core."""
    loops = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def environment(policy: str, threads: int) -> dict[str, str]:
    """This process's, with the policy alone decided here."""
    kept = {name: value for name, value in os.environ.items() if name not in _POLICY_VARIABLES}
    return {**kept, "OMP_NUM_THREADS": str(threads), **({"OMP_WAIT_POLICY": "PASSIVE"} if policy == PASSIVE else {})}


def measure(asked: argparse.Namespace, precisions: list[str]) -> dict[Key, list[float]]:
    """Seconds per step of every cell; the cells take turns `asked.rounds` times."""
    cells = list(product(precisions, (DEFAULT, PASSIVE), (False, True)))
    found: dict[Key, list[float]] = {cell: [] for cell in cells}
    for turn in range(asked.rounds):
        for precision, policy, crowded in cells if turn % 2 == 0 else reversed(cells):
            command = [sys.executable, __file__, "--worker", precision, "--features", *map(str, asked.features)]
            for name in ("steps", "seconds", "size", "batch", "threads"):
                command += [f"--{name}", str(getattr(asked, name))]
            with busy(asked.busy if crowded else 0):
                done = subprocess.run(
                    command, env=environment(policy, asked.threads), stdout=subprocess.PIPE, text=True, check=True
                )
            found[precision, policy, crowded] += json.loads(done.stdout)
    return found


def table(found: Mapping[Key, list[float]], loops: int) -> str:
    """The medians, what the other load costs under each policy, and what sleeping costs on a quiet machine."""
    middle = {key: median(seconds) for key, seconds in found.items()}
    precisions = list(dict.fromkeys(key[0] for key in found))
    lines = [
        f"| training step | idle threads | alone | beside {loops} busy loops | times slower | steps timed |",
        "|---|---|---|---|---|---|",
    ]
    for precision, policy in product(precisions, (DEFAULT, PASSIVE)):
        alone, beside = (middle[precision, policy, crowded] for crowded in (False, True))
        counts = " + ".join(str(len(found[precision, policy, crowded])) for crowded in (False, True))
        times = f"{alone * 1e3:.0f} ms | {beside * 1e3:.0f} ms | {beside / alone:.1f}"
        lines.append(f"| {precision} | {policy} | {times} | {counts} |")
    lines.append("")
    for precision in precisions:
        cost = middle[precision, PASSIVE, False] / middle[precision, DEFAULT, False]
        slower = middle[precision, PASSIVE, True] / middle[precision, PASSIVE, False]
        verdict = "held" if slower <= MOST else "NOT held"
        lines.append(f"- {precision}: a step with the passive policy takes {cost:.3f} times the default's time alone;")
        lines.append(f"  at most {MOST:g} times slower beside the busy loops with the passive policy: {verdict}.")
    return "\n".join(lines)


def facts(asked: argparse.Namespace) -> str:
    """The machine and what was asked for, in one paragraph."""
    import torch

    told = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
    features = [flag for flag in told if flag in (cpu_flags() or ())]
    load = f", load {os.getloadavg()[0]:.2f} before" if hasattr(os, "getloadavg") else ""
    return (
        f"{cpu_model()} ({', '.join(features) or 'no features told'}), {available_cores()} cores{load}; "
        f"{platform.system()}, torch {torch.__version__}, {asked.threads} threads; U-Net {asked.features}, "
        f"batch {asked.batch}, {asked.size} x {asked.size} pixels."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10, help="steps per process, after two for warming up")
    parser.add_argument("--seconds", type=float, default=120, help="a process stops after this time")
    parser.add_argument("--rounds", type=int, default=3, help="fresh processes per cell")
    parser.add_argument("--features", type=int, nargs="+", default=[32, 64, 128, 256, 256])
    parser.add_argument("--size", type=int, default=128, help="pixels per side")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--busy", type=int, default=2, help="busy loops beside")
    parser.add_argument("--worker", choices=("fp32", "bf16"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        print(json.dumps(time_steps(asked)))
        return
    told = facts(asked)
    import torch

    from compress.train.device import use_bf16

    precisions = ["fp32", *(["bf16"] if use_bf16("auto", torch.device("cpu")) else [])]
    found = measure(asked, precisions)
    print(told, "", table(found, asked.busy), sep="\n")
    if "bf16" not in precisions:
        print("- bf16: not timed, this processor has no instructions for it.")


if __name__ == "__main__":
    main()
