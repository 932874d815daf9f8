"""What of a text can be shown."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import PATHS, PLAIN

from async_mirror.model import escape

TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@given(st.text() | PATHS)
def test_shown_holds_no_control_character_and_can_be_written_as_utf_8(text: str) -> None:
    shown = escape.shown(text)
    assert not any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in shown)
    assert not any(unicodedata.bidirectional(character) in TURNING for character in shown)
    assert not {"\u061c", "\u200e", "\u200f"} & set(shown)
    assert shown.encode().decode() == shown


@given(PLAIN)
def test_shown_leaves_plain_text_alone(text: str) -> None:
    assert escape.shown(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r", r"a\x0ab\x0d"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\x7f\x9b", r"\x7f\x9b"),
        ("caf\udce9", r"caf\xe9"),
        ("\udcff", r"\xff"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\u2028\u2066", r"\u2028\u2066"),
        ("a\u200fb\u200ec\u061cd", r"a\u200fb\u200ec\u061cd"),
        ("\u2069\u206a\u206f", r"\u2069\u206a\u206f"),
        ("\U0001f469\u200d\U0001f4bb \u0645\u06cc\u200c\u062e", "\U0001f469\u200d\U0001f4bb \u0645\u06cc\u200c\u062e"),
        ("\ud800", r"\ud800"),
        ("na\u00efve \u6f22\U0001f600 *?", "na\u00efve \u6f22\U0001f600 *?"),
    ],
)
def test_shown_escapes_what_a_terminal_would_obey(text: str, shown: str) -> None:
    assert escape.shown(text) == shown
