"""Each row of the table of faults names tests, and they are there."""

import re
from pathlib import Path


ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "faults.md"


def rows():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [line.strip("|").split(" | ") for line in lines if line.startswith("| ")]
    return [row for row in cells if row[0].strip() != "fault"]


def test_each_fault_is_proved_by_tests_that_exist():
    written = set()
    for path in [*ROOT.glob("tests/unit/gateway/*.py"), *ROOT.glob("tests/integration/*.py")]:
        written |= set(re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8")))
    assert len(rows()) > 30
    for row in rows():
        assert len(row) == 4, row
        named = re.findall(r"`(test_\w+)`", row[3])
        assert named, row
        assert set(named) <= written, row
