"""A log for other tools: JSON lines with everything in it, or a Parquet table with a row of figures a step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from triroute.proto import decoding_pb2, router_pb2
from triroute.router.audit.entries import Logged, read_entries
from triroute.router.audit.place import Place
from triroute.router.audit.store import RecordStore
from triroute.router.errors import Damaged, TrirouteError

_ROWS = 2000  # of a Parquet row group


class ParquetMissing(TrirouteError):
    """The optional package that writes Parquet is not installed."""

    reason = "PARQUET_MISSING"


def to_json_lines(place: Place, out: Path) -> int:
    """Every entry, in order, with passes and texts. Returns how many. Raises NotFound, OSError."""
    store, count = RecordStore(place), 0
    with out.open("w", encoding="utf-8") as file:
        for logged in read_entries(place):
            file.write(f"{json.dumps(_plain(logged, store), ensure_ascii=False)}\n")
            count += 1
    return count


def to_parquet(place: Place, out: Path) -> int:
    """Every step whose body is there. Returns how many. Raises ParquetMissing, NotFound, OSError."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ParquetMissing("Parquet is written by pyarrow: pip install 'triroute[parquet]'") from error
    kinds = {"s": pa.string(), "i": pa.int64(), "f": pa.float64(), "b": pa.bool_()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in _COLUMNS.items()])
    count = 0
    with pq.ParquetWriter(out, schema) as writer:
        for rows in _groups(place):
            writer.write_table(pa.Table.from_pylist(rows, schema))
            count += len(rows)
    return count


_COLUMNS = {
    **dict.fromkeys(("number", "at_us"), "i"),
    **dict.fromkeys(("leaf", "request_id", "trace_id", "request_sha256", "model", "engine_sha256"), "s"),
    **dict.fromkeys(("step", "observed", "rule_id", "policy_revision", "mode", "variant", "tenant", "error"), "s"),
    **dict.fromkeys(("confidence",), "f"),
    **dict.fromkeys(("prompt_tokens", "completion_tokens", "drafted_tokens", "accepted_tokens"), "i"),
    **dict.fromkeys(("passes", "prefill_passes", "queue_us", "prefill_us", "decode_us", "first_token_us"), "i"),
    **dict.fromkeys(("resumes", "escalations"), "i"),
    "check": "s",
}


def _groups(place: Place) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for logged in read_entries(place):
        if logged.entry is None or not logged.entry.HasField("record"):
            continue
        rows.append({"number": logged.number, "leaf": logged.leaf.hex(), **_figures(logged.entry.record)})
        if len(rows) == _ROWS:
            yield rows
            rows = []
    if rows:
        yield rows


def _figures(record: router_pb2.Record) -> dict[str, Any]:
    decision, finish = record.decision, record.finish
    usage, timings = finish.usage, finish.timings
    return {
        "at_us": record.arrived_us,
        "request_id": record.request_id,
        "trace_id": decision.trace_id,
        "request_sha256": record.request_sha256,
        "model": record.model,
        "engine_sha256": record.engine_sha256,
        "step": _word(router_pb2.StepKind.Name(decision.step), "STEP_KIND_"),
        "observed": _word(router_pb2.StepKind.Name(record.observed), "STEP_KIND_"),
        "rule_id": decision.rule_id,
        "policy_revision": decision.policy_revision,
        "mode": _word(decoding_pb2.Mode.Name(decision.plan.mode), "MODE_"),
        "variant": _word(decoding_pb2.Variant.Name(decision.plan.variant), "VARIANT_"),
        "tenant": record.features.tenant,
        "error": record.error,
        "confidence": decision.confidence,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "drafted_tokens": usage.drafted_tokens,
        "accepted_tokens": usage.accepted_prediction_tokens,
        "passes": usage.passes,
        "prefill_passes": usage.prefill_passes,
        "queue_us": timings.queue_us,
        "prefill_us": timings.prefill_us,
        "decode_us": timings.decode_us,
        "first_token_us": timings.first_token_us,
        "resumes": finish.resumes,
        "escalations": len(finish.escalations),
        "check": _word(router_pb2.Check.Result.Name(finish.check.result), "RESULT_"),
    }


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


def _plain(logged: Logged, store: RecordStore) -> dict[str, Any]:
    plain: dict[str, Any] = {"number": logged.number, "leaf": logged.leaf.hex(), "kind": logged.kind}
    if logged.entry is None:
        return plain | ({"damage": logged.damage} if logged.damage else {})
    if logged.entry.HasField("record"):
        try:
            record = store.whole(logged.entry.record)
        except Damaged as error:
            return plain | {"kind": "damaged", "damage": error.message}
        return plain | {"record": json_format.MessageToDict(record, preserving_proto_field_name=True)}
    try:
        told = json_format.MessageToDict(logged.entry.event, preserving_proto_field_name=True)
    except TypeError:  # an event of a newer version
        told = {"at_us": str(logged.at_us), "kind": logged.kind}
    return plain | {"event": told}
