"""What runs a bundle's model, as files of the bundle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from compress.bundle.contents import REQUIREMENTS, WHEELS
from compress.bundle.requirements import requirements_of
from compress.bundle.shipment import Shipment
from compress.bundle.wheel import own_wheel
from compress.bundle.wheelhouse import collect_wheels
from compress.progress import Progress


def program_files(shipment: Shipment, scratch: Path, progress: Progress) -> Iterator[tuple[str, bytes]]:
    """Path in the bundle and content of the program's wheel, of what it needs by name and digest, and of all wheels.

    The last only when the shipment has them; they are collected in `scratch`, a folder that nobody else may enter.
    """
    name, content = own_wheel()
    requirements = requirements_of((name, content), signed=shipment.signed)
    yield REQUIREMENTS, requirements.encode()
    yield f"{WHEELS}{name}", content
    if shipment.wheels:
        collect_wheels(requirements, scratch / "wheels", progress=progress)
        for path in sorted((scratch / "wheels").iterdir()):
            yield f"{WHEELS}{path.name}", path.read_bytes()
