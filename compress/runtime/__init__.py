"""Running ONNX files; never imports torch."""
