"""What every picture is drawn with: names as they are, warnings of everything else."""

from pathlib import Path

import matplotlib
import pytest

from compress.report.style import picture


def test_a_dollar_is_drawn_as_a_character(tmp_path: Path) -> None:
    with picture(tmp_path / "a.png", "a$b$c", size=(4, 2)) as figure:
        (title,) = figure.texts
        assert title.get_text() == "a$b$c" and not title.get_parse_math()
    assert matplotlib.rcParams["text.parse_math"], "the caller's settings come back"


def test_other_warnings_are_still_told(tmp_path: Path) -> None:
    with pytest.raises(UserWarning, match="identical low"), picture(tmp_path / "a.png", "t", size=(4, 2)) as figure:
        figure.subplots().set_xlim(1, 1)
