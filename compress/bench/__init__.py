"""Latency, memory and size of ONNX files; never imports torch."""
