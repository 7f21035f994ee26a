"""The formats of JSON Schema, checked alike in every dialect, by the RFCs that define them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import date

import idna
import regex

from triroute.router.structured.pattern_size import size

_LONGEST_HOST = 253
_MOST_PIECES = 500_000  # of a regular expression, with all that it repeats; twice the characters of a schema
_DOTS = (".", "\u3002", "\uff0e", "\uff61")
_DAY = 24 * 60  # minutes
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(
    r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:\.\d+)?(?:[zZ]|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
_CLOCK = r"T(?:\d+H(?:\d+M(?:\d+S)?)?|\d+M(?:\d+S)?|\d+S)"
_DURATION = rf"P(?:(?:\d+Y(?:\d+M(?:\d+D)?)?|\d+M(?:\d+D)?|\d+D)(?:{_CLOCK})?|{_CLOCK}|\d+W)"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_POINTER = r"(?:/(?:[^~/]|~[01])*)*"
_PERCENT = r"%[0-9a-fA-F]{2}"
_VARIABLE = rf"(?:\w|{_PERCENT})(?:\.?(?:\w|{_PERCENT}))*(?::[1-9]\d{{0,3}}|\*)?"
_TEMPLATE = rf"""(?:[^\x00- "%<>\\^`{{|}}\x7f]|{_PERCENT}|\{{[+#./;?&=,!@|]?{_VARIABLE}(?:,{_VARIABLE})*\}})*"""
_QUOTED = r'"(?:[^"\\\x00-\x1f\x7f]|\\[ -~])+"'
_ATOM = r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+"
_ADDRESS = re.compile(rf"(?P<ascii>{_ATOM}(?:\.{_ATOM})*|{_QUOTED})@(?:\[(?P<literal>[^\]]*)\]|(?P<host>[^@\[]*))")
_MAILBOX = re.compile(_ADDRESS.pattern.replace("a-zA-Z0-9!", r"a-zA-Z0-9\x80-\U0010ffff!"))
_PARTS = re.compile(r"(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*")
_FUTURE_HOST = re.compile(r"[vV][0-9a-fA-F]+\.[a-zA-Z0-9._~!$&'()*+,;=:-]+")
_BEYOND = r"\u00A0-\uD7FF\uF900-\uFDCF\uFDF0-\uFFEF\U00010000-\U000EFFFD"  # what IRIs have, and URIs don't

Fits = Callable[[str], bool]


class UnreadPattern(Exception):
    """A regular expression may be one, and is more than can be read."""

    def __init__(self) -> None:
        super().__init__("has a regular expression that is too large, or nested too deep, to be read")


def read_pattern(text: str) -> regex.Pattern[str]:
    """A regular expression. Raises regex.error where it is none, and UnreadPattern."""
    if size(text, _MOST_PIECES) > _MOST_PIECES:
        raise UnreadPattern
    try:
        return regex.compile(text)
    except (RecursionError, MemoryError, OverflowError) as beyond:
        raise UnreadPattern from beyond


def _matches(pattern: str) -> Fits:
    compiled = re.compile(pattern, re.ASCII)
    return lambda text: compiled.fullmatch(text) is not None


def _parses(parse: Callable[[str], object]) -> Fits:
    def fits(text: str) -> bool:
        try:
            parse(text)
        except (ValueError, regex.error):  # what idna and ipaddress raise are values' errors, too
            return False
        return True

    return fits


_is_host_name = _matches(rf"{_LABEL}(?:\.{_LABEL})*")
_is_idn = _parses(idna.encode)
_is_ipv4 = _parses(ipaddress.IPv4Address)
_is_regex = _parses(read_pattern)


def _is_date(text: str) -> bool:
    return _DATE.fullmatch(text) is not None and _parses(date.fromisoformat)(text)


def _is_time(text: str) -> bool:
    """A leap second comes at the end of a day of UTC."""
    found = _TIME.fullmatch(text)
    if found is None or found[3] != "60":
        return found is not None
    offset = 0 if found[4] is None else int(f"{found[4]}1") * (60 * int(found[5]) + int(found[6]))
    return (60 * int(found[1]) + int(found[2]) - offset) % _DAY == _DAY - 1


def _is_date_time(text: str) -> bool:
    return text[10:11] in ("t", "T") and _is_date(text[:10]) and _is_time(text[11:])


def _is_ipv6(text: str) -> bool:
    return "%" not in text and _parses(ipaddress.IPv6Address)(text)


def _is_host(text: str) -> bool:
    """The name may be that of an international one; that must be one, then."""
    return len(text) <= _LONGEST_HOST and _is_host_name(text) and ("xn--" not in text.lower() or _is_idn(text))


def _is_idn_host(text: str) -> bool:
    return len(text) <= _LONGEST_HOST and not text.endswith(_DOTS) and _is_idn(text)


def _is_address(form: re.Pattern[str], is_host: Fits) -> Fits:
    def fits(text: str) -> bool:
        found = form.fullmatch(text)
        if found is None or found["literal"] is None:
            return found is not None and is_host(found["host"])
        literal = found["literal"]
        return _is_ipv6(literal[5:]) if literal[:5].lower() == "ipv6:" else _is_ipv4(literal)

    return fits


def _refers(beyond: str, private: str, *, whole: bool) -> Fits:
    """A reference with letters `beyond` ASCII's, and `private` ones in its query. `whole`: it must have a scheme."""

    def some(more: str) -> str:
        return rf"(?:[a-zA-Z0-9._~!$&'()*+,;={beyond}{more}-]|{_PERCENT})*"

    authority = re.compile(rf"(?:{some(':')}@)?(?:\[(?P<literal>[^\]]*)\]|{some('')})(?::\d*)?", re.ASCII)
    path, query, fragment = (re.compile(some(more)) for more in ("/:@", f"/?:@{private}", "/?:@"))

    def fits(text: str) -> bool:
        found = _PARTS.fullmatch(text)
        if found is None:
            return False
        scheme, at, way, asked, place = found.groups()
        if scheme is None and (whole or (at is None and ":" in way.partition("/")[0])):
            return False
        host = authority.fullmatch(at or "")
        if host is None or (scheme is not None and not _SCHEME.fullmatch(scheme)):
            return False
        literal = host["literal"]
        if literal is not None and not (_is_ipv6(literal) or _FUTURE_HOST.fullmatch(literal)):
            return False
        return bool(path.fullmatch(way) and query.fullmatch(asked or "") and fragment.fullmatch(place or ""))

    return fits


_PRIVATE = r"\uE000-\uF8FF\U000F0000-\U0010FFFD"
FORMATS: dict[str, Fits] = {
    "date": _is_date,
    "time": _is_time,
    "date-time": _is_date_time,
    "duration": _matches(_DURATION),
    "email": _is_address(_ADDRESS, _is_host),
    "idn-email": _is_address(_MAILBOX, _is_idn_host),
    "hostname": _is_host,
    "idn-hostname": _is_idn_host,
    "ipv4": _is_ipv4,
    "ipv6": _is_ipv6,
    "uri": _refers("", "", whole=True),
    "uri-reference": _refers("", "", whole=False),
    "iri": _refers(_BEYOND, _PRIVATE, whole=True),
    "iri-reference": _refers(_BEYOND, _PRIVATE, whole=False),
    "uri-template": _matches(_TEMPLATE),
    "uuid": _matches(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    "json-pointer": _matches(_POINTER),
    "relative-json-pointer": _matches(rf"(?:0|[1-9]\d*)(?:#|{_POINTER})"),
    "regex": _is_regex,
}
