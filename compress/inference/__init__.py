"""Segmenting files and folders with an exported model; needs no torch and no run folder."""
