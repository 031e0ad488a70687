"""What a hospital installs to run a bundle: exact versions with the digests of their files, for every platform.

The lists are locked from constraints.txt by `make lock`: `runtime.txt` segments NIfTI and DICOM, `signing.txt` checks
signatures too.
"""

from __future__ import annotations

from importlib.resources import files

from compress.bundle.contents import WHEELS
from compress.files import digest_bytes


def requirements_of(wheel: tuple[str, bytes], *, signed: bool) -> str:
    """The text of requirements.txt for a bundle with that wheel (its name and content) in `wheels/`.

    `pip install --require-hashes -r requirements.txt`, typed in the bundle's folder, installs it.
    """
    name, content = wheel
    locked = files(__name__).joinpath("signing.txt" if signed else "runtime.txt").read_text(encoding="utf-8")
    return f"./{WHEELS}{name} --hash=sha256:{digest_bytes(content)}\n{locked}"
