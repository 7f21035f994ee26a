"""Words, with and without the help of a regular expression."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from triroute.router.classifier.tokens import WORD, asked, tokens


@given(st.text(st.characters(max_codepoint=127)) | st.text("ab?{`<> 1_\n") | st.text())
def test_the_short_way_finds_the_same(text: str) -> None:
    assert tokens(text) == WORD.findall(text.lower())


def test_words() -> None:
    assert tokens("Is x a Plan?") == ["is", "plan", "?"]
    assert tokens("<code> f{a} ```") == ["<code>", "{", "```"]
    assert asked("Schreibe eine Geschichte")[3:] == ["write", "story"]
    assert asked("写")[-1:] == ["write"]
