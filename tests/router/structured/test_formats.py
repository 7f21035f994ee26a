"""Every format of the drafts is looked at, in each of them."""

from __future__ import annotations

import json

import pytest

from triroute.router.structured.formats import FORMATS
from triroute.router.structured.schema import wrong_in

DIALECTS = [
    "http://json-schema.org/draft-04/schema#",
    "http://json-schema.org/draft-06/schema#",
    "http://json-schema.org/draft-07/schema#",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
]
CASES = {  # format: what fits, what does not
    "date": (["2024-02-29"], ["2023-02-29", "2024-2-9", "yesterday", "२०२४-०१-०१"]),
    "time": (["12:00:00Z", "23:59:60Z", "00:29:60.5+00:30"], ["12:00:00", "24:00:00Z", "12:00:60Z", "noon"]),
    "date-time": (
        ["2024-02-29T12:00:00.25+01:00", "1998-12-31t23:59:60z"],
        ["2024-02-29 12:00:00Z", "2023-02-29T12:00:00Z", "yesterday"],
    ),
    "duration": (["P1Y2M3DT4H5M6S", "PT1S", "P2W"], ["P", "PT", "P1Y2W", "P1D1Y", "1D", "P1.5D"]),
    "email": (
        ["a.b+c@example.org", '"a b"@example.org', "a@[127.0.0.1]", "a@[IPv6:::1]"],
        ["a", "a b@example.org", ".a@example.org", "a@[300.0.0.1]", "a@-b"],
    ),
    "idn-email": (["ж@пример.рф"], ["пример.рф", "ж ж@пример.рф"]),
    "hostname": (
        ["example.org", "a", "xn--e1afmkfd"],
        ["-a", "a_b", "a..b", "a" * 64, "xn--X", "a b", ".".join(["a" * 63] * 4) + "a"],
    ),
    "idn-hostname": (["пример.рф"], ["пример рф", "a.", "-a"]),
    "ipv4": (["127.0.0.1"], ["127.0.0", "256.0.0.1", "01.2.3.4"]),
    "ipv6": (["::1", "1:2:3:4:5:6:7:8"], ["1::2::3", "::1%eth0", "12345::"]),
    "uri": (
        ["http://u:p@h:1/p?q#f", "urn:a:b", "http://[::1]/", "mailto:a@b"],
        ["/a", "a b:c", "http://[", "http://[1]/", "http://a/%zz", "http://h:x/", "\\\\a\\b"],
    ),
    "uri-reference": (["", "#/a", "../b?c", "//h/p", "a:b"], ["a b", "1:b", "#a#b", "ж"]),
    "iri": (["http://пример.рф/ж?\ue000"], ["/ж", "http://пример рф/", "http://a/\ue000"]),
    "iri-reference": (["ж#ж"], ["ж ж", "\\"]),
    "uri-template": (["/a{?b,c*}{d:3}", "{+a}"], ["{a", "a}", "{a:0}", "{ a}", "a b"]),
    "uuid": (
        ["2EB8AA08-aa98-11ea-b4aa-73b441d16380"],
        ["2eb8aa08aa9811eab4aa73b441d16380", "2eb8aa08-aa98-11ea-b4aa-73b441d1638g"],
    ),
    "json-pointer": (["", "/a~1b/0"], ["a", "/~2", "#/a"]),
    "relative-json-pointer": (["0", "1/a", "0#"], ["", "/a", "01", "-1", "1##"]),
    "regex": (["^\\p{L}+$", "(?=a)"], ["(", "[", "*"]),
}


def test_every_format_has_cases() -> None:
    assert CASES.keys() == FORMATS.keys()


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda uri: uri.split("/")[-2])
@pytest.mark.parametrize("name", CASES)
def test_a_format_is_checked(name: str, dialect: str) -> None:
    schema = json.dumps({"$schema": dialect, "format": name})
    for text in CASES[name][0]:
        assert wrong_in(json.dumps(text), schema) is None, text
    for text in CASES[name][1]:
        wrong = wrong_in(json.dumps(text), schema)
        assert wrong is not None, text
        assert wrong.problem.startswith("format: ")
    assert wrong_in("7", schema) is None


def test_unknown_formats_are_none() -> None:
    assert wrong_in('"x"', '{"format": "color-of-the-sky"}') is None
