"""The documents of a bundle, from the templates beside this file: README.md, LICENSE-NOTE.md and example.py.

Every value of a template is escaped because it is a value; what is markup is `Markdown`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from compress.bundle.readme import readme_values
from compress.bundle.shipment import Shipment, banners
from compress.terms import BERNARD, NO_DEVICE
from compress.text import one_line, plain


def model_card(shipment: Shipment) -> str:
    """README.md, equal for equal shipments: what is not known is said to be unknown."""
    return _render("README.md.j2", plain, shipment, **readme_values(shipment))


def licence_note(shipment: Shipment) -> str:
    """LICENSE-NOTE.md, equal for equal shipments. It claims of the data only what the file's licence says."""
    return _render("LICENSE-NOTE.md.j2", plain, shipment)


def example_script(shipment: Shipment) -> str:
    """example.py; what the bundle is not stands at its top and is printed when it runs."""
    return _render("example.py.j2", _inside_quotes, shipment)


def _render(template: str, escape: Callable[[object], str], shipment: Shipment, **values: Any) -> str:
    known = {"shipment": shipment, "banners": banners(shipment), "bernard": BERNARD, "no_device": NO_DEVICE}
    return _environment(escape).get_template(template).render(known | values)


@cache
def _environment(escape: Callable[[object], str]) -> Environment:
    return Environment(
        loader=PackageLoader("compress.bundle"),
        undefined=StrictUndefined,
        finalize=escape,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _inside_quotes(value: object) -> str:
    """`value` as the inside of a Python string between double quotes, one or three of them."""
    return one_line(value).encode("unicode_escape").decode("ascii").replace('"', '\\"')
