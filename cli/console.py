"""The terminal: one rich console, progress bars, tables; the only place that formats for people."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from cli.printable import printable
from compress.progress import Progress, Task

_WIDE = 140
"""Columns where the output is a file or a pipe: tables then need not be squeezed into 80."""

console = Console(width=None if sys.stdout.isatty() else _WIDE)
errors = Console(stderr=True, width=None if sys.stderr.isatty() else _WIDE)


class _BarTask(Task):
    def __init__(self, bars: Bars, name: str, total: int) -> None:
        self.bars = bars
        self.id = bars.add_task(_safe(name), total=total, info="")

    def advance(self, steps: int = 1, *, info: str = "") -> None:
        if info:
            self.bars.update(self.id, advance=steps, info=_safe(info))
        else:
            self.bars.update(self.id, advance=steps)


class RichProgress(Progress):
    """Bars on a terminal; plain start and end lines where the output is a file."""

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[Task]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Bars(*columns, TimeRemainingColumn(), TextColumn("{task.fields[info]}"), console=console) as bars:
            yield _BarTask(bars, name, total)

    def note(self, text: str) -> None:
        console.print(_safe(text), style="dim", highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        warn(text)


def _safe(text: str) -> str:
    """Text of a file or a model, without markup and without what would steer the terminal; lines stay lines."""
    return "\n".join(escape(printable(line)) for line in text.split("\n"))


def say(text: str) -> None:
    """One line of result."""
    console.print(_safe(text), highlight=False, soft_wrap=True)


def print_line(line: str) -> None:
    """One line as it is, for programs; written at once."""
    print(line, flush=True)


def warn(text: str) -> None:
    """One line that the user must see, on standard error."""
    errors.print(f"warning: {_safe(text)}", style="yellow", highlight=False, soft_wrap=True)


_NOTES = 30
"""Notes that are shown; a folder of many examinations has several for each."""


def show_notes(notes: Sequence[str]) -> None:
    """What was left out on purpose, and what else a person should know, line by line."""
    for note in notes[:_NOTES]:
        say(note)
    if len(notes) > _NOTES:
        say(f"and {len(notes) - _NOTES} more lines about the other examinations")


def page(title: str, sections: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> None:
    """A page of facts: headings with lines of name and value, colours shown where a value is one."""
    drawn = Table(title=_safe(title), title_justify="left", show_header=False, box=None, padding=(0, 1))
    drawn.add_column(no_wrap=True)
    drawn.add_column(overflow="fold")
    for heading, lines in sections:
        drawn.add_row(f"[bold]{_safe(heading)}[/bold]", "")
        for name, value in lines:
            swatch = f"[{value}]██[/{value}] " if re.fullmatch(r"#[0-9A-Fa-f]{6}", value) else ""
            drawn.add_row(f"  {_safe(name)}", swatch + _safe(value))
    console.print(drawn)


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """A table whose first `left` columns are words and the rest numbers."""
    drawn = Table(title=_safe(title), title_justify="left")
    for index, name in enumerate(header):
        drawn.add_column(_safe(name), justify="left" if index < left else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*(_safe(cell) for cell in row))
    console.print(drawn)
