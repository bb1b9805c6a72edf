"""docs/errors.md knows every code that any of our packages can answer with, and no other."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from rbee_scheduler import SchedulerError


PAGE = (Path(__file__).parents[3] / "docs" / "errors.md").read_text(encoding="utf-8")
PACKAGES = ("", "_gateway", "_platform", "_script", "_simple", "_strategies")
ROW = re.compile(r"^\| `([A-Z_]+)` \| `(\w+)` \| (\d{3}) \| (\w+) \|", re.MULTILINE)


def below(error):
    yield error
    for kind in error.__subclasses__():
        yield from below(kind)


@pytest.fixture(scope="module")
def errors():
    """All errors of our packages that have a code of their own."""
    for end in PACKAGES:
        package = importlib.import_module(f"rbee_scheduler{end}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    return {
        error
        for error in below(SchedulerError)
        if error.__module__.startswith("rbee_scheduler")
        and "code" in vars(error)
        and (error is SchedulerError or error.code != error.__base__.code)
    }


def test_every_code_is_there_with_its_class_status_and_whether_a_retry_helps(errors):
    written = {row[:3]: row[3] for row in ROW.findall(PAGE)}
    expected = {(error.code, error.__name__, str(error.http_status)): error for error in errors}
    assert set(written) == set(expected)
    for row, retry in written.items():
        if retry != "depends":
            assert retry == ("yes" if expected[row].retryable else "no"), row


def test_every_code_of_the_server_is_there():
    from rbee_scheduler_gateway._server._refused import _CODES

    written = re.findall(r"^\| `([A-Z_]+)` \| (\d{3}) \|", PAGE, re.MULTILINE)
    assert {(code, str(status)) for status, code in _CODES.items()} == set(written)


def test_every_code_of_a_jobs_outcome_is_there():
    source = importlib.util.find_spec("rbee_scheduler_platform._store._recovery").origin
    codes = set(re.findall(r'"([A-Z]+_LOST)"', Path(source).read_text(encoding="utf-8")))
    assert codes
    for code in codes:
        assert f"| `{code}` |" in PAGE
