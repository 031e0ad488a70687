"""cardiocompress: train, prune, export and measure cardiac MRI segmentation networks."""

import os
import sys
import warnings

# ONNX Runtime's wheels send usage data unless this is set before they are first imported.
if "onnxruntime" in sys.modules and os.environ.get("ORT_DISABLE_TELEMETRY") != "1":
    getattr(sys.modules["onnxruntime"], "disable_telemetry_events", lambda: None)()
    warnings.warn(
        "onnxruntime was imported before compress: what its telemetry has queued may still be sent. Import compress "
        "first, or set ORT_DISABLE_TELEMETRY=1.",
        stacklevel=2,
    )
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.5.0"
