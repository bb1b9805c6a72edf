"""What calling a hook costs: the compiled chain against stock pluggy, in one run."""

import pluggy
import pytest

from rbee_scheduler import Plugins, hookimpl
from rbee_scheduler import _hookspecs as specs
from rbee_scheduler.testing import fleet, free_workers
from rbee_scheduler.testing._samples import sample_request


COUNTS = [1, 3, 10]


class Pass:
    """No opinion, so that everybody is asked."""

    def __init__(self, name):
        self.__name__ = name

    @hookimpl
    def rbee_select_worker(self, request, candidates, scores, snapshot):
        return None


@pytest.fixture
def arguments():
    from random import Random

    snapshot = fleet(free_workers(4))
    return sample_request(Random(1)), snapshot.free("m"), {}, snapshot


@pytest.mark.parametrize("count", COUNTS)
def test_compiled_chain(benchmark, arguments, count):
    calls = Plugins([Pass(f"p{n}") for n in range(count)]).chain("best-score").select_worker
    assert len(calls) == count

    def ask():
        for call in calls:
            answer = call.function(*arguments)
            if answer is not None:
                return answer
        return None

    assert benchmark(ask) is None


@pytest.mark.parametrize("count", COUNTS)
def test_stock_pluggy(benchmark, arguments, count):
    manager = pluggy.PluginManager(specs.PROJECT_NAME)
    manager.add_hookspecs(specs)
    for n in range(count):
        manager.register(Pass(f"p{n}"))
    request, candidates, scores, snapshot = arguments

    def ask():
        return manager.hook.rbee_select_worker(
            request=request, candidates=candidates, scores=scores, snapshot=snapshot
        )

    assert benchmark(ask) == []
