"""A secret is in no text that is made of it, and takes itself out of other texts."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from async_mirror.model.secret import NO_SECRET, Secret

TEXT = "S3cret pass"


@pytest.mark.parametrize(
    "print_it",
    [
        str,
        "{}".format,
        "{!s:>20}".format,
        lambda secret: f"PASS {secret}",
        lambda secret: "PASS %s" % secret,  # noqa: UP031
        lambda secret: format(secret, ">20"),
        lambda secret: "PASS " + secret,
        bytes,
        print,
    ],
)
def test_no_text_can_be_made_of_it(print_it: Callable[[Secret], object]) -> None:
    with pytest.raises(TypeError) as caught:
        print_it(Secret(TEXT))
    assert TEXT not in str(caught.value)


def test_what_holds_it_can_be_shown_without_it(caplog: pytest.LogCaptureFixture) -> None:
    @dataclass
    class Holder:
        secret: Secret

    holder = Holder(Secret(TEXT))
    logging.getLogger().warning("%r and %s", holder.secret, holder)
    for text in (repr(holder), str([holder.secret]), f"{holder.secret!r}", ascii(holder), caplog.text):
        assert "Secret(***)" in text
        assert TEXT not in text
    assert not hasattr(holder.secret, "__dict__")


def test_it_is_the_same_in_another_process() -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        there = pickle.loads(pickle.dumps(Secret(TEXT), protocol))
        assert there == Secret(TEXT)
        assert (there.reveal(), there.redact(f"{TEXT}!")) == (TEXT, "***!")
    assert copy.deepcopy(Secret(TEXT)) == Secret(TEXT)


def test_it_equals_a_secret_of_the_same_text_and_no_text() -> None:
    assert Secret(TEXT) == Secret(TEXT)
    assert hash(Secret(TEXT)) == hash(Secret(TEXT))
    assert Secret(TEXT) != Secret("another")
    assert Secret(TEXT) != TEXT
    assert Secret(TEXT)
    assert not NO_SECRET


@pytest.mark.parametrize(
    ("secret", "text", "told"),
    [
        ("S3cret", "it is S3cret, is it", "it is ***, is it"),
        ("S3cret", "S3cretS3cret", "******"),
        ('S3"cret', 'S3"cret, in a path S3""cret', "***, in a path ***"),
        (" S3cret ", "S3cret without its blanks", "*** without its blanks"),
        ("caf\u00e9", "a caf\u00e9", "a ***"),
        ("\udce9t\udce9!", "\udce9t\udce9!", "***"),
        ("S3cret", "s3cret is another word", "s3cret is another word"),
        ("1234", "port 12345", "port ***5"),
        ("no", "no such file", "no such file"),
        ("", "nothing", "nothing"),
        ("   ", "three   blanks", "three   blanks"),
    ],
)
def test_it_takes_itself_out_of_texts(secret: str, text: str, told: str) -> None:
    assert Secret(secret).redact(text) == told


def test_short_one_takes_itself_out_where_that_is_asked_for() -> None:
    assert Secret("no").redact("no is wrong", even_short=True) == "*** is wrong"
    assert NO_SECRET.redact("no is wrong", even_short=True) == "no is wrong"
