"""cardiocompress: train, prune, export and measure cardiac MRI segmentation networks."""

import os

# ONNX Runtime's wheels send usage data unless this is set before they are first imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.5.0"
