"""Coverage-guided fuzzing of the Rhai engine; an optional job, ``make fuzz``.

Bytes become a script. Whatever it is, compiling and running it ends with a value or a
`RhaiError`, and the host's data is as it was. Runs until the time is over, or something
else comes through; atheris then writes the script to a file.

    python tests/fuzz/rhai_atheris.py -max_total_time=60 [corpus folder]
"""

import copy
import sys
from contextlib import suppress

import atheris


with atheris.instrument_imports(include=["rbee_scheduler_script.rhai"]):
    from rbee_scheduler_script import rhai


LIMITS = rhai.Limits(operations=20_000, string_size=50_000, array_size=5_000)
HOST = {"job": {"id": "j", "x": [1, [2]]}, "workers": [{"id": "w", "load": 0.5, "tags": ["a"]}]}
BEFORE = copy.deepcopy(HOST)


def one(data: bytes) -> None:
    """Run one script."""
    source = atheris.FuzzedDataProvider(data).ConsumeUnicodeNoSurrogates(4096)
    with suppress(rhai.RhaiError):
        rhai.compile(source, limits=LIMITS).eval(HOST)
    if HOST != BEFORE:
        raise AssertionError("the script changed the host's data")


def main() -> None:
    """Fuzz until the time is over."""
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
