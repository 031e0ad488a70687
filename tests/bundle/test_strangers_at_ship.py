"""What others may put in the way of `ship`: folders, links, forged verdicts and foreign documents."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from shipping_kit import PNG, contents, make_verdict, scores, write_gate

from compress.bundle import ship as shipping
from compress.bundle.ship import ShipRequest, ship
from compress.bundle.verify import verify_bundle
from compress.config import Gate
from compress.errors import CardioCompressError, ConfigError, DataError, InputError
from compress.evaluate.verdict import Verdict
from compress.files import digest_file, read_json, write_json

SECRET = "-----BEGIN OPENSSH PRIVATE KEY-----"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "home" / "id_ed25519"
    path.parent.mkdir()
    path.write_text(SECRET)
    return path


# Row 1: a folder that others may write to.


@pytest.mark.parametrize("name", [".bundle.partial", ".bundle.partial/bundle", ".bundle", ".bundle.partial/.earlier"])
def test_a_folder_that_waits_beside_the_bundle_is_neither_used_nor_removed(name, request_, tmp_path) -> None:
    trap = tmp_path / name
    trap.mkdir(parents=True)
    (trap / "numpy.py").write_text("raise SystemExit('attacker')")
    folder = ship(request_).folder
    assert "numpy.py" not in contents(folder) and (trap / "numpy.py").is_file()
    assert verify_bundle(folder, threads=1).ok


def test_a_link_that_waits_beside_the_bundle_costs_nobody_a_folder(request_: ShipRequest, tmp_path: Path) -> None:
    precious = tmp_path / "home" / "bundle"
    precious.mkdir(parents=True)
    (precious / "thesis.md").write_text("precious")
    (tmp_path / ".bundle.partial").symlink_to(tmp_path / "home")
    ship(request_)
    assert (precious / "thesis.md").read_text() == "precious"


@pytest.mark.parametrize("step", ["documents", "example_bytes"])
def test_what_is_put_in_while_it_is_written_is_never_listed_or_signed(step, request_, key, monkeypatch) -> None:
    """The place is private; should somebody get in all the same, nothing is shipped."""
    real = getattr(shipping, step)

    def intrude(*words: Any) -> Any:
        (hidden,) = request_.out.parent.glob(".bundle.*")
        (hidden / "bundle" / "numpy.py").write_text("raise SystemExit('attacker')")
        return real(*words)

    monkeypatch.setattr(shipping, step, intrude)
    with pytest.raises(InputError, match=r"numpy\.py"):
        ship(replace(request_, sign_key=key))
    assert not request_.out.exists() and not list(request_.out.parent.glob(".bundle.*"))


def test_a_file_that_is_changed_before_it_is_signed_is_not_signed(request_, key, monkeypatch) -> None:
    real = shipping.Writing.check_nothing_else

    def change(written: shipping.Writing, **words: Any) -> None:
        real(written, **words)
        (written.folder / "example.py").write_text("print('attacker')")

    monkeypatch.setattr(shipping.Writing, "check_nothing_else", change)
    with pytest.raises(InputError, match=r"example\.py.*not signed"):
        ship(replace(request_, sign_key=key))
    assert not request_.out.exists()


def test_the_place_is_this_users_alone(request_: ShipRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []

    def look(*words: Any) -> Any:
        (hidden,) = request_.out.parent.glob(".bundle.*")
        modes.append(hidden.stat().st_mode & 0o777)
        return real(*words)

    real = shipping.documents
    monkeypatch.setattr(shipping, "documents", look)
    ship(request_)
    assert modes == [0o700]


def test_a_folder_that_took_the_place_of_ours_is_not_removed(request_, tmp_path, monkeypatch) -> None:
    def swap(*_: Any) -> Any:
        (hidden,) = tmp_path.glob(".bundle.*")
        hidden.rename(tmp_path / "away")
        hidden.mkdir()
        (hidden / "thesis.md").write_text("precious")
        raise KeyboardInterrupt

    monkeypatch.setattr(shipping, "documents", swap)
    with pytest.raises(KeyboardInterrupt):
        ship(request_)
    assert [path.read_text() for path in tmp_path.glob(".bundle.*/thesis.md")] == ["precious"]


# Row 3: links.

TAKEN = ("verdict.json", "baseline.json", "candidate.json", "verdict.md", "overlays.png")


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("far", [True, False])
def test_a_link_in_a_gate_folder_leads_to_no_private_file(name, far, request_, secret, tmp_path) -> None:
    gate = tmp_path / "gate"
    (gate / name).unlink(missing_ok=True)
    (gate / name).symlink_to(secret if far else os.path.relpath(secret, gate))
    with_run = replace(request_, verdict=None) if name == "verdict.json" else request_
    try:
        folder = ship(replace(with_run, ungated=True)).folder
    except CardioCompressError:
        assert not request_.out.exists()
        return
    assert SECRET.encode() not in b"".join(content for _, content in contents(folder).values())


@pytest.mark.parametrize("name", ["parity.json", "pruned.quantize.json"])
def test_a_link_beside_the_model_is_refused(name, request_, tmp_path, secret) -> None:
    write_json(secret, {"sha256": digest_file(request_.candidate)})
    (tmp_path / name).symlink_to(secret)
    with pytest.raises(InputError, match="is a link; nobody named it"):
        ship(replace(request_, verdict=None, baseline=None, ungated=True))


def test_a_text_beside_the_model_is_not_taken_along(request_: ShipRequest, tmp_path: Path, secret: Path) -> None:
    write_json(tmp_path / "parity.json", {"onnx": digest_file(request_.candidate)})
    (tmp_path / "parity.md").symlink_to(secret)
    shipped = ship(replace(request_, verdict=None, baseline=None, ungated=True))
    assert shipped.evidence == ("parity.json",)


def test_evidence_that_the_user_names_may_be_a_link(request_: ShipRequest, tmp_path: Path) -> None:
    (tmp_path / "real.md").write_text("said")
    (tmp_path / "note.md").symlink_to(tmp_path / "real.md")
    assert "note.md" in ship(replace(request_, evidence=(tmp_path / "note.md",))).evidence


def test_a_picture_that_is_none_is_refused(request_: ShipRequest, tmp_path: Path) -> None:
    for content in (b"\x89PNG\r\n\x1a\n", PNG + b"<script>", SECRET.encode(), b""):
        (tmp_path / "gate" / "overlays.png").write_bytes(content)
        with pytest.raises(DataError, match="no PNG"):
            ship(request_)


# Row 4: "gated" means judged.


def forged(verdict: Verdict, **changes: Any) -> Verdict:
    return replace(verdict, **changes)


FORGERIES: dict[str, Callable[[Verdict], Verdict]] = {
    "no patients": lambda v: forged(v, patients=0, volumes=0),
    "no limits": lambda v: forged(v, limits=()),
    "one endpoint": lambda v: forged(v, endpoints=v.endpoints[:1]),
    "an interval that is better": lambda v: forged(v, endpoints=(replace(v.endpoints[0], low=0.0), *v.endpoints[1:])),
    "a mean that is better": lambda v: forged(v, endpoints=(replace(v.endpoints[0], candidate=1), *v.endpoints[1:])),
    "more patients with a value": lambda v: forged(v, endpoints=(replace(v.endpoints[0], n=99), *v.endpoints[1:])),
    "a limit that was kept better": lambda v: forged(v, limits=(replace(v.limits[0], value=-1), *v.limits[1:])),
    "two margins of one kind": lambda v: forged(v, endpoints=(replace(v.endpoints[0], margin=9), *v.endpoints[1:])),
    "a confidence of nothing": lambda v: forged(v, confidence=0.01),
    "three patients are enough": lambda v: forged(v, endpoints=tuple(replace(row, n=3) for row in v.endpoints)),
    "a negative margin": lambda v: forged(v, endpoints=tuple(replace(row, margin=-1.0) for row in v.endpoints)),
}


@pytest.mark.parametrize("kind", FORGERIES)
def test_a_verdict_that_its_scores_do_not_give_is_refused(kind, request_, tmp_path) -> None:
    other = write_gate(tmp_path / "x", FORGERIES[kind](make_verdict(request_.candidate, request_.candidate)))
    for ungated in (False, True):
        with pytest.raises(DataError, match=r"verdict (is not what its scores give|was made by no settings)"):
            ship(replace(request_, verdict=other, ungated=ungated))
    assert not request_.out.exists()


def test_an_acceptance_over_scores_that_are_worse_is_refused(request_: ShipRequest, tmp_path: Path) -> None:
    write_json(tmp_path / "gate" / "candidate.json", scores(lost=48).to_json())
    with pytest.raises(DataError, match="is not what its scores give"):
        ship(request_)


@pytest.mark.parametrize("name", ["baseline.json", "candidate.json"])
def test_a_verdict_without_its_scores_is_no_verdict(name: str, request_: ShipRequest, tmp_path: Path) -> None:
    (tmp_path / "gate" / name).unlink()
    with pytest.raises(DataError, match="without scores a verdict cannot be judged"):
        ship(request_)


LIES = {
    "Dice of 2": ("dice", 2.0),
    "a negative Dice": ("dice", -1.0),
    "no Dice": ("dice", None),
    "a text": ("dice", "high"),
}


@pytest.mark.parametrize("lie", LIES)
def test_scores_that_no_masks_give_are_refused(lie: str, request_: ShipRequest, tmp_path: Path) -> None:
    path = tmp_path / "gate" / "candidate.json"
    document = json.loads(path.read_text())
    key, value = LIES[lie]
    overlap = document["volumes"][0]["structures"]["RV"]["overlap"]
    overlap.pop(key) if value is None else overlap.update({key: value})
    write_json(path, document)
    with pytest.raises(DataError, match="Not an evaluation report"):
        ship(request_)


def test_other_margins_are_said_aloud_everywhere(request_: ShipRequest, tmp_path: Path) -> None:
    lax = Gate.model_validate({"margins": {"dice": 0.5}, "limits": {"patient_dice": 0.9}, "resamples": 1000})
    verdict = make_verdict(request_.candidate, request_.candidate, settings=lax)
    shipped = ship(replace(request_, verdict=write_gate(tmp_path / "lax", verdict)))
    said = ("gate.margins.dice 0.5 instead of 0.01", "gate.limits.patient_dice 0.9 instead of 0.1")
    for name in ("README.md", "example.py"):
        text = (shipped.folder / name).read_text().replace("\\", "")
        assert "GATED BY OTHER RULES" in text and all(words in text for words in said), name
    found = verify_bundle(shipped.folder, threads=1)
    assert found.rules == shipped.manifest.rules and set(said) < set(found.rules)
    assert ship(replace(request_, out=tmp_path / "usual")).manifest.rules == ()


# Row 14: documents are written anew.


def test_the_documents_of_a_gate_folder_are_written_anew(request_: ShipRequest, tmp_path: Path) -> None:
    gate, script = tmp_path / "gate", "<script>fetch('https://evil')</script>"
    for name in ("verdict.md", "report.html"):
        (gate / name).write_text(f"# Cleared for clinical use {script}")
    document = read_json(gate / "candidate.json")
    write_json(gate / "candidate.json", {**document, "mean_dice": 1.0, "note": script})
    folder = ship(request_).folder
    everything = b"".join(content for _, content in contents(folder).values())
    assert b"evil" not in everything and b"Cleared" not in everything
    page = (folder / "evidence" / "report.html").read_text()
    assert "<script" not in page and "pruned against dense" in page
    assert read_json(folder / "evidence" / "candidate.json")["mean_dice"] == scores(lost=1).mean_dice


@pytest.mark.parametrize("name", ["page.html", "drawing.svg", "page.HTML"])
def test_nothing_that_a_browser_would_run_is_evidence(name: str, request_: ShipRequest, tmp_path: Path) -> None:
    (tmp_path / name).write_text("<script>")
    with pytest.raises(ConfigError, match="is no evidence"):
        ship(replace(request_, evidence=(tmp_path / name,)))


def test_names_of_files_and_structures_are_text_in_readme(request_: ShipRequest, tmp_path: Path) -> None:
    bad = "x](javascript:alert(1)) <img src=y>\n# Cleared"
    verdict = make_verdict(request_.candidate, request_.candidate)
    named = replace(verdict, candidate=replace(verdict.candidate, name=f"home/erika/{bad}"))
    folder = ship(replace(request_, verdict=write_gate(tmp_path / "x", named))).folder
    for name in ("README.md", "evidence/verdict.md"):
        text = (folder / name).read_text()
        assert "<img" not in text.replace("\\<", "") and "\n# Cleared" not in text and "erika" not in text, name


# Row 13: whose word it is.


def test_verify_says_whose_word_it_is(request_: ShipRequest, key: Path, tmp_path: Path) -> None:
    unsigned = ship(replace(request_, out=tmp_path / "plain")).folder
    assert verify_bundle(unsigned, threads=1).word == "consistent with its own list; nobody vouches for it"
    signed = ship(replace(request_, sign_key=key, signer="Kardiologie Beispielstadt"))
    assert "nobody vouches" in verify_bundle(signed.folder, threads=1).word, "a signature that nobody checked"
    found = verify_bundle(signed.folder, public_key=key.with_name("public.pem"), threads=1)
    assert found.key == signed.key and len(found.key) == 64 and found.key in found.word
    assert found.word.endswith("who gives the name Kardiologie Beispielstadt")
    assert found.date == date.today().isoformat() or found.date, "the day in UTC"


def test_an_older_bundle_is_refused_on_request(request_: ShipRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")  # 2026-01-01
    folder = ship(request_).folder
    assert verify_bundle(folder, not_before=date(2026, 1, 1), threads=1).ok
    found = verify_bundle(folder, not_before=date(2026, 1, 2), threads=1)
    assert found.reasons == ("it is of 2026-01-01, not of 2026-01-02 or later",) and not found.models


def test_a_signers_name_needs_a_signature_and_is_one_line(request_: ShipRequest, key: Path) -> None:
    with pytest.raises(ConfigError, match="without a signature"):
        ship(replace(request_, signer="Charité"))
    for name in ("a\nb", "x" * 101, "\x1b[2J"):
        with pytest.raises(ConfigError, match="signer's name"):
            ship(replace(request_, sign_key=key, signer=name))


# Row 15: nobody's folders.


def test_no_folder_of_the_shippers_stands_in_a_bundle(request_: ShipRequest, tmp_path: Path) -> None:
    folder = "/home/erika.mustermann/trials"
    reason = f"cannot load {folder}/.venv/lib/libcuda.so"
    document = {"onnx": digest_file(request_.candidate), "providers": [{"reason": reason}]}
    write_json(tmp_path / "parity.json", document)
    folder = ship(request_).folder
    everything = b"".join(content for _, content in contents(folder).values())
    assert b"erika" not in everything and b"cannot load \\u2026/libcuda.so" in everything
    assert str(tmp_path).encode() not in everything
