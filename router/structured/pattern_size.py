"""How large a regular expression is once what it repeats is written out, as the package regex does, without a break."""

from __future__ import annotations

import re

_PIECE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]?|\{(\d+)(?:,\d*)?\}|.", re.DOTALL)
_DIGITS = 9  # of a count that matters


def size(pattern: str, most: int) -> int:
    """Pieces, each as often as it is repeated at least. Counting ends where there are more than `most`."""
    sums, last = [0], 0  # of the open groups; of the piece that a count would repeat
    for piece in _PIECE.finditer(pattern):
        match piece[0][0]:
            case "(":
                sums.append(0)
                last = 0
            case ")" if len(sums) > 1:
                last = sums.pop()
                sums[-1] += last
            case "{" if piece[1]:
                more = last * (max(int(piece[1][:_DIGITS]), 1) - 1)
                sums[-1] += more
                last += more
            case _:
                sums[-1] += 1
                last = 1
        if sums[-1] > most:
            break
    return sum(sums)
