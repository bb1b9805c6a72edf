"""What tenants were promised, whether they got it, and where their requests may run."""

import pytest

from rbee_scheduler import Geo, Outcome, Usage, Worker
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_platform import ServiceTarget, Tenant
from rbee_scheduler_platform._targets import Attained, TargetBook, filter_regions


PROMISED = ServiceTarget(first_token_ms=500.0, per_token_ms=50.0)
ACME = Tenant(id="acme", targets={"interactive": PROMISED})


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def book(clock):
    return TargetBook(clock)


def outcome(first=100.0, tokens=11, per_token=10.0, kind="success"):
    total = 300.0 if first is None else first + (tokens - 1) * per_token
    return Outcome(
        job_id="j",
        kind=kind,
        first_token_ms=first,
        total_ms=total,
        usage=Usage(completion_tokens=tokens),
    )


@pytest.mark.parametrize(
    ("one", "first", "per_token"),
    [
        (outcome(), (1, 0), (1, 0)),
        (outcome(first=500.0, per_token=50.0), (1, 0), (1, 0)),
        (outcome(first=501.0), (0, 1), (1, 0)),
        (outcome(per_token=51.0), (1, 0), (0, 1)),
        (outcome(tokens=1), (1, 0), (0, 0)),
        (outcome(first=None, kind="error"), (0, 1), (0, 0)),
        (outcome(first=None, kind="timeout"), (0, 1), (0, 0)),
        (outcome(first=None, kind="cancelled"), (0, 0), (0, 0)),
        (Outcome(job_id="j", kind="cancelled", total_ms=900.0), (0, 1), (0, 0)),
        (Outcome(job_id="j", kind="success", first_token_ms=1.0, total_ms=9.0), (1, 0), (0, 0)),
    ],
)
def test_each_outcome_counts_as_what_its_caller_saw(book, one, first, per_token):
    book.note(ACME, "interactive", one)
    (report,) = book.report()
    assert (report.first_token.met, report.first_token.missed) == first
    assert (report.per_token.met, report.per_token.missed) == per_token
    assert (report.recent_first_token, report.recent_per_token) == (
        report.first_token, report.per_token,
    )  # fmt: skip


def test_what_was_not_promised_is_not_counted(book):
    book.note(ACME, "batch", outcome())
    only_first = Tenant(id="b", targets={"interactive": ServiceTarget(first_token_ms=1.0)})
    book.note(only_first, "interactive", outcome())
    (report,) = book.report()
    assert (report.tenant_id, report.per_token.part) == ("b", None)


def test_the_window_forgets_and_the_total_does_not(book, clock):
    for _ in range(3):
        book.note(ACME, "interactive", outcome(first=900.0))
    clock.advance(200.0)
    book.note(ACME, "interactive", outcome())
    (report,) = book.report("acme")
    assert (report.recent_first_token.part, report.first_token.part) == (0.25, 0.25)
    clock.advance(150.0)
    (report,) = book.report("acme")
    assert report.recent_first_token == Attained(met=1, missed=0)
    assert report.first_token == Attained(met=1, missed=3)
    clock.advance(10_000.0)
    (report,) = book.report("acme")
    assert (report.recent_first_token.part, report.first_token.part) == (None, 0.25)
    assert book.report("nobody") == []


def test_memory_is_bounded_by_tenants_not_by_requests(book):
    for _ in range(1000):
        book.note(ACME, "interactive", outcome())
    assert len(book) == 1
    for n in range(10_100):
        book.note(Tenant(id=f"t{n}", targets=ACME.targets), "interactive", outcome())
    assert len(book) == 10_000
    assert book.report("acme") == []


def worker(name, region=None):
    geo = None if region is None else Geo(region=region)
    return Worker(id=name, url=f"http://{name}:1", geo=geo)


def test_a_worker_without_a_region_is_outside():
    workers = [worker("in", "eu"), worker("out", "us"), worker("blank", ""), worker("none")]
    outside = filter_regions(Tenant(id="t", regions=("eu", "ch")), workers)
    assert outside == {
        "out": "it is in us, and must be in eu or ch",
        "blank": "it names no region, and must be in eu or ch",
        "none": "it names no region, and must be in eu or ch",
    }


def test_a_region_is_compared_whole():
    assert filter_regions(Tenant(id="t", regions=("eu",)), [worker("w", "eu-west")]) != {}


def test_without_a_rule_all_regions_are_fine():
    assert filter_regions(Tenant(id="t"), [worker("none")]) == {}
