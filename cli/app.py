"""The command `cardiocompress`: its commands, and the one place where errors become exit codes."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import sys
from inspect import signature
from typing import Annotated, Any

import typer

from cli.bench import bench
from cli.chain import run, sweep
from cli.data import data
from cli.demo import demo
from cli.evaluate import evaluate
from cli.explain import explain
from cli.export import export
from cli.gate import gate
from cli.holding import release
from cli.import_nnunet import export_nnunet, import_nnunet
from cli.import_torch import import_torch
from cli.info import info
from cli.init import init
from cli.inspect import inspect
from cli.plan import plan
from cli.predict import predict
from cli.prune import finetune, prune
from cli.quantize import quantize
from cli.sensitivity import sensitivity
from cli.ship import ship
from cli.stopping import sigterm_as_interrupt, what_to_type
from cli.together import program, run_together
from cli.train import train
from cli.verify import verify

_INTERRUPTED = 130
"""What typer turns Ctrl-C into, and what `sigterm_as_interrupt` makes of SIGTERM."""
_LONGEST = 4000
"""Characters of a line of error: what it quotes may have no end."""
_UsageError: Any = typer.BadParameter.__base__
"""The base of every wrong word on the command line; typer gives it no public name."""

app = typer.Typer(
    name="cardiocompress",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Train, prune, export, run and measure cardiac MRI segmentation networks.",
    epilog="A first run: cardiocompress init; cardiocompress train; cardiocompress prune --ratios ratios.yaml; "
    "cardiocompress bench --provider cpu; cardiocompress predict model.onnx images -o masks. "
    "Exit codes: 2 bad input, 3 missing environment, 4 gate failed.",
)
_PANELS: dict[str, dict[str, Any]] = {
    "Prepare": {
        "demo": demo,
        "init": init,
        "import-nnunet": import_nnunet,
        "import-torch": import_torch,
        "data": data,
        "explain": explain,
    },
    "Train and prune": {
        "train": train,
        "inspect": inspect,
        "sensitivity": sensitivity,
        "plan": plan,
        "prune": prune,
        "finetune": finetune,
        "eval": evaluate,
        "run": run,
        "sweep": sweep,
    },
    "Export and prove": {
        "export": export,
        "quantize": quantize,
        "bench": bench,
        "gate": gate,
        "ship": ship,
        "export-nnunet": export_nnunet,
    },
    "Deploy": {"verify": verify, "info": info, "predict": predict},
}
"""The headings of `--help` and what stands under each, in the order of the work."""

for panel, commands in _PANELS.items():
    for name, found in commands.items():
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name, rich_help_panel=panel)
        else:
            app.command(name, rich_help_panel=panel)(found)


def _print_version(asked: bool) -> None:
    if asked:
        from compress import __version__

        typer.echo(f"cardiocompress {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the command itself."""


def main() -> None:
    """Run a command; a typed error or a wrong word prints one line and exits with its code."""
    from compress.errors import CardioCompressError

    _open_closed_streams()
    # Before torch is loaded, here and in every process that a command starts: GNU OpenMP's idle threads otherwise
    # spin, and beside any other load each step then waits for threads that only burn the cores they share.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Nor does any of those processes, whoever starts it, take a module out of the folder where the user types.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    atexit.register(gc.freeze)  # nothing is searched for cycles while the process ends: 0.1 s of every command
    try:
        with sigterm_as_interrupt() as stopped:
            code = run_together(lambda: app(standalone_mode=False, prog_name=app.info.name), stopped)
    except CardioCompressError as fault:
        _fail(f"error: {fault}", fault.exit_code)
    except ModuleNotFoundError as fault:
        _fail(f"error: {_missing(fault)}", 3)
    except MemoryError as fault:
        _fail(f"error: There is not enough memory: {fault or 'no size told'}. Use a smaller batch or image.", 3)
    except OSError as fault:  # what nobody further in has a better word for, such as output to a full disk
        where = f": {str(fault.filename)[:200]}" if fault.filename else ""
        wrong_word = fault.errno == errno.ENAMETOOLONG
        _fail(f"error: {fault.strerror or fault}{where}. Check the path, permissions and free space.", 3 - wrong_word)
    except _UsageError as fault:
        if type(fault).__name__ == "NoArgsIsHelpError":  # typer has shown the help by now
            sys.exit(fault.exit_code)
        _fail(f"error: {_usage(fault)}", fault.exit_code)
    except typer.Abort:  # what older versions of typer turn Ctrl-C into
        code = _INTERRUPTED
    except KeyboardInterrupt:  # between typer's end and ours
        code = _INTERRUPTED
    finally:
        release()
    if code == _INTERRUPTED:
        line = what_to_type(sys.argv[1:], _resuming(), program=program())
        _fail(f"interrupted: nothing half-written was kept. To go on: {line}", stopped.code)
    sys.exit(code)


def _open_closed_streams() -> None:
    """Without an output, the first file that is opened would get what libraries print."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _resuming() -> set[str]:
    """The commands that have --resume."""
    commands: dict[str, Any] = {}
    for name, found in (pair for panel in _PANELS.values() for pair in panel.items()):
        if isinstance(found, typer.Typer):
            below = [each.callback for each in found.registered_commands if each.callback]
            commands |= {f"{name} {each.__name__}": each for each in below}
        else:
            commands[name] = found
    return {name for name, found in commands.items() if "resume" in signature(found).parameters}


def _usage(fault: Any) -> str:
    command = fault.ctx.command_path if fault.ctx else app.info.name
    return f"{fault.format_message().rstrip('.')}. Try '{command} --help'."


def _missing(fault: ModuleNotFoundError) -> str:
    """What to install. A package of our own that is missing is a defect, and keeps its traceback."""
    package = (fault.name or "").partition(".")[0]
    if package in ("", "compress", "cli"):
        raise fault
    from compress.extras import extra_of, install_command

    return f"This needs the package '{package}', which is not installed. Try: {install_command(extra_of(package))}."


def _fail(line: str, code: int) -> None:
    from cli.console import errors
    from cli.printable import printable

    text = printable(" ".join(line.split()))
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
    errors.print(text, style="bold red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)
