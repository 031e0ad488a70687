"""`cardiocompress plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.options import ConfigOption, ConfiguredProviderOption, SetOption
from cli.sensitivity import SlicesOption

if TYPE_CHECKING:
    from compress.prune.target import Target
    from compress.steps.planning.plan import BudgetPlan


def plan(
    target: Annotated[
        str, typer.Option("--target", "-t", help="latency=0.1x (of dense) or 5ms, macs=0.1x or 200M, params=0.05x.")
    ],
    config: ConfigOption = None,
    overrides: SetOption = None,
    provider: ConfiguredProviderOption = None,
    align: Annotated[
        str | None, typer.Option("--align", help="Channels that widths are multiples of, or none.")
    ] = None,
    slices: SlicesOption = 128,
    depth: Annotated[
        bool, typer.Option("--depth/--no-depth", help="Whether convolutions and the level of full resolution may go.")
    ] = True,
    precision: Annotated[
        Literal["float32", "int8"],
        typer.Option(
            "--precision", help="int8: widths for layers that compute in INT8 where that is faster (latency)."
        ),
    ] = "float32",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where to write ratios.yaml as well.")] = None,
) -> None:
    """Choose every convolution's width for a budget, and write the ratios that `cardiocompress prune` then applies.

    Weighs how much Dice each block loses (see `cardiocompress sensitivity`) against what narrowing it saves. Beside
    widths it weighs depth: double convolutions that become single ones, and the network without full resolution.
    Latency is predicted from layers measured on the provider; then the pruned network is exported and really measured.
    With --precision int8 layers are measured in both precisions, the target is a share of the dense network in float32,
    and the file says which layers stay in float32, for `cardiocompress quantize --ratios`.
    """
    from cli.options import open_workspace
    from compress.errors import ConfigError
    from compress.prune.target import parse_target

    wanted = parse_target(target)
    if align not in (None, "none") and not (align.isdigit() and int(align) > 0):
        raise ConfigError(f"--align is '{align}'; a positive whole number or none is needed.")
    ws = open_workspace(config, overrides)
    from compress.steps.planning.plan import plan_budget
    from compress.steps.planning.request import BudgetRequest

    chosen = provider or ws.config.bench.provider
    found = plan_budget(ws, BudgetRequest(wanted, chosen, align, slices, depth, precision, out))
    _show(found, chosen)


def _show(found: BudgetPlan, provider: str) -> None:
    from cli.console import say, table

    rows = [[w.name, str(w.before), str(w.after), f"{w.ratio:.3f}", w.reason] for w in found.widths]
    table(f"Widths for {found.target.text}", ["convolution", "before", "after", "removed", "why"], rows)
    if found.moves:
        what = f"Depth, weighed for {found.target.text}{' (phantom)' if found.phantom else ''}"
        lines = [[m.name, f"{m.dice_lost:.3f}", "yes" if m.chosen else "no", m.reason] for m in found.moves]
        table(what, ["single, or gone", "Dice lost alone", "taken", "why"], lines)
    if found.float_layers is not None:
        say(f"In INT8, but for these layers, which are faster in float32: {', '.join(found.float_layers) or 'none'}.")
    dense, share = found.dense_cost, found.predicted
    word = "Predicted" if found.timing else "Counted"
    say(f"{word}: {_amount(found.target, share * dense)}, {share:.4f}x of dense ({_amount(found.target, dense)}).")
    if found.timing:
        timing, interval = found.timing, found.timing.share
        say(
            f"Measured on {provider}, in turn with dense: {_amount(found.target, timing.pruned)} of "
            f"{_amount(found.target, timing.dense)}, {interval.median:.4f}x [{interval.low:.4f}, {interval.high:.4f}]."
        )
        say(f"Error of the prediction: {found.error:+.1%} of the measured share.")
        if timing.dense_cpu is not None and timing.pruned_cpu is not None:
            load = "" if timing.load is None else f"; load before timing {timing.load:.1f}"
            say(f"Processor time: {timing.pruned_cpu * 1e3:.2f} ms of {timing.dense_cpu * 1e3:.2f} ms{load}.")
        for warning in timing.warnings:
            say(f"warning: {warning}")
    say(f"Next: cardiocompress prune --ratios {found.ratios}")
    if found.float_layers is not None:
        say(f"Then: cardiocompress export, and cardiocompress quantize MODEL --ratios {found.ratios}")


def _amount(target: Target, value: float) -> str:
    if target.quantity == "latency":
        return f"{value * 1e3:.2f} ms"
    return f"{value / 1e6:.3f} M {'MACs' if target.quantity == 'macs' else 'parameters'}"
