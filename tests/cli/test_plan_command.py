"""`sensitivity` and `plan` as a user types them, up to the pruned network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_kit import settings

BAD = {
    "latency=2x": "between 0x and 1x",
    "foo=1": "Known: latency=0.1x",
    "0": "Known: latency=0.1x",
    "macs=": "M, G",
}


@pytest.mark.parametrize("target", BAD)
def test_bad_targets_are_one_line_and_exit_code_two(target, experiment, command):
    result = command("plan", "--target", target, *settings())
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert BAD[target] in result.err


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("plan",), 2, "--target"),
        (("plan", "--target", "macs=0.5x"), 2, "No checkpoint"),
        (("plan", "--target", "macs=0.5x", "--align", "some"), 2, "--align is 'some'"),
        (("plan", "--target", "macs=0.5x", "--provider", "tpu"), 2, "Known: cpu, cuda"),
        (("plan", "--target", "macs=0.5x", "--slices", "0"), 2, "--slices"),
        (("sensitivity",), 2, "No checkpoint"),
    ],
)
def test_too_early_or_misspelt(arguments, code, word, experiment, command):
    result = command(*arguments, *settings())
    assert result.code == code and word in result.err
    assert not Path("artifacts/cardiac/planning").exists()


@pytest.mark.usefixtures("without_pages")
def test_from_training_to_the_network_that_fits_the_budget(trained, command):
    run = trained
    done = command("sensitivity", "--slices", "6", *settings())
    assert done.code == 0, done.err
    assert "(phantom)" in done.out and "decoders.3" in done.out and "90% removed" in done.out
    scores = (run / "planning" / "sensitivity.json").read_bytes()

    done = command("plan", "--target", "macs=0.4x", "--align", "none", "--slices", "6", "--out", "m.yaml", *settings())
    assert done.code == 0, done.err
    assert (run / "planning" / "sensitivity.json").read_bytes() == scores
    assert "Counted" in done.out and "prune --ratios m.yaml" in done.out and "saves" in done.out

    pruned = command("prune", "--ratios", "m.yaml", "--finetune", "none", *settings())
    assert pruned.code == 0, pruned.err
    plans = [json.loads(p.read_text()) for p in (run / "planning/macs-0.4x/plan.json", run / "pruned/keep/plan.json")]
    assert plans[0] == plans[1]
    meta = json.loads((run / "pruned" / "keep" / "meta.json").read_text())
    assert 0.3 < meta["macs"] / meta["dense"]["macs"] <= 0.4
