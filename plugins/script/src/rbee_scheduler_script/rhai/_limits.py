"""What one compiled script may cost: the knobs of the sandbox."""

from __future__ import annotations

import attrs


@attrs.frozen(slots=True, kw_only=True)
class Limits:
    """The budget of a script; every limit ends the run with a `RhaiError` no script can catch.

    Source limits are checked by `compile`, run limits by each `eval` or `call`.

    Attributes:
        time_ms: Milliseconds per run, by the run's clock.
        memory: Bytes a run may allocate in all (an estimate, never given back within the run).
        operations: Steps per run; a step is about one node of the syntax tree.
        call_depth: Nested calls of functions and closures.
        expression_depth: Nesting of blocks and expressions at the top level.
        function_expression_depth: The same inside a function.
        string_size: Characters of one string.
        array_size: Elements of one array.
        map_size: Entries of one map.
        variables: Variables declared in the source.
        functions: Functions and closures in the source.
        source_size: Bytes of the source (as UTF-8).
        nesting: How deep arrays and maps may nest when they are walked.
        output_lines: Lines that `print` and `debug` keep; later ones are dropped.
        output_size: Characters that `print` and `debug` keep in all.
    """

    time_ms: float = 50.0
    memory: int = 64 * 1024 * 1024
    operations: int = 10_000_000
    call_depth: int = 64
    expression_depth: int = 64
    function_expression_depth: int = 32
    string_size: int = 1_048_576
    array_size: int = 100_000
    map_size: int = 100_000
    variables: int = 1_000
    functions: int = 500
    source_size: int = 64 * 1024
    nesting: int = 100
    output_lines: int = 1_000
    output_size: int = 65_536
