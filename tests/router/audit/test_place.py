"""Places as people write them. What is shown of one has no password."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from triroute.router.audit.chronicle import plain
from triroute.router.audit.place import BadPlace, PostgresUrl, to_place
from triroute.router.audit.schema import beside
from triroute.router.cli.app import app
from triroute.router.settings import Settings


@pytest.mark.parametrize("text", ["r.sqlite", "/var/lib/r.sqlite", "./postgresql:/r", "a://b", "postgresql"])
def test_files(text: str) -> None:
    assert to_place(text) == Path(text)
    assert to_place(Path(text)) == Path(text)


@pytest.mark.parametrize(
    ("text", "shown", "schema", "name"),
    [
        ("postgresql://me@db/audit", "postgresql://me@db/audit", "triroute", "db-audit-triroute"),
        ("postgres://me:pw@db:6432/a?schema=r1", "postgres://me@db:6432/a?schema=r1", "r1", "db-6432-a-r1"),
        (
            "postgresql:///a?host=/run/pg&port=7",
            "postgresql:///a?host=/run/pg&port=7",
            "triroute",
            "run-pg-7-a-triroute",
        ),
        ("postgresql://me@h1:1,h2:2/a", "postgresql://me@h1:1,h2:2/a", "triroute", "h1-1-h2-2-a-triroute"),
        ("postgresql://me@%2Frun%2Fpg/a", "postgresql://me@%2Frun%2Fpg/a", "triroute", "run-pg-a-triroute"),
        ("postgresql://db/a?password=p%20w&user=me", "postgresql://db/a?user=me", "triroute", "db-a-triroute"),
        ("postgresql://me:p#?w@db/a?sslpassword=q", "postgresql://me@db/a", "triroute", "db-a-triroute"),
        ("postgresql://db?dbname=a&schema=b", "postgresql://db?dbname=a&schema=b", "b", "db-a-b"),
        ("postgresql://me@db", "postgresql://me@db", "triroute", "db-me-triroute"),
    ],
)
def test_urls(text: str, shown: str, schema: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = to_place(text)
    assert isinstance(found, PostgresUrl)
    assert (str(found), found.schema, found.name) == (shown, schema, name)
    assert "schema" not in found.url
    monkeypatch.setenv("TRIROUTE_HOME", str(tmp_path))
    assert beside(found, "key") == tmp_path / "postgres" / f"{name}.key"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("postgresql://db", "names no database"),
        ("postgresql://me:hidden@db/a?schema=Robert'); --", "is no name of a schema"),
        ("postgresql://me:hidden@db/a?schema=pg_catalog", "is no name of a schema"),
        ("postgresql://me:hidden/hidden@db/a", "has to write them as %40 and %2F"),
        ("postgresql://me:hidden@hidden@db/a", "has to write them as %40 and %2F"),
    ],
)
def test_what_is_no_place(text: str, why: str) -> None:
    with pytest.raises(BadPlace, match=why) as found:
        to_place(text)
    assert "hidden" not in str(found.value)
    done = CliRunner().invoke(app, ["audit", "list", "--records", text], env={"COLUMNS": "300"})
    assert done.exit_code == 2
    assert "hidden" not in done.output


def test_passwords_are_not_shown() -> None:
    place = to_place("postgresql://me:s%3Acret@db/a?sslpassword=other")
    assert isinstance(place, PostgresUrl)
    told = f"{place} {place!r} {plain(Settings(records=place))} {Settings(records=place)!r}"
    assert "cret" not in told
    assert "other" not in told
    assert place.clean("user s:cret, raw s%3Acret,\n\tother") == "user ***, raw ***, ***"
