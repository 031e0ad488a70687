"""What words mean stands once, and `explain` finds it however the word is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from compress.errors import InputError
from compress.glossary import entries, look_up, text

CONCEPTS = ("ratio", "channel group", "alignment", "compensation", "rewinding", "gate", "card", "self-test")
CHECKS = ("file check", "input concern", "plausibility flag", "gate limit")


def test_every_entry_is_a_sentence_of_its_own():
    found = entries()
    assert len(found) == text().count("\n### ") and len(found) > 30
    words = [word for entry in found for word in entry.split(", ")]
    assert len(words) == len(set(words))
    for meaning in found.values():
        assert len(meaning.split()) > 5 and meaning.endswith(".") and "](" not in meaning


@pytest.mark.parametrize("word", [*CONCEPTS, *CHECKS])
def test_concepts_are_explained_by_every_spelling(word):
    known = entries()
    entry = look_up(word, known)
    assert word in entry.split(", ")
    for spelling in (word.upper(), f" {word}s", word.replace(" ", "-"), word.replace("-", " ")):
        assert look_up(spelling, known) == entry


def test_a_word_that_is_not_there_is_answered_with_the_nearest():
    with pytest.raises(InputError, match=r"no word 'ratoi'\. Did you mean 'ratio'\?"):
        look_up("ratoi", entries())
    with pytest.raises(InputError, match="Known: case; study"):
        look_up("xyzzy", entries())


def test_the_map_sends_to_the_glossary_and_repeats_none_of_it():
    section = (Path(__file__).resolve().parents[2] / "ARCHITECTURE.md").read_text().partition("## Glossary")[2]
    assert "compress/glossary.md" in section and "|" not in section
