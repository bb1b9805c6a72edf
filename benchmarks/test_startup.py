"""What starting costs, each in a process of its own; the interpreter alone for comparison.

Budgets: ``import rbee_scheduler`` 60 ms, ``rbee-scheduler --help`` 100 ms.
"""

import subprocess
import sys

import pytest


PROGRAMS = {
    "python": "pass",
    "import rbee_scheduler": "import rbee_scheduler",
    "import hookimpl": "from rbee_scheduler import hookimpl",
    "import Scheduler": "from rbee_scheduler import Scheduler",
    "help": "from rbee_scheduler.cli import main; main(['--help'])",
    "plugins": "from rbee_scheduler.cli import main; main(['plugins'])",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_start(benchmark, program):
    command = [sys.executable, "-c", PROGRAMS[program]]

    def start():
        return subprocess.run(command, stdout=subprocess.DEVNULL, check=True).returncode

    assert benchmark.pedantic(start, rounds=10, warmup_rounds=1) == 0
