"""Where a log is: a file, or a schema of a PostgreSQL database."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

_SCHEMES = ("postgresql", "postgres")
_SECRETS = ("password", "sslpassword")
_SCHEMA = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")
_SCHEMA_OPTION, DEFAULT_SCHEMA = "schema", "triroute"
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


class BadPlace(ValueError):
    """A URL that says no place."""


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """A log in PostgreSQL. As text it has no password.

    `url` is libpq's; `schema` holds the tables of this one log; `name` names its files on this machine.
    """

    shown: str
    schema: str
    name: str
    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)  # as written and as meant, to be kept out of messages

    @classmethod
    def parse(cls, text: str) -> PostgresUrl:
        """`postgresql://USER@HOST/DATABASE?schema=NAME`, with any option of libpq. Raises BadPlace."""
        scheme, _, rest = text.partition("://")
        authority, slash, rest = rest.partition("/")
        who, _, hosts = authority.rpartition("@")
        hosts, _, query = hosts.partition("?")
        if slash:
            rest, _, query = rest.partition("?")
        if "@" in who or "@" in rest:
            raise BadPlace("a user's name or password with @ or / in it has to write them as %40 and %2F")
        user, _, password = who.partition(":")
        pairs = [raw.partition("=") for raw in query.split("&") if raw]
        given = {name: unquote(value) for name, _, value in pairs}
        schema = given.get(_SCHEMA_OPTION, DEFAULT_SCHEMA)
        if not _SCHEMA.fullmatch(schema):
            raise BadPlace(f"schema={schema!r} is no name of a schema: it takes a to z, 0 to 9 and _")
        database = unquote(rest.strip("/")) or given.get("dbname") or unquote(user)
        if not database:
            raise BadPlace(f"it names no database; write {_SCHEMES[0]}://USER@HOST/DATABASE")
        host = unquote(hosts) or ":".join(filter(None, (given.get("host", "local"), given.get("port"))))
        secrets = {password, unquote(password)}
        secrets |= {raw for name, _, raw in pairs if name in _SECRETS} | {given.get(name, "") for name in _SECRETS}

        def written(who: str, left_out: tuple[str, ...]) -> str:
            options = "&".join("".join(pair) for pair in pairs if pair[0] not in left_out)
            return f"{scheme}://{who}{'@' if who else ''}{hosts}{slash}{rest}{'?' if options else ''}{options}"

        return cls(
            written(user, _SECRETS),
            schema,
            _UNFIT.sub("-", f"{host}-{database}-{schema}").strip("-."),
            written(who, (_SCHEMA_OPTION,)),
            tuple(sorted(filter(None, secrets), key=len, reverse=True)),
        )

    def __str__(self) -> str:
        return self.shown

    def clean(self, message: str) -> str:
        """A message without the password, in one line."""
        for secret in self.secrets:
            message = message.replace(secret, "***")
        return " ".join(message.split())


class Place(Protocol):
    """A file's `Path`, or a `PostgresUrl`. As text it can be shown to anybody."""

    @property
    def name(self) -> str: ...


def to_place(text: str | Path) -> Place:
    """A URL with a scheme of PostgreSQL is one, everything else a file's path. Raises BadPlace."""
    if isinstance(text, str) and text.partition("://")[0] in _SCHEMES and "://" in text:
        return PostgresUrl.parse(text)
    return Path(text)
