"""One llama.cpp server: ``python -m rbee_scheduler.demo._serve MODEL [options]``.

llama.cpp's own HTTP server runs in this process, in threads of C++ (package
``xllamacpp``), on a free port of the loopback interface. One line of JSON on stdout says
where; all else that llama.cpp prints goes to stderr.

It serves until its stdin ends. The parent holds the other end of that pipe and need do
nothing to close it: however the parent ends, SIGKILL included, the kernel closes it, and
so no server outlives the program that started it.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rbee_scheduler.demo._errors import DemoExtraMissing
from rbee_scheduler.demo._extra import load_extra


if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = ["API_KEY_VARIABLE", "main"]

API_KEY_VARIABLE: Final = "LLAMA_API_KEY"
"""llama.cpp's own name; not an argument, since arguments can be read by every user."""

_STDIN, _STDOUT, _STDERR = range(3)
_BATCH: Final = 512
_SPARE_HTTP_THREADS: Final = 16


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until stdin ends, then end the process with status 0.

    Args:
        arguments: The command line without the program; by default that of the process.

    Returns:
        The exit status 1, when the extra is missing.
    """
    options = _parser().parse_args(arguments)
    # llama.cpp prints to stdout as well; what the parent reads must be one line of ours.
    report = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)
    try:
        server = _start(options)
    except DemoExtraMissing as error:
        print(error, file=sys.stderr)  # noqa: T201 - the parent shows what stands here
        return 1
    ready = {"url": server.listening_address, "pid": os.getpid()}
    with suppress(BrokenPipeError, KeyboardInterrupt):  # the parent may be gone already
        os.write(report, json.dumps(ready).encode() + b"\n")
        while os.read(_STDIN, 1024):
            pass
    # Not by dropping the server: on a busy machine its C++ destructor hangs about once in
    # fifty times, and takes a second when a client still reads. So what Python wants done
    # at exit is done (coverage writes its data), and the kernel clears up the rest.
    atexit._run_exitfuncs()  # noqa: SLF001 - no public name for it
    os._exit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rbee_scheduler.demo._serve", allow_abbrev=False)
    parser.add_argument("model", type=Path, help="the GGUF file")
    parser.add_argument("--slots", type=int, required=True, help="requests served at once")
    parser.add_argument("--context", type=int, required=True, help="tokens per slot")
    parser.add_argument("--alias", required=True, help="name of the model in the API")
    parser.add_argument("--threads", type=int, required=True, help="threads that compute")
    return parser


def _start(options: argparse.Namespace) -> Any:
    """Load the model and listen; the server stops when the last reference to it goes."""
    xllamacpp = load_extra("xllamacpp")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(options.model)
    parameters.model_alias = {options.alias}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_parallel = options.slots
    parameters.n_ctx = options.context * options.slots  # llama.cpp divides it by the slots
    parameters.n_batch = _BATCH
    parameters.cpuparams.n_threads = options.threads
    parameters.cpuparams_batch.n_threads = options.threads
    # A streamed request keeps an HTTP thread, also while it waits for a slot: with
    # llama.cpp's default (the number of cores) a few of them would starve /health.
    parameters.n_threads_http = options.slots + _SPARE_HTTP_THREADS
    parameters.endpoint_metrics = True
    parameters.endpoint_props = True
    parameters.endpoint_slots = True
    if key := os.environ.get(API_KEY_VARIABLE):
        parameters.api_keys = [key]
    # What only costs start-up time or memory with a model as small as this one.
    parameters.warmup = False
    parameters.fit_params = False
    parameters.ui = False
    parameters.cache_ram_mib = 0
    parameters.n_gpu_layers = 0
    parameters.verbosity = 1  # errors only
    return xllamacpp.Server(parameters)


if __name__ == "__main__":
    sys.exit(main())
