"""Every name in Triroute's traces, metrics and logs, once, with its meaning.

docs/telemetry_names.md is made of this file: `python -m triroute.router.telemetry.page`. Names of `gen_ai.*`, `rpc.*`,
`http.*`, `url.*` and `error.*`, and the buckets of `gen_ai.*`, are those of OpenTelemetry's semantic conventions.
"""

from __future__ import annotations

from typing import Self

SERVICE = "triroute-router"

Buckets = tuple[float, ...]


class Name(str):
    """A name, and what it means."""

    what: str

    def __new__(cls, name: str, what: str) -> Self:
        made = super().__new__(cls, name)
        made.what = what
        return made


class Span(Name):
    """A span's name, or its pattern."""


class Attribute(Name):
    """Of a span, an event, a metric or a log line."""


class Event(Name):
    """Of a span, with its attributes."""

    on: Span
    has: tuple[Attribute, ...]

    def __new__(cls, name: str, on: Span, has: tuple[Attribute, ...], what: str) -> Self:
        made = super().__new__(cls, name, what)
        made.on, made.has = on, has
        return made


class Metric(Name):
    """With its unit, as UCUM writes it, and its labels."""

    unit: str
    labels: tuple[Attribute, ...]

    def __new__(cls, name: str, unit: str, labels: tuple[Attribute, ...], what: str) -> Self:
        made = super().__new__(cls, name, what)
        made.unit, made.labels = unit, labels
        return made


class Counter(Metric):
    """It only grows."""


class Gauge(Metric):
    """What is now."""


class Histogram(Metric):
    """How often a value was under each of its buckets."""

    buckets: Buckets

    def __new__(cls, name: str, unit: str, labels: tuple[Attribute, ...], what: str, buckets: Buckets = ()) -> Self:
        made = super().__new__(cls, name, unit, labels, what)
        made.buckets = buckets
        return made


SERVER = Span("triroute.v1.Router/Generate", "a step, from its arrival to its end; below the caller's `traceparent`")
HTTP_SERVER = Span("POST {route}", "the same for a step that came by HTTP; below the request's `traceparent`")
ROUTE = Span("route", "how the step is taken, and the decision")
CHAT = Span("chat {model}", "the inference; `text_completion {model}` for a raw prompt")
QUEUE = Span("queue", "waiting for the engine")
PREFILL = Span("prefill", "reading the prompt")
DECODE = Span("decode {mode}", "one segment of the output; the sixteenth stands for all later ones")

RPC_SYSTEM = Attribute("rpc.system.name", "`grpc`")
RPC_METHOD = Attribute("rpc.method", "the method")
ERROR = Attribute("error.type", "why it failed, as in the status that the caller got")
HTTP_METHOD = Attribute("http.request.method", "`POST`")
HTTP_ROUTE = Attribute("http.route", "as in `/v1/chat/completions`")
HTTP_STATUS = Attribute("http.response.status_code", "left out where the caller left before there was any")
URL_PATH = Attribute("url.path", "the path that was asked")
URL_SCHEME = Attribute("url.scheme", "`http`")
REQUEST_ID = Attribute("triroute.request.id", "names the step in records")

STEP_KIND = Attribute("triroute.step.kind", "what the step is taken for")
STEP_CONFIDENCE = Attribute("triroute.step.confidence", "how sure, 0 to 1")
EVIDENCE = Attribute("triroute.step.evidence", "what that rests on")
POLICY_RULE = Attribute("triroute.policy.rule", "the rule that decided")
POLICY_REVISION = Attribute("triroute.policy.revision", "SHA-256 of the policy")
PASSED_OVER = Attribute(
    "triroute.policy.passed_over",
    "the rules before it, and why each did not; under `capture: none` without what the caller said",
)
CLAMPS = Attribute("triroute.policy.clamps", "parameters that limits moved")
HINTS = Attribute("triroute.policy.hints", "the caller's hints, and what became of them")
POLICY_ARM = Attribute("triroute.policy.arm", "stable or canary, while there is one")
SHADOW = Attribute("triroute.shadow.policy", "what the policy on trial would have done")
SHADOW_AGREES = Attribute("triroute.shadow.agrees", "whether that is the same")

OPERATION = Attribute("gen_ai.operation.name", "`chat` or `text_completion`")
PROVIDER = Attribute("gen_ai.provider.name", "`triroute`")
REQUEST_MODEL = Attribute("gen_ai.request.model", "the model that was asked")
STREAM = Attribute("gen_ai.request.stream", "whether the output came as it was written: by gRPC always")
MAX_TOKENS = Attribute("gen_ai.request.max_tokens", "most tokens of the output")
TEMPERATURE = Attribute("gen_ai.request.temperature", "0 draws the likeliest")
TOP_P = Attribute("gen_ai.request.top_p", "share of probability to draw from")
TOP_K = Attribute("gen_ai.request.top_k", "so many of the likeliest tokens to draw from")
SEED = Attribute("gen_ai.request.seed", "of the draws; left out beyond 63 bits")
STOP = Attribute("gen_ai.request.stop_sequences", "texts that end the output; not under `capture: none`")
CONVERSATION = Attribute("gen_ai.conversation.id", "the agent's session; not under `capture: none`")
RESPONSE_MODEL = Attribute("gen_ai.response.model", "the model that answered")
RESPONSE_ID = Attribute("gen_ai.response.id", "the same as `triroute.request.id`")
FINISH_REASONS = Attribute("gen_ai.response.finish_reasons", "why the output ended")
FIRST_CHUNK = Attribute("gen_ai.response.time_to_first_chunk", "seconds from the engine's taking it to the first token")
INPUT_TOKENS = Attribute("gen_ai.usage.input_tokens", "tokens of the prompt")
OUTPUT_TOKENS = Attribute("gen_ai.usage.output_tokens", "tokens of the output")
CACHED_TOKENS = Attribute("gen_ai.usage.cache_read.input_tokens", "tokens of the prompt that the cache had")
RESUMES_COUNT = Attribute("triroute.resumes", "times that it went on after its engine was lost")
CHECK = Attribute("triroute.check.result", "whether the output fits its schema")
CHECK_PROBLEM = Attribute("triroute.check.problem", "where it does not, and why")
ESCALATIONS_COUNT = Attribute("triroute.escalations", "times that it was written again")
UNENFORCED = Attribute("triroute.unenforced", "keywords of its schema that no grammar enforces")
LOSSY = Attribute("triroute.lossy", "tokens that autoregression would not have drawn")

SEGMENT = Attribute("triroute.segment.index", "number of the segment")
SEGMENT_KIND = Attribute("triroute.segment.kind", "what its text is")
SEGMENTS_MORE = Attribute("triroute.segments_more", "later segments that this span stands for")
MODE = Attribute("triroute.mode", "how it was decoded")
VARIANT = Attribute("triroute.variant", "arrangement of self-speculation")
BLOCK_LENGTH = Attribute("triroute.block_length", "tokens a block, where it was given")
CONFIDENCE_THRESHOLD = Attribute("triroute.confidence_threshold", "diffusion keeps a position from here on, 0 to 1")
FIXED_STEPS = Attribute("triroute.fixed_steps", "refinement steps a block, where they are fixed")
DRAFT_THRESHOLD = Attribute("triroute.draft_threshold", "drafts under it are drafted again, 0 to 1")
DRAFT_SOURCES = Attribute("triroute.draft_sources", "where drafts may come from")
VERIFICATION = Attribute("triroute.verification", "`relaxed`, where it is lossy")
PASSES = Attribute("triroute.passes", "forward passes; the one that ends the prompt is among them")
DRAFTED = Attribute("triroute.drafted", "drafts that were checked")
ACCEPTED = Attribute("triroute.accepted", "drafts that held")
REJECTED = Attribute("triroute.rejected", "drafts that did not")
FORCED = Attribute("triroute.forced", "tokens that the grammar left no choice about")
TOKENS_PER_FORWARD = Attribute("triroute.tokens_per_forward", "tokens a pass, where there was one")
TOOL_CALLS = Attribute("triroute.tool_calls", "tool calls written in it, by id and name")
ACCEPT_PATH = Attribute(
    "triroute.accept_path", "tokens committed by each pass, a digit each (a is 10, z is 35 and more), at most 4,096"
)
LINK = Attribute("triroute.link", "on the link to the step before in the same session and tenant: why it is there")

SPANS: dict[Span, tuple[Attribute, ...]] = {
    SERVER: (RPC_SYSTEM, RPC_METHOD, REQUEST_ID, ERROR, LINK),
    HTTP_SERVER: (HTTP_METHOD, HTTP_ROUTE, URL_PATH, URL_SCHEME, HTTP_STATUS, REQUEST_ID, ERROR, LINK),
    ROUTE: (
        *(STEP_KIND, STEP_CONFIDENCE, EVIDENCE, POLICY_RULE, POLICY_REVISION, PASSED_OVER, CLAMPS, HINTS),
        *(POLICY_ARM, SHADOW, SHADOW_AGREES),
    ),
    CHAT: (
        *(OPERATION, PROVIDER, REQUEST_MODEL, STREAM, MAX_TOKENS, TEMPERATURE, TOP_P, TOP_K, SEED, STOP, CONVERSATION),
        *(RESPONSE_MODEL, RESPONSE_ID, FINISH_REASONS, FIRST_CHUNK, INPUT_TOKENS, OUTPUT_TOKENS, CACHED_TOKENS),
        *(RESUMES_COUNT, CHECK, CHECK_PROBLEM, ESCALATIONS_COUNT, UNENFORCED, LOSSY, ERROR),
    ),
    QUEUE: (),
    PREFILL: (PASSES,),
    DECODE: (
        *(SEGMENT, SEGMENT_KIND, MODE, VARIANT, BLOCK_LENGTH, CONFIDENCE_THRESHOLD, FIXED_STEPS, DRAFT_THRESHOLD),
        *(DRAFT_SOURCES, VERIFICATION, PASSES, DRAFTED, ACCEPTED, REJECTED, FORCED, TOKENS_PER_FORWARD, TOOL_CALLS),
        *(SEGMENTS_MORE, ACCEPT_PATH),
    ),
}

PASS = Attribute("triroute.pass", "number of the pass, as in the record")
COUNT = Attribute("triroute.count", "how many")
TOKEN_IDS = Attribute(
    "triroute.token_ids",
    "the first of the rejected tokens, at most 16; those that may quote the request where the policy captures content",
)
TEXT = Attribute("triroute.text", "their text, where the policy captures content")
STEPS = Attribute("triroute.refinement_steps", "refinement steps that the block took")
WHY = Attribute("triroute.why", "what was wrong")

REJECTION = Event(
    "triroute.rejection", DECODE, (PASS, COUNT, TOKEN_IDS, TEXT), "one of the verifications that threw away most"
)
BLOCK = Event("triroute.block", DECODE, (PASS, COUNT, STEPS), "one of the diffusion blocks that took most steps")
ESCALATION = Event("triroute.escalation", CHAT, (COUNT, WHY), "output that was written again")
RESUME = Event("triroute.resume", CHAT, (COUNT,), "times that the engine was lost, and the step went on")
PREEMPTION = Event("triroute.preemption", CHAT, (COUNT,), "times that the step lost its cache to older ones")

OUTCOME = Attribute("outcome", "how it came out")
REASON = Attribute("reason", "queue_full or export_failed")
RESULT = Attribute("result", "of the check")
TOKEN_TYPE = Attribute("gen_ai.token.type", "input or output")
POLICY_NAME = Attribute("policy", "the policy's name")
REVISION = Attribute("revision", "the beginning of the policy's SHA-256")
CANDIDATE = Attribute("candidate", "the beginning of the SHA-256 of the policy on trial")
RULE = Attribute("rule", "the rule that decided")
OTHER_RULE = Attribute("other_rule", "the rule of the policy that did not")
AGREES = Attribute("agrees", "whether both policies decide the same")
PROBLEM = Attribute("kind", "failed, slow or skipped")
ARM = Attribute("arm", "stable or canary")
QUANTILE = Attribute("quantile", "0.5 or 0.95")
PREDICTED = Attribute("predicted", "what the step was taken for")
OBSERVED = Attribute("observed", "what its output turned out to be")
SURE = Attribute("confidence", "the upper end of a tenth of confidence: 0.1, 0.2 to 1.0")
RIGHT = Attribute("right", "whether the output turned out to be what the step was taken for")
FRAMEWORK = Attribute("framework", "the agent framework that seems to have sent it")

_OWN = (STEP_KIND, MODE)
_ALL = (OPERATION, PROVIDER, REQUEST_MODEL, *_OWN, POLICY_RULE)
_SECONDS = tuple(0.01 * 2**power for power in range(14))
_FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_TOKEN = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)
_COUNT = tuple(float(4**power) for power in range(14))
_RATIO = (1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 5, 6, 8, 12, 16)
_LENGTH = (0.0, 1, 2, 3, 4, 5, 6, 8, 12, 16, 32)

DURATION = Histogram(
    "gen_ai.server.request.duration", "s", (*_ALL, ERROR), "From the arrival of a step to its end.", _SECONDS
)
FIRST_TOKEN = Histogram(
    *("gen_ai.server.time_to_first_token", "s", _ALL, "From the arrival at the engine to the first committed token."),
    buckets=_FIRST,
)
PER_TOKEN = Histogram("gen_ai.server.time_per_output_token", "s", _ALL, "Time a token after the first.", _TOKEN)
USAGE = Histogram("gen_ai.client.token.usage", "{token}", (*_ALL, TOKEN_TYPE), "Tokens of a step.", _COUNT)
PER_FORWARD = Histogram(
    *("triroute.tokens_per_forward", "{token}", _OWN, "Tokens for each forward pass of a step, its prompt's left out."),
    buckets=_RATIO,
)
ACCEPTED_LENGTH = Histogram(
    "triroute.accepted_length", "{token}", _OWN, "Drafts that held, for each pass that verified some.", _LENGTH
)
DECODED = Counter(
    "triroute.decoded", "{token}", (MODE, SEGMENT_KIND), "Tokens of outputs, by the segment they came in."
)
DRAFTS = Counter("triroute.drafts", "{token}", (*_OWN, OUTCOME), "Draft tokens, accepted and rejected.")
CHECKS = Counter("triroute.checks", "{step}", (*_OWN, RESULT), "Steps whose output was checked against a schema.")
ESCALATIONS = Counter("triroute.escalations", "{escalation}", _OWN, "Outputs that were written again.")
RESUMES = Counter("triroute.resumes", "{resume}", _OWN, "Times that a step went on after its engine was lost.")
PREEMPTIONS = Counter("triroute.preemptions", "{preemption}", _OWN, "Times that a step lost its cache to older ones.")
RUNNING = Gauge("triroute.engine.running", "{step}", (), "Steps that share passes now.")
WAITING = Gauge("triroute.engine.waiting", "{step}", (), "Steps that wait for cache.")
CACHE = Gauge("triroute.engine.cache_used", "1", (), "Share of the KV cache in use, 0 to 1.")
RESTARTS = Counter("triroute.engine.restarts", "{restart}", (), "Times that the engine was restarted.")
LOST = Counter("triroute.records.lost", "{record}", (), "Records that could not be written.")
DROPPED = Counter("triroute.telemetry.dropped", "{span}", (REASON,), "Spans that no collector got.")
INFO = Gauge("triroute.policy.info", "1", (POLICY_NAME, REVISION), "1, with the policy that decides.")
SWAPS = Counter("triroute.policy.swaps", "{change}", (), "Changes of the policy that decides.")
REFUSED = Counter("triroute.policy.refused", "{policy}", (), "Policies that could not become active.")
SHADOW_STEPS = Counter(
    *("triroute.shadow.steps", "{step}", (CANDIDATE, RULE, OTHER_RULE, AGREES)),
    what="Steps by the rule that decided and the one of the policy on trial.",
)
SHADOW_PROBLEMS = Counter(
    *("triroute.shadow.problems", "{step}", (CANDIDATE, PROBLEM)),
    what="Steps that the policy on trial could not be compared for, or slowly.",
)
CANARY_STEPS = Counter(
    *("triroute.canary.steps", "{step}", (CANDIDATE, ARM, OUTCOME)),
    what="Steps of a canary and of the active policy: ok and failed.",
)
CANARY_PERCENT = Gauge("triroute.canary.percent", "%", (CANDIDATE,), "Share of the keys that the candidate decides.")
CANARY_STOPPED = Gauge("triroute.canary.stopped", "1", (CANDIDATE,), "1 while a canary is stopped.")
CANARY_TIME = Gauge(
    *("triroute.canary.time_per_token", "s", (CANDIDATE, ARM, QUANTILE)),
    what="Time a token that a share of the steps stays under.",
)
CLASSIFIED = Counter(
    *("triroute.classifier.steps", "{step}", (PREDICTED, OBSERVED, FRAMEWORK)),
    what="Steps by what they were taken for and turned out to be.",
)
CLAIMED = Counter(
    *("triroute.classifier.claims", "{step}", (SURE, RIGHT, FRAMEWORK)),
    what="Steps that were taken for something, by how surely; the share of right ones is to be near the confidence.",
)
DRIFT = Gauge(
    *("triroute.classifier.drift", "1", (FRAMEWORK,)),
    what="Wealth of a bet against the classifier's confidence; 10,000 is an alarm.",
)
DRIFTING = Gauge("triroute.classifier.drifting", "1", (FRAMEWORK,), "1 while the classifier is surer than it is right.")

LOG_TIME = Attribute("time", "ISO 8601, UTC")
LOG_LEVEL = Attribute("level", "`INFO`, `WARNING` or `ERROR`")
LOG_LOGGER = Attribute("logger", "what speaks, as `triroute.policy`")
LOG_MESSAGE = Attribute("message", "for people")
LOG_EXCEPTION = Attribute("exception", "the traceback of a bug of ours")
TRACE_ID = Attribute("trace_id", "the step's trace, where the line is about a step")
SPAN_ID = Attribute("span_id", "its server span")
LOG_REQUEST_ID = Attribute("request_id", "its id in records")
LOG_SECONDS = Attribute("seconds", "from the step's arrival to its end")
REQUEST_IDS = Attribute("request_ids", "the steps in a pass that failed")
TRACE_IDS = Attribute("trace_ids", "their traces")

LOG_LINE = (LOG_TIME, LOG_LEVEL, LOG_LOGGER, LOG_MESSAGE, LOG_EXCEPTION, LOG_REQUEST_ID, TRACE_ID, SPAN_ID)
LOG_OF_ENGINES = (REQUEST_IDS, TRACE_IDS)
LOG_OF_STEPS = (
    *(LOG_SECONDS, STEP_KIND, POLICY_RULE, POLICY_REVISION, MODE, INPUT_TOKENS, OUTPUT_TOKENS, FINISH_REASONS),
    *(PASSES, ACCEPTED, REJECTED, ERROR),
)
