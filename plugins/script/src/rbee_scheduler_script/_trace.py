"""What one run of a policy did: its lines, its conditions, its helper calls, in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import attrs

from rbee_scheduler import InferenceRequest
from rbee_scheduler_script import rhai
from rbee_scheduler_script._policy import Policy
from rbee_scheduler_script._policy_text import PolicyText
from rbee_scheduler_script._secrets import scrubbed
from rbee_scheduler_script.rhai._traced import compile_traced


__all__ = ["Recorder", "Step", "TracedPolicy", "traced_limits"]

# Places noted in one run; a policy of 64 KiB has some thousands.
MAX_STEPS: Final = 2_000
# Different outcomes kept of one place.
MAX_OUTCOMES: Final = 3

SHOWN: Final = 40

# Probes cost time that the policy did not ask for.
SLOWER: Final = 20


@attrs.define(kw_only=True)
class Step:
    """One place of the policy that a run came by, in the order of the first time.

    Attributes:
        kind: ``"line"`` (a statement), ``"test"`` (a condition) or ``"helper"`` (a call).
        line: Of the Rhai that ran.
        column: Of the Rhai that ran.
        name: The helper.
        count: How often.
        outcomes: What came out, and how often; of a helper with what it was given.
    """

    kind: Literal["line", "test", "helper"]
    line: int
    column: int
    name: str = ""
    count: int = 0
    outcomes: Counter[str] = attrs.field(factory=Counter)

    def note(self, outcome: str) -> None:
        """Count one more time."""
        self.count += 1
        if outcome and (outcome in self.outcomes or len(self.outcomes) < MAX_OUTCOMES):
            self.outcomes[outcome] += 1


class Recorder:
    """Writes down what traced runs do.

    Attributes:
        steps: The present run, by place.
        lines: How often each line was come by, over all runs.
        places: Places of statements come by, over all runs.
        request: The job at hand: its prompt is kept out of what is shown.
    """

    def __init__(self) -> None:
        self.steps: dict[tuple[Any, ...], Step] = {}
        self.lines: Counter[int] = Counter()
        self.places: set[tuple[int, int]] = set()
        self.request: InferenceRequest | None = None
        self._at = (0, 0)

    def begin(self, request: InferenceRequest | None = None) -> None:
        """Forget the steps of the run before; keep what coverage wants."""
        self.steps = {}
        self.request = request

    def enter(self, node: Any) -> None:
        """A statement is about to run."""
        self._at = (node.line, node.column)
        self.lines[node.line] += 1
        self.places.add(self._at)
        self._note("line", self._at, "", "")

    def test(self, node: Any, value: Any) -> None:
        """A condition was evaluated."""
        self._note("test", (node.line, node.column), "", _shown(value))

    def wrap(self, name: str, function: rhai.HostFunction) -> rhai.HostFunction:
        """Return a helper whose calls are written down."""
        code = function.code

        def recorded(run: Any, *arguments: Any) -> Any:
            at = self._at
            result = code(run, *arguments)
            given = ", ".join(map(_shown, arguments))
            self._note("helper", at, name, f"{name}({given}) = {_shown(result)}")
            return result

        return attrs.evolve(function, code=recorded)

    def _note(
        self, kind: Literal["line", "test", "helper"], at: tuple[int, int], name: str, outcome: str
    ) -> None:
        key = (kind, *at, name)
        step = self.steps.get(key)
        if step is None:
            if len(self.steps) == MAX_STEPS:
                return
            step = self.steps[key] = Step(kind=kind, line=at[0], column=at[1], name=name)
        step.note(scrubbed(outcome, self.request))


class TracedPolicy(Policy):
    """A policy whose runs are written down by a `Recorder`; it decides the same, more slowly.

    Args:
        text: The policy.
        recorder: Writes.
        **options: As for `Policy`.
    """

    def __init__(self, text: PolicyText, recorder: Recorder, **options: Any) -> None:
        self._recorder = recorder
        super().__init__(text.source, file=text.file, **options)

    def _compile(self, source: str, functions: Mapping[str, rhai.HostFunction]) -> rhai.Program:
        recorder = self._recorder
        return compile_traced(
            source,
            recorder,
            limits=traced_limits(self.limits),
            functions={name: recorder.wrap(name, code) for name, code in functions.items()},
        )


def traced_limits(limits: rhai.Limits) -> rhai.Limits:
    """Return the same limits with time for probes."""
    return attrs.evolve(limits, time_ms=limits.time_ms * SLOWER)


def _shown(value: Any) -> str:
    describe: Callable[[Any], str] = _DESCRIPTIONS.get(type(value), lambda x: type(x).__name__)
    return describe(value)


def _map(value: Mapping[str, Any]) -> str:
    for key in ("id", "job_id", "model_ref", "action"):
        if type(value.get(key)) is str:
            return f"#{{{key}: {_cut(value[key])}, ..}}"
    return f"#{{{_cut(', '.join(map(str, value)))}}}"


def _array(value: list[Any]) -> str:
    ids = [item["id"] for item in value if type(item) is dict and type(item.get("id")) is str]
    if len(ids) == len(value) and ids:
        more = f", {len(ids) - 3} more" if len(ids) > 3 else ""  # noqa: PLR2004 - a few are shown
        return f"[{', '.join(map(_cut, ids[:3]))}{more}]"
    return f"[{len(value)}]" if len(value) > 3 else f"[{', '.join(map(_shown, value))}]"  # noqa: PLR2004


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


_DESCRIPTIONS: Final[Mapping[type, Callable[[Any], str]]] = {
    type(None): lambda _: "()",
    bool: lambda value: "true" if value else "false",
    int: str,
    float: lambda value: f"{value:g}",
    str: lambda value: f'"{_cut(value)}"',
    list: _array,
    dict: _map,
    rhai.FnPtr: lambda _: "|..|",
}
