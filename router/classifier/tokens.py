"""The words of a text, in lower case: what the classifier reads of it."""

from __future__ import annotations

import re

from triroute.router.classifier.verbs import IN_ENGLISH, SCRIPTS

WORD = re.compile(r"[^\W\d_]{2,}|```|<\w+>|\?|\{")
_PARTS = "?{"  # words of a single character
_SPACED = "".join(c if c.islower() or c in _PARTS else c.lower() if c.isupper() else " " for c in map(chr, range(128)))


def tokens(text: str) -> list[str]:
    """What `WORD` finds in the text in lower case; of plain ASCII without its help, in half the time."""
    if not text.isascii() or "<" in text or "```" in text:
        return WORD.findall(text.lower())
    for part in _PARTS:
        text = text.replace(part, f" {part} ")
    return [word for word in text.translate(_SPACED).split() if len(word) > 1 or word in _PARTS]


def asked(window: str) -> list[str]:
    """The words of an ask, and English ones for those of other languages."""
    words = tokens(window)
    words += [IN_ENGLISH[word] for word in words if word in IN_ENGLISH]
    if not window.isascii():
        words += [english for part, english in SCRIPTS.items() if part in window]
    return words
