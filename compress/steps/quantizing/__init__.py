"""`quantize`."""
