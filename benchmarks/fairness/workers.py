"""A worker as vLLM runs one: continuous batching, chunked prefill, a KV cache that fills up.

One step gives every running request one token, and spends what is left of a budget of 2,048
tokens on prompts, first come first served. It takes::

    T = max(lo0 + lo1 n, hi0 + hi1 n) + fixed + attention
    attention, decode only:  dc + dn d + dnk c
    attention, with prefill: mc + mt p + mck sum(p_i (c_i + p_i / 2)) + mkp sum(c_i) + mn d + mnk c

with n tokens in the step, d requests that decode and c tokens of theirs in the cache, and p_i
prompt tokens on top of c_i. The coefficients are fitted to LLMServingSim's profiles of vLLM
0.19 with Llama-3.1-8B (casys-kaist/LLMServingSim, MIT); of 300 requests measured on a real RTX
4090, this model's mean first token was within 1.0 % and its mean time per token within 1.0 %.

When the cache is full, the newest request loses its place and is computed again later. Steps
that only decode are taken in one jump, so the cost is per request and not per token.
"""

from __future__ import annotations

import heapq
import math
from collections import deque


PROFILES = {
    "rtx4090-llama3.1-8b": {
        "lo": (15505.4, 30.253), "hi": (4945.2, 88.257), "fixed": 1732.0,
        "decode": (394.56, 6.1376, 0.140544),
        "mixed": (209.504, 1.82112, 0.0033216, 0.68768, 35.744, 0.304064),
        "kv_tokens": 41_408,
    },
    "rtxpro6000-llama3.1-8b": {
        "lo": (9949.6, 16.573), "hi": (5319.9, 35.162), "fixed": 2239.0,
        "decode": (410.24, 3.296, 0.090208),
        "mixed": (181.76, 1.24416, 0.00150272, 0.46336, 17.5552, 0.153312),
        "kv_tokens": 500_000,
    },
}  # fmt: skip

STEP_BUDGET = 2_048
MAX_REQUESTS = 256


class Sequence:
    """One request on a worker."""

    __slots__ = ("computed", "done", "first", "joined", "left", "number", "prompt", "total")

    def __init__(self, prompt: int, output: int) -> None:
        self.prompt = prompt  # grows when it is preempted: what it had is computed again
        self.total = max(1, output)
        self.left = self.total
        self.computed = 0
        self.joined = -1  # decode step at which it began to decode
        self.number = 0
        self.first: float | None = None
        self.done: float | None = None


class SimulatedWorker:
    """Runs sequences; `advance` lets time pass."""

    def __init__(self, profile: str) -> None:
        p = PROFILES[profile]
        micro = 1e-6
        self.lo, self.hi = ([x * micro for x in p[name]] for name in ("lo", "hi"))
        self.fixed = p["fixed"] * micro
        self.decode = [x * micro for x in p["decode"]]
        self.mixed = [x * micro for x in p["mixed"]]
        self.kv_tokens = p["kv_tokens"]
        self.clock = 0.0
        self.preempted = 0
        self._queue: deque[Sequence] = deque()
        self._prefilling: deque[Sequence] = deque()
        self._decoding: list[tuple[int, int, Sequence]] = []  # by last step
        self._running: dict[int, Sequence] = {}  # by number, oldest first
        self._step: tuple[list[tuple[Sequence, int]], float] | None = None  # in progress
        self._steps = 0
        self._context = 0  # tokens of what decodes
        self._used = 0  # tokens in the cache
        self._numbers = 0

    def submit(self, sequence: Sequence, now: float) -> None:
        """Give it a request at ``now``."""
        self.advance(now)
        self.clock = max(self.clock, now) if self._idle else self.clock
        self._queue.append(sequence)

    def generated(self, sequence: Sequence) -> int:
        """Return how many tokens came so far."""
        if sequence.done is not None:
            return sequence.total
        if sequence.first is None:
            return 0
        ahead = self._steps - sequence.joined if sequence.joined >= 0 else 0
        return sequence.total - sequence.left + ahead

    @property
    def _idle(self) -> bool:
        return not (self._queue or self._prefilling or self._decoding)

    def next_event(self) -> float:
        """Return when something may next be different, inf: never."""
        if self._idle:
            return math.inf
        if self._step is not None:
            return self.clock + self._step[1] + 1e-9
        if self._queue or self._prefilling:
            return self.clock + 1e-7
        steps = self._decoding[0][0] - self._steps
        return self.clock + self._decode_time(max(1, min(steps, self._room()))) + 1e-9

    def advance(self, to: float) -> None:
        """Let time pass until ``to``; a step that is not over by then goes on later."""
        while self.clock < to and not self._idle:
            if self._step is None:
                chunks = self._plan()
                if not chunks:
                    if not self._jump(to):
                        return
                    continue
                self._step = (chunks, self._mixed_time(chunks))
            chunks, seconds = self._step
            if self.clock + seconds > to:
                return
            while len(self._decoding) > self._free and len(self._running) > 1:
                self._preempt()
            chunks = self._step[0]
            self._step = None
            self.clock += seconds
            self._take_steps(1)
            self._prefill(chunks)
            self._finish()
        if self._idle:
            self.clock = max(self.clock, to)

    # ---- steps -----------------------------------------------------------------------------

    @property
    def _free(self) -> int:
        return self.kv_tokens - self._used

    def _room(self) -> int:
        return self._free // max(1, len(self._decoding))

    def _base(self, tokens: int) -> float:
        return max(self.lo[0] + self.lo[1] * tokens, self.hi[0] + self.hi[1] * tokens) + self.fixed

    def _decode_time(self, steps: int) -> float:
        number = len(self._decoding)
        constant, each, context = self.decode
        one = self._base(number) + constant + each * number + context * self._context
        return steps * one + context * number * steps * (steps - 1) / 2

    def _mixed_time(self, chunks: list[tuple[Sequence, int]]) -> float:
        decoding = len(self._decoding)
        prompt = sum(size for _, size in chunks)
        reach = sum(size * (s.computed + size / 2) for s, size in chunks)
        before = sum(s.computed for s, _ in chunks)
        mc, mt, mck, mkp, mn, mnk = self.mixed
        attention = mc + mt * prompt + mck * reach + mkp * before + mn * decoding
        return self._base(prompt + decoding) + attention + mnk * self._context

    def _plan(self) -> list[tuple[Sequence, int]]:
        """Return which prompts are gone on with in the next step, and how far."""
        budget = STEP_BUDGET - len(self._decoding)
        chunks = []
        for sequence in self._prefilling:
            if budget <= 0:
                break
            size = min(sequence.prompt - sequence.computed, budget)
            chunks.append((sequence, size))
            budget -= size
        while self._queue and budget > 0 and len(self._running) < MAX_REQUESTS:
            sequence = self._queue[0]
            if sequence.prompt > self._free:
                if self._running:
                    break
                raise ValueError(f"a prompt of {sequence.prompt} tokens never fits")
            self._queue.popleft()
            self._used += sequence.prompt
            self._numbers += 1
            sequence.number = self._numbers
            self._running[sequence.number] = sequence
            self._prefilling.append(sequence)
            size = min(sequence.prompt, budget)
            chunks.append((sequence, size))
            budget -= size
        return chunks

    def _jump(self, to: float) -> bool:
        """Take as many decode-only steps as fit until ``to``; return whether one did."""
        if self._room() < 1:
            self._preempt()
            return True
        most = min(self._room(), self._decoding[0][0] - self._steps)
        span = to - self.clock
        if self._decode_time(most) > span:
            low, high = 0, most
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if self._decode_time(middle) <= span else (low, middle)
            most = low
        if most < 1:
            return False
        self.clock += self._decode_time(most)
        self._take_steps(most)
        self._finish()
        return True

    def _take_steps(self, steps: int) -> None:
        self._steps += steps
        grown = steps * len(self._decoding)
        self._context += grown
        self._used += grown

    def _prefill(self, chunks: list[tuple[Sequence, int]]) -> None:
        for sequence, size in chunks:
            sequence.computed += size
            if sequence.computed < sequence.prompt:
                continue
            self._prefilling.remove(sequence)
            sequence.first = self.clock if sequence.first is None else sequence.first
            sequence.left -= 1
            if sequence.left:
                sequence.joined = self._steps
                self._context += sequence.prompt
                last = self._steps + sequence.left
                heapq.heappush(self._decoding, (last, sequence.number, sequence))
            else:
                self._end(sequence)

    def _finish(self) -> None:
        while self._decoding and self._decoding[0][0] <= self._steps:
            sequence = heapq.heappop(self._decoding)[2]
            self._context -= sequence.prompt + sequence.left
            self._end(sequence)

    def _end(self, sequence: Sequence) -> None:
        sequence.done = self.clock
        del self._running[sequence.number]
        self._used -= sequence.prompt + (sequence.left if sequence.joined >= 0 else 0)

    def _preempt(self) -> None:
        """Take the newest request's place; it is computed again, prompt and output."""
        number, sequence = self._running.popitem()
        self.preempted += 1
        self._used -= sequence.prompt
        if sequence.joined < 0:
            self._prefilling.remove(sequence)
            if self._step is not None:
                chunks = [chunk for chunk in self._step[0] if chunk[0] is not sequence]
                self._step = (chunks, self._step[1])
        else:
            self._decoding = [one for one in self._decoding if one[1] != number]
            heapq.heapify(self._decoding)
            made = self._steps - sequence.joined
            self._context -= sequence.prompt + made
            self._used -= made
            sequence.left -= made
            sequence.prompt += made + 1
            sequence.joined = -1
        sequence.computed = 0
        self._queue.appendleft(sequence)
