"""example.py of a bundle: a script that runs as it is where only the runtime extra is installed."""

from __future__ import annotations

from compress.bundle.shipment import Shipment, banners

_SCRIPT = '''\
"""Segment one image with the model of this folder: python example.py [IMAGE.nii.gz]
{banners}
Needs: pip install 'cardiocompress[runtime]'. Without an image it takes the generated one beside it (a phantom).
"""

import sys
from pathlib import Path

from compress.errors import CardioCompressError
from compress.runtime import Segmenter

here = Path(__file__).resolve().parent
image = Path(sys.argv[1]) if len(sys.argv) > 1 else here / "example_phantom.nii.gz"
try:
    found = Segmenter(here / "model.onnx").segment_file(image)
except CardioCompressError as fault:
    sys.exit(f"error: {{fault}}")
{warning}print(f"{{image.name}}: {{found.mask.shape[0]}} slices of {{found.spacing_mm[0]:g}} mm")
for structure, millilitres in found.volumes_ml.items():
    print(f"{{structure}}: {{millilitres:.1f}} ml")
# found.mask is (slice, row, column); found.save("mask.nii.gz") writes it on the image's own grid.
'''


def example_script(shipment: Shipment) -> str:
    """The script's text; what the bundle is not stands at its top and is printed when it runs."""
    lines = [line.replace("\\", "").replace('"', "'") for line in banners(shipment)]
    warning = "".join(f'print("{line}")\n' for line in lines)
    return _SCRIPT.format(banners="".join(f"\n{line}\n" for line in lines), warning=warning)
