"""Networks that others trained, in and out: nnU-Net's results folders, and any network of a factory of one's own."""
