"""Names and titles as text: nothing that somebody has typed becomes markup."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfcore.ui.words import plain

# The places that GitHub flavoured Markdown links, as the parser in the browser looks for them in text that has no
# escapes any more (mdast-util-gfm-autolink-literal).
BARE_LINK = re.compile(r"(https?://|www(?=\.))[-.\w]+[^ \t\r\n]*", re.IGNORECASE)
BARE_MAIL = re.compile(r"[-.\w+]+@[-\w]+(\.[-\w]+)+")


def unescaped(text: str) -> str:
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)


def seen(text: str) -> str:
    """What a reader sees: the word joiner has no width."""
    return unescaped(text).replace("\u2060", "")


@pytest.mark.parametrize(
    "text",
    [
        "www.evil.example",
        "see (WWW.evil.example)",
        "http://evil.example/a?b=c",
        "HTTPS://evil.example",
        "mailto:me.you-x_z+1@evil.example",
        "me@evil.example, www.evil.example and http://www.evil.example",
    ],
)
def test_no_bare_address_becomes_a_link(text: str) -> None:
    assert BARE_LINK.search(text) or BARE_MAIL.search(text)
    words = unescaped(plain(text))
    assert not BARE_LINK.search(words)
    assert not BARE_MAIL.search(words)
    assert seen(plain(text)) == text


@given(st.lists(st.sampled_from(["www", "http", "s", ":", "//", ".", "@", "evil", "_", "-", "+", " ", "*", "("])))
def test_nothing_made_of_such_parts_becomes_one(parts: list[str]) -> None:
    words = unescaped(plain("".join(parts)))
    assert not BARE_LINK.search(words)
    assert not BARE_MAIL.search(words)
    assert seen(words) == " ".join("".join(parts).split())


def test_icons_entities_and_numbered_lists_are_text_as_well() -> None:
    for icon in (":material/home:", ":material_home:", ":streamlit:"):
        assert icon not in unescaped(plain(icon))
    assert plain("&copy; x") == "\\&copy; x"
    assert plain("1. x") == "1\\. x"
    assert plain("1.5 stars") == "1.5 stars"
