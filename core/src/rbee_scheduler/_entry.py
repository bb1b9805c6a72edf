"""The registry's entry of one worker: what it reports, and what we know ourselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rbee_scheduler._events import WorkerEventKind
from rbee_scheduler._liveness import LivenessConfig
from rbee_scheduler._worker import Worker


__all__ = ["Entry"]

# A server of unknown slots is taken for a batching one (vLLM, SGLang): its load rises with
# what it runs and never reaches 1. At 8 running requests it shows as half loaded.
NOMINAL_SLOTS = 8


class Entry:
    """All that is known of one worker; changed in place, and never shown.

    Attributes:
        slot: Its number in the order of registration.
        reported: What it, or its hive, or the configuration says.
        shown: The record that was published last.
        recounted: Whether `in_flight` has changed since.
        in_flight: Our own requests on it.
        foreign: Requests it runs that are not ours.
        busy_from: Our own requests on it when it said that it is busy.
        online: Whether it was heard of in time.
        last_used_at: Wall-clock ms at which a request of ours last began or ended.
        failed: Tries that it failed since it registered.
        failures: Failures in a row.
        cooling: Whether it is left alone after failures.
        draining: Whether it gets no new requests.
        beats: Whether heartbeats tell of it; probes leave it alone then.
        told: Whether it is online, and its status, as listeners were last told.
    """

    __slots__ = (
        "beats", "busy_from", "cooling", "draining", "failed", "failures", "foreign", "in_flight",
        "last_used_at", "online", "recounted", "reported", "shown", "slot", "told",
    )  # fmt: skip

    def __init__(self, slot: int, reported: Worker) -> None:
        self.slot = slot
        self.in_flight = 0
        self.last_used_at = 0.0
        self.failed = 0
        self.failures = 0
        self.cooling = False
        self.draining = False
        self.beats = False
        self.told: tuple[bool, str] | None = None
        self.recounted = False
        self.shown = reported
        self.report(reported)

    def report(self, worker: Worker) -> None:
        """Take a new report. What it runs beyond our own requests is somebody else's."""
        self.foreign = max(0, worker.running - self.in_flight)
        self.busy_from = self.in_flight
        self.online = worker.online
        self.reported = worker

    def revised(self, changes: Mapping[str, Any]) -> Worker:
        """Return the last report with ``changes``; what they leave out is as we know it.

        The last report may be long ago: requests have ended and silence has set in since.
        """
        known = {
            "running": self.foreign + self.in_flight,
            "online": self.online,
            "status": self._own_status,
        }
        return self.reported.revised(**{**known, **changes})

    def fail(self, limits: LivenessConfig, *, unreachable: bool) -> float | None:
        """Count a failure; return the pause that it leads to, seconds, or None."""
        self.failed += 1
        if self.cooling:
            return None  # a request from before the pause says nothing new
        self.failures = max(self.failures + 1, limits.failures if unreachable else 0)
        pause = limits.pause(self.failures)
        self.cooling = pause is not None
        return pause

    def effective(self) -> Worker:
        """Return the worker as snapshots show it."""
        return self.reported.changed(online=self.online, **self._present())

    def count(self, change: int, now: float) -> None:
        """Let a request of ours begin (1) or end (-1) at ``now``, wall-clock ms."""
        self.in_flight += change
        self.last_used_at = now

    def news(self, worker: Worker) -> WorkerEventKind | None:
        """Return what listeners must be told of ``worker`` (as snapshots show it), or None."""
        before, self.told = self.told, (worker.online, worker.status)
        if before is None:
            return "came"
        if before[0] != worker.online:
            return "online" if worker.online else "offline"
        return None if before == self.told else "changed"

    def with_load(self, worker: Worker) -> Worker:
        """Return ``worker`` (as snapshots show it) with the present count of requests."""
        # Requests change it all the time, so without the detours of `_present`.
        reported = self.reported
        running = self.foreign + self.in_flight
        return worker.changed(
            in_flight=self.in_flight,
            running=running,
            load=_load(reported, running),
            status=self._status if reported.status != "ready" or self.cooling else worker.status,
            last_used_at=max(self.last_used_at, reported.last_used_at),
        )

    def _present(self) -> dict[str, Any]:
        running = self.foreign + self.in_flight
        return {
            "in_flight": self.in_flight,
            "running": running,
            "load": _load(self.reported, running),
            "status": self._status,
            "last_used_at": max(self.last_used_at, self.reported.last_used_at),
        }

    @property
    def _status(self) -> str:
        if self.draining:
            return "stopped"
        return "failed" if self.cooling else self._own_status

    @property
    def _own_status(self) -> str:
        # Its next heartbeat may be 30 s away. When a request of ours has ended since it
        # said that it is busy, it has room for another one.
        status = self.reported.status
        return "ready" if status == "busy" and self.in_flight < self.busy_from else status


def _load(worker: Worker, running: int) -> float:
    if worker.slots is not None:
        return min(1.0, running / worker.slots)
    return max(min(worker.load, 1.0), running / (running + NOMINAL_SLOTS))
