"""One model, one cache, and the requests that share them. Not thread-safe: whoever steps it owns it."""

from __future__ import annotations

from collections.abc import Callable

from triroute.engine.config import EngineConfig
from triroute.engine.costs import Costs
from triroute.engine.errors import InvalidRequest
from triroute.engine.grammar import Constraint
from triroute.engine.kv_cache import KVCache
from triroute.engine.loop import Loop
from triroute.engine.model import Model
from triroute.engine.modes import most_scratch, start_mode
from triroute.engine.modes.auto import Acceptance, Chooser, Patience
from triroute.engine.modes.base import Mode
from triroute.engine.output import Output
from triroute.engine.sampler import Sampler
from triroute.engine.scheduler import Scheduler
from triroute.engine.segments import Segmenter, Speech, Track
from triroute.engine.sequence import Sequence, Sink
from triroute.engine.stopwatch import measured
from triroute.engine.text import TextStream
from triroute.engine.tokenizer import Tokenizer
from triroute.engine.types import Request
from triroute.kernels.cpu.attention import PAGE


class Core:
    """Accepts requests and runs passes. `costs` None measures them."""

    def __init__(self, tokenizer: Tokenizer, model: Model, config: EngineConfig, costs: Costs | None = None) -> None:
        self.tokenizer = tokenizer
        self.model = model
        self.config = config
        pages = config.cache_pages or config.cache_mb * 2**20 // model.config.cache_bytes_per_token // PAGE
        self.cache = KVCache(model.new_cache(pages), pages)
        self.costs = costs or measured(model, self.cache.storage, pages)
        self.scheduler = Scheduler(self.cache, config.max_running, config.prefill_chunk)
        self.loop = Loop(model, self.scheduler, self.costs if costs is None else None)
        self._acceptance, self._patience = Acceptance(), Patience()

    def prepare(self, request: Request, constraint: Constraint | None, sink: Sink) -> Callable[[], None]:
        """Check a request, on any thread; the call that queues it, for the owner. Raises InvalidRequest."""
        self._check(request)
        sampling, end_ids = request.sampling, self.tokenizer.end_ids
        text = TextStream(self.tokenizer, sampling.stop)
        output = Output(text, end_ids, sampling.max_tokens, request.resume_characters)
        sampler = Sampler(sampling, request.prompt_ids, constraint, end_ids)
        sequence = Sequence(request, self._track(request), sampler, output, sink)
        return lambda: self.scheduler.waiting.append(sequence)

    def _track(self, request: Request) -> Track:
        """What decodes the request, and its parts. How drafts fare is learnt for each plan by itself."""
        plans = (request.plan, *(plan for _, plan in request.segments))
        choosers = [Chooser(self.costs, self._acceptance, self._patience) for _ in plans]

        def start(number: int) -> Mode:
            return start_mode(plans[number], self.model.mask_id, self.tokenizer.end_ids, choosers[number])

        track = Track(plans, start)
        if request.segments or request.may_call:
            segmenter = Segmenter(
                self.tokenizer,
                request.prompt_ids,
                may_call=request.may_call,
                parameters=request.parameters,
                speech=Speech() if request.may_call else None,
            )
            track.watch(segmenter, {kind: number for number, (kind, _) in enumerate(request.segments, start=1)})
        return track

    def _check(self, request: Request) -> None:
        if not request.prompt_ids:
            raise InvalidRequest("prompt", "renders to no tokens; send text")
        prompt, output, context = len(request.prompt_ids), request.sampling.max_tokens, self.model.config.context_length
        if prompt + output > context:
            raise InvalidRequest(
                "sampling.max_tokens",
                f"prompt ({prompt} tokens) and max_tokens ({output}) together pass the context of {context}; "
                "shorten the prompt or lower max_tokens",
            )
        vocab = self.tokenizer.vocab_size
        for token, _ in request.sampling.logit_bias:
            if not 0 <= token < vocab:
                raise InvalidRequest(f"sampling.logit_bias[{token}]", f"is outside the vocabulary of {vocab} tokens")
        plans = (request.plan, *(plan for _, plan in request.segments))
        most = prompt + output + max(most_scratch(plan, self.config.max_block_length) for plan in plans)
        if not self.cache.can_ever_hold(most):
            raise InvalidRequest(
                "sampling.max_tokens",
                f"needs {most} tokens of cache and the engine has {self.cache.tokens}; "
                "lower max_tokens, or start the service with a larger --cache-mb",
            )
