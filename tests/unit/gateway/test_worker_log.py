"""The log says who came and went, and why a worker can't be used."""

import logging

from rbee_scheduler import Worker, WorkerRegistry
from rbee_scheduler_gateway._worker_log import WorkerLog


def test_workers_that_come_fail_recover_and_leave_are_told_with_the_reason(caplog):
    caplog.set_level(logging.INFO)
    registry = WorkerRegistry()
    registry.subscribe(WorkerLog(registry, logging.getLogger("gateway")))
    registry.add(Worker(id="w", url="http://127.0.0.1:1", model="m"))
    registry.report_failure("w", unreachable=True)
    registry.report_failure("w", unreachable=True)
    registry.report_success("w")
    registry.remove("w", "no longer configured")
    lines = [(record.levelname, record.getMessage(), record.worker) for record in caplog.records]
    assert lines == [
        ("INFO", "worker w came", "w"),
        ("WARNING", "worker w can't be used: failed; left alone for 1 s", "w"),
        ("INFO", "worker w can be used: works again", "w"),
        ("INFO", "worker w left: no longer configured", "w"),
    ]


def test_what_is_there_before_is_not_told_nor_is_its_load(caplog):
    caplog.set_level(logging.INFO)
    registry = WorkerRegistry()
    registry.add(Worker(id="w", url="http://127.0.0.1:1", model="m"))
    registry.subscribe(WorkerLog(registry, logging.getLogger("gateway")))
    registry.reserve("w")
    assert not caplog.records
