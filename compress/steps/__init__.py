"""The stages of a run: each reads artefacts from disk and writes artefacts to disk."""
