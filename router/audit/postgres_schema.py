"""The tables of a log in PostgreSQL."""

from __future__ import annotations

from triroute.router.audit.schema import VERSION

# As the tables in SQLite. Names are in "C" order, so that a range finds a prefix. Bodies are deflated already.
SCHEMA = (
    f"""CREATE TABLE log (
        one integer PRIMARY KEY CHECK (one = 1), key text NOT NULL, version integer NOT NULL DEFAULT {VERSION}
    )""",
    """CREATE TABLE entry (
        number bigint PRIMARY KEY, leaf bytea NOT NULL, at_us bigint,
        request_id text COLLATE "C", trace_id text COLLATE "C", packing integer, body bytea
    )""",
    "ALTER TABLE entry ALTER body SET STORAGE EXTERNAL",
    "CREATE INDEX entry_request ON entry (request_id) WHERE request_id IS NOT NULL",
    "CREATE INDEX entry_trace ON entry (trace_id) WHERE trace_id IS NOT NULL",
    "CREATE TABLE dictionary (number integer PRIMARY KEY, name text NOT NULL UNIQUE, body bytea NOT NULL)",
    """CREATE TABLE checkpoint (
        segment bigint PRIMARY KEY, size bigint NOT NULL, note text NOT NULL, peaks bytea NOT NULL
    )""",
    'CREATE TABLE kept (sha256 text COLLATE "C" PRIMARY KEY, packing integer NOT NULL, body bytea NOT NULL)',
    """CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'append-only'; END $$""",
    """CREATE FUNCTION entry_added() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.number IS DISTINCT FROM (SELECT coalesce(max(number) + 1, 0) FROM entry) THEN
            RAISE EXCEPTION 'append-only';
        END IF;
        RETURN NEW;
    END $$""",
    "CREATE TRIGGER entry_added BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION entry_added()",
    """CREATE TRIGGER entry_stays BEFORE UPDATE ON entry FOR EACH ROW
        WHEN (NEW.number IS DISTINCT FROM OLD.number OR NEW.leaf IS DISTINCT FROM OLD.leaf OR NEW.body IS NOT NULL)
        EXECUTE FUNCTION append_only()""",
    "CREATE TRIGGER entry_kept BEFORE DELETE OR TRUNCATE ON entry EXECUTE FUNCTION append_only()",
    "CREATE TRIGGER kept_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON kept EXECUTE FUNCTION append_only()",
)
