"""Commands on both event loops: what Ctrl-C does to them."""

import signal
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from rbee_scheduler.cli._backend import run_on


@pytest.fixture(params=["asyncio", "trio"])
def backend(request):
    return request.param


def test_it_returns_what_the_function_does(backend):
    async def work(*numbers):
        await anyio.lowlevel.checkpoint()
        return sum(numbers)

    assert run_on(backend, work, 1, 2) == 3


def test_ctrl_c_meets_the_function_where_it_waits_and_lets_it_unwind(backend):
    steps = []

    async def work():
        signal.raise_signal(signal.SIGINT)
        steps.append("undisturbed")
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            steps.append("unwound")

    try:
        run_on(backend, work)
    except* KeyboardInterrupt:
        steps.append("told")
    assert steps == ["undisturbed", "unwound", "told"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_ctrl_c_stays_ignored(backend):
    async def work():
        signal.raise_signal(signal.SIGINT)
        await anyio.lowlevel.checkpoint()
        return "done"

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert run_on(backend, work) == "done"
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_has_no_signals(backend):
    async def work():
        await anyio.lowlevel.checkpoint()
        return "done"

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(run_on, backend, work).result() == "done"
