"""Other people's networks at half their channels: this engine beside Torch-Pruning and NVIDIA's Model Optimizer.

    pip install --no-deps torch-pruning==1.6.1 dynamic-network-architectures
    pip install --no-deps nvidia-modelopt==0.47.0 torchprofile==0.0.4 pulp omegaconf; pip install huggingface_hub
    python benchmarks/third_party.py --out table.md

Every network of tests/prune/zoo.py is pruned, run, reloaded into a freshly built network, exported to ONNX
and compared there, and trained for one step. Nothing is timed, so a busy machine does not change the table.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path

import torch
from torch import nn

from compress.export.onnx import export_onnx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "prune"))
import zoo  # pyright: ignore[reportMissingImports] (it lies in a folder of the tests)

RATIO, DIVISOR, TOLERANCE = 0.5, 16, 1e-4
MARGIN = 5
"""Percent of the parameters that FastNAS may leave beyond the share of half of all channels: it searches."""
PACKAGES = (
    "torch",
    "torch-pruning",
    "nvidia-modelopt",
    "monai",
    "dynamic-network-architectures",
    "onnxruntime-gpu",
    "onnxruntime",
)
CHECKS = ("runs", "reloads", "ONNX", "trains")
Reload = Callable[[Path], tuple[nn.Module, str]]
"""Folder to write in -> the network read back, and by what means."""


@dataclass
class Row:
    """What one tool made of one network; a check without an answer was not reached."""

    network: str
    tool: str
    left: str = ""
    answers: dict[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def passed(self) -> bool:
        return set(self.answers) == set(CHECKS) and not self.note

    def line(self) -> str:
        cells = [self.network, self.tool, self.left, *(self.answers.get(c, "") for c in CHECKS), self.note]
        return "| " + " | ".join(cell.replace("|", "/") or "-" for cell in cells) + " |"


def ours(entry: zoo.Entry) -> tuple[nn.Module, Reload]:
    from compress.prune import load, rank, rebuild, save

    model = entry.build().eval()
    plan = rank(model, zoo.image(entry), ratio=RATIO, align="none")
    small = rebuild(model, plan)

    def reload(folder: Path) -> tuple[nn.Module, str]:
        save(small, plan, folder / "small.safetensors")
        return load(entry.build, folder / "small.safetensors"), "plan"

    return small, reload


def torch_pruning(entry: zoo.Entry) -> tuple[nn.Module, Reload]:
    """In place, as its readme shows, without its `round_to`, for exactly half of the channels."""
    import torch_pruning as tp

    def pruner(model: nn.Module) -> tp.pruner.BasePruner:
        return tp.pruner.MagnitudePruner(
            model,
            zoo.image(entry),
            importance=tp.importance.MagnitudeImportance(p=1),
            pruning_ratio=RATIO,
            ignored_layers=output_layers(entry, model),
        )

    model = entry.build().eval()
    first = pruner(model)
    first.step()

    def reload(folder: Path) -> tuple[nn.Module, str]:
        """By its pruning history as JSON where that works (its readme has only the pickle)."""
        try:
            twin = entry.build().eval()
            history = json.loads(json.dumps(first.pruning_history()))
            pruner(twin).load_pruning_history(history)
            twin.load_state_dict(model.state_dict())
            return twin, "history"
        except Exception:  # whatever it raises, the pickle is what is left
            torch.save(model, folder / "small.pth")
            return torch.load(folder / "small.pth", weights_only=False), "pickle"

    return model, reload


def model_optimizer(entry: zoo.Entry) -> tuple[nn.Module, Reload]:
    """FastNAS, the only structured pruning of NVIDIA's Model Optimizer for networks of convolutions.

    Each layer may keep half of its channels or all, to the channel; its search looks for the widths, with a score that
    prefers none.
    """
    import modelopt.torch.opt as mto
    import modelopt.torch.prune as mtp

    model = entry.build().eval()
    wanted = {
        "channels_ratio": (RATIO, 1.0),
        "channel_divisor": 1,
        "features_ratio": (RATIO, 1.0),
        "feature_divisor": 1,
    }
    known = mtp.fastnas.FastNASConfig().model_dump()
    rules = {
        kind: {"*": {key: wanted.get(key, value) for key, value in rule["*"].items()}} for kind, rule in known.items()
    }
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        small, _ = mtp.prune(
            model,
            mode=[("fastnas", rules)],
            constraints={"params": f"{100 * RATIO**2 + MARGIN:g}%"},
            dummy_input=zoo.image(entry),
            config={
                "data_loader": [zoo.image(entry, batch=2)],
                "collect_func": lambda batch: batch,
                "score_func": lambda _: 0.0,
                "checkpoint": str(Path(folder) / "search.pth"),
            },
        )

    def reload(folder: Path) -> tuple[nn.Module, str]:
        mto.save(small, folder / "small.pth")
        return mto.restore(entry.build().eval(), folder / "small.pth"), "pickle"

    return small, reload


TOOLS = {"ours": ours, "Torch-Pruning": torch_pruning, "Model Optimizer": model_optimizer}


def output_layers(entry: zoo.Entry, model: nn.Module) -> list[nn.Module]:
    """The modules whose channels are the network's outputs, auxiliary ones of training included."""
    program = torch.export.export(entry.build().train(), (zoo.image(entry, batch=2),), strict=False)
    names = {spec.arg.name: spec.target for spec in program.graph_signature.input_specs}
    open_nodes, seen, found = [program.graph.output_node()], set(), []
    while open_nodes:
        node = open_nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        if str(node.target).startswith(("aten.conv", "aten.linear")):
            found.append(model.get_submodule(str(names[node.all_input_nodes[1].name]).rpartition(".")[0]))
        else:
            open_nodes += node.all_input_nodes
    return found


def measure(name: str, tool: str) -> Row:
    """Prune and check; the first failure ends the row and stands in its note."""
    entry, row = zoo.ZOO[name], Row(name, tool)
    if entry.missing:
        row.note = f"skipped: {entry.missing}"
        return row
    doing, image = "prune", zoo.image(entry)
    try:
        small, reload = TOOLS[tool](entry)
        dense = entry.build().eval()
        row.left = f"{100 * size(small) / size(dense):.1f}%"
        with tempfile.TemporaryDirectory() as folder:
            checks = {
                "runs": lambda: check_runs(dense, small, image),
                "reloads": lambda: check_reload(reload, small, image, Path(folder)),
                "ONNX": lambda: check_onnx(small, image, Path(folder) / "small.onnx"),
                "trains": lambda: check_step(small, zoo.image(entry, batch=2)),
            }
            for doing, check in checks.items():
                row.answers[doing] = check()
    except Exception as fault:  # the tools raise whatever they like; that is what the table is about
        row.note = f"{doing}: {first_line(fault)}"
    return row


def size(model: nn.Module) -> int:
    return sum(tensor.numel() for tensor in model.parameters())


def outputs(model: nn.Module, image: torch.Tensor) -> list[torch.Tensor]:
    made = model(image)
    return [made] if isinstance(made, torch.Tensor) else list(made)


def check_runs(dense: nn.Module, small: nn.Module, image: torch.Tensor) -> str:
    with torch.no_grad():
        expected, got = outputs(dense, image), outputs(small.eval(), image)
    assert [t.shape for t in got] == [t.shape for t in expected], "other output shapes than the dense network's"
    assert all(t.isfinite().all() for t in got), "non-finite outputs"
    return "yes"


def check_reload(reload: Reload, small: nn.Module, image: torch.Tensor, folder: Path) -> str:
    again, means = reload(folder)
    with torch.no_grad():
        pairs = zip(outputs(small.eval(), image), outputs(again.eval(), image), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs), "the reloaded network computes something else"
    return means


def check_onnx(small: nn.Module, image: torch.Tensor, path: Path) -> str:
    """Largest |torch - ONNX Runtime| on the CPU, at another image size than the one exported with."""
    import onnxruntime

    export_onnx(small, path, divisor=DIVISOR, channels=image.shape[1])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    theirs = [torch.from_numpy(array) for array in session.run(None, {"image": image.numpy()})]
    with torch.no_grad():
        worst = max(float((a - b).abs().max()) for a, b in zip(outputs(small.eval(), image), theirs, strict=True))
    assert worst <= TOLERANCE, f"differs from torch by {worst:.1e}"
    return f"{worst:.0e}"


def check_step(small: nn.Module, image: torch.Tensor) -> str:
    optimiser = torch.optim.SGD(small.train().parameters(), lr=1e-3)
    loss = torch.stack([(t - 1).square().mean() for t in outputs(small, image)]).sum()
    loss.backward()
    grads = [tensor.grad for tensor in small.parameters() if tensor.grad is not None]
    assert grads and all(grad.isfinite().all() for grad in grads), "no finite gradients"
    optimiser.step()
    with torch.no_grad():
        assert all(t.isfinite().all() for t in outputs(small, image)), "non-finite outputs after one step"
    return "yes"


def first_line(fault: Exception) -> str:
    """Type, message and place, without folders."""
    text = (str(fault).strip().splitlines() or [""])[0][:110]
    frame = traceback.extract_tb(fault.__traceback__)[-1]
    return f"{type(fault).__name__}: {text} ({Path(frame.filename).name}:{frame.lineno})"


def table(rows: Sequence[Row]) -> str:
    head = ["network", "tool", "parameters left", *CHECKS, "failure"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *(row.line() for row in rows)]
    for tool in dict.fromkeys(row.tool for row in rows):
        mine = [row for row in rows if row.tool == tool]
        lines.append(f"\n{tool}: {sum(row.passed for row in mine)} of {len(mine)} networks pass every check.")
    known = {found.metadata["Name"].lower().replace("_", "-"): found.version for found in distributions()}
    versions = ", ".join(f"{name} {known[name]}" for name in PACKAGES if name in known)
    lines.append(f"\nRatio {RATIO}, no alignment; ONNX tolerance {TOLERANCE}. {versions}.")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="also write the table here")
    parser.add_argument("--tool", choices=TOOLS, action="append", help="only this tool")
    parser.add_argument("--only", choices=zoo.ZOO, action="append", metavar="NETWORK", help="only this network")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")  # the other packages' deprecations are not what is measured
    rows = []
    for name in chosen.only or zoo.ZOO:
        for tool in chosen.tool or TOOLS:
            rows.append(measure(name, tool))
            print(rows[-1].line(), file=sys.stderr, flush=True)
    print(table(rows))
    if chosen.out:
        chosen.out.write_text(table(rows))


if __name__ == "__main__":
    main()
