"""The documents of a bundle, from the templates beside this file.

Every value of a template is escaped because it is a value; what is markup is `Markdown`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from compress.bundle.contents import CONTENTS
from compress.bundle.readme import readme_values
from compress.bundle.shipment import Shipment
from compress.text import one_line, plain


def documents(shipment: Shipment) -> dict[str, str]:
    """Every document by its name, equal for equal shipments: what is not known is said to be unknown."""
    return {row.path: document(row.path, shipment) for row in CONTENTS if row.template}


def document(name: str, shipment: Shipment) -> str:
    """The text of one, such as "README.md". Raises `StopIteration` for a name that is none."""
    template = next(row.template for row in CONTENTS if row.path == name and row.template)
    escape = _inside_quotes if name.endswith(".py") else plain
    return _environment(escape).get_template(template).render(readme_values(shipment))


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
