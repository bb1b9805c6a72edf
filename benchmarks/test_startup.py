"""What starting costs, each in a process of its own; the interpreter alone for comparison.

Budgets: ``import rbee_scheduler`` 60 ms, ``rbee-scheduler --help`` 100 ms.
"""

import subprocess
import sys

import pytest


PROGRAMS = {
    "python": ["-c", "pass"],
    "import rbee_scheduler": ["-c", "import rbee_scheduler"],
    "import hookimpl": ["-c", "from rbee_scheduler import hookimpl"],
    "import Scheduler": ["-c", "from rbee_scheduler import Scheduler"],
    "rbee-scheduler --help": ["-m", "rbee_scheduler", "--help"],
    "rbee-scheduler plugins": ["-m", "rbee_scheduler", "plugins"],
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_start(benchmark, program):
    command = [sys.executable, *PROGRAMS[program]]

    def start():
        return subprocess.run(command, stdout=subprocess.DEVNULL, check=True).returncode

    assert benchmark.pedantic(start, rounds=10, warmup_rounds=1) == 0
