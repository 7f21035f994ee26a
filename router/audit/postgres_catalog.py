"""What PostgreSQL's catalogs say of a log's tables: a view, a rule or a trigger that hides or changes rows shows."""

from __future__ import annotations

# `?` is the schema's name.
CATALOG = """
WITH own AS (
    SELECT oid, relname::text AS own, relkind::text AS kind, relrowsecurity FROM pg_class
    WHERE relnamespace = to_regnamespace(?) AND relname IN ('log', 'entry', 'dictionary', 'checkpoint', 'kept')
)
SELECT own, CASE WHEN relrowsecurity THEN 'filtered' ELSE kind END FROM own
UNION ALL SELECT own || '.' || attname, format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN '!' ELSE '' END
    FROM own JOIN pg_attribute ON attrelid = own.oid WHERE attnum > 0 AND NOT attisdropped
UNION ALL SELECT own || ' constraint ' || conname, pg_get_constraintdef(one.oid)
    FROM own JOIN pg_constraint one ON conrelid = own.oid WHERE contype NOT IN ('n', 'p', 'u')
UNION ALL SELECT own || ' index ' || indexrelid::regclass, pg_get_indexdef(indexrelid, 0, true)
    FROM own JOIN pg_index ON indrelid = own.oid
UNION ALL SELECT own || ' trigger ' || tgname, tgenabled::text || ' ' || pg_get_triggerdef(one.oid, true)
    FROM own JOIN pg_trigger one ON tgrelid = own.oid WHERE NOT tgisinternal
UNION ALL SELECT own || ' rule ' || rulename, pg_get_ruledef(one.oid)
    FROM own JOIN pg_rewrite one ON ev_class = own.oid
UNION ALL SELECT one.oid::regprocedure::text, btrim(regexp_replace(prosrc, '\\s+', ' ', 'g'))
    FROM pg_proc one WHERE pronamespace = to_regnamespace(?) AND proname IN ('append_only', 'entry_added')
"""

# By name, as PostgreSQL 15 to 18 write it. "O" is a trigger that fires for everybody but replication; "!" is NOT NULL.
EXPECTED = {
    "append_only()": "BEGIN RAISE EXCEPTION 'append-only'; END",
    "checkpoint": "r",
    "checkpoint index checkpoint_pkey": ("CREATE UNIQUE INDEX checkpoint_pkey ON checkpoint USING btree (segment)"),
    "checkpoint.note": "text!",
    "checkpoint.peaks": "bytea!",
    "checkpoint.segment": "bigint!",
    "checkpoint.size": "bigint!",
    "dictionary": "r",
    "dictionary index dictionary_name_key": (
        "CREATE UNIQUE INDEX dictionary_name_key ON dictionary USING btree (name)"
    ),
    "dictionary index dictionary_pkey": ("CREATE UNIQUE INDEX dictionary_pkey ON dictionary USING btree (number)"),
    "dictionary.body": "bytea!",
    "dictionary.name": "text!",
    "dictionary.number": "integer!",
    "entry": "r",
    "entry index entry_pkey": "CREATE UNIQUE INDEX entry_pkey ON entry USING btree (number)",
    "entry index entry_request": (
        "CREATE INDEX entry_request ON entry USING btree (request_id) WHERE request_id IS NOT NULL"
    ),
    "entry index entry_trace": ("CREATE INDEX entry_trace ON entry USING btree (trace_id) WHERE trace_id IS NOT NULL"),
    "entry trigger entry_added": (
        "O CREATE TRIGGER entry_added BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION entry_added()"
    ),
    "entry trigger entry_kept": (
        "O CREATE TRIGGER entry_kept BEFORE DELETE OR TRUNCATE ON entry FOR EACH STATEMENT EXECUTE FUNCTION "
        "append_only()"
    ),
    "entry trigger entry_stays": (
        "O CREATE TRIGGER entry_stays BEFORE UPDATE ON entry FOR EACH ROW WHEN (new.number IS DISTINCT FROM "
        "old.number OR new.leaf IS DISTINCT FROM old.leaf OR new.body IS NOT NULL) EXECUTE FUNCTION "
        "append_only()"
    ),
    "entry.at_us": "bigint",
    "entry.body": "bytea",
    "entry.leaf": "bytea!",
    "entry.number": "bigint!",
    "entry.packing": "integer",
    "entry.request_id": "text",
    "entry.trace_id": "text",
    "entry_added()": (
        "BEGIN IF NEW.number IS DISTINCT FROM (SELECT coalesce(max(number) + 1, 0) FROM entry) THEN RAISE "
        "EXCEPTION 'append-only'; END IF; RETURN NEW; END"
    ),
    "kept": "r",
    "kept index kept_pkey": "CREATE UNIQUE INDEX kept_pkey ON kept USING btree (sha256)",
    "kept trigger kept_kept": (
        "O CREATE TRIGGER kept_kept BEFORE DELETE OR UPDATE OR TRUNCATE ON kept FOR EACH STATEMENT EXECUTE "
        "FUNCTION append_only()"
    ),
    "kept.body": "bytea!",
    "kept.packing": "integer!",
    "kept.sha256": "text!",
    "log": "r",
    "log constraint log_one_check": "CHECK ((one = 1))",
    "log index log_pkey": "CREATE UNIQUE INDEX log_pkey ON log USING btree (one)",
    "log.key": "text!",
    "log.one": "integer!",
    "log.version": "integer!",
}
