"""The registry's entry of one worker: what it reports, and what we know ourselves."""

from __future__ import annotations

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
        in_flight: Our own requests on it.
        foreign: Requests it runs that are not ours.
        online: Whether it was heard of in time.
        failures: Failures in a row.
        cooling: Whether it is left alone after failures.
        draining: Whether it gets no new requests.
        beats: Whether heartbeats tell of it; probes leave it alone then.
    """

    __slots__ = (
        "beats", "cooling", "draining", "failures", "foreign", "in_flight", "online", "reported",
        "slot",
    )  # fmt: skip

    def __init__(self, slot: int, reported: Worker) -> None:
        self.slot = slot
        self.reported = reported
        self.in_flight = 0
        self.foreign = reported.running
        self.online = reported.online
        self.failures = 0
        self.cooling = False
        self.draining = False
        self.beats = False

    def report(self, worker: Worker) -> None:
        """Take a new report. What it runs beyond our own requests is somebody else's."""
        self.foreign = max(0, worker.running - self.in_flight)
        self.online = worker.online
        self.reported = worker

    def effective(self) -> Worker:
        """Return the worker as snapshots show it."""
        reported = self.reported
        running = self.foreign + self.in_flight
        status = reported.status
        if self.draining:
            status = "stopped"
        elif self.cooling:
            status = "failed"
        return reported.changed(
            online=self.online,
            status=status,
            in_flight=self.in_flight,
            running=running,
            load=_load(reported, running),
        )

    def with_load(self, worker: Worker, now: float) -> Worker:
        """Return ``worker`` (as snapshots show it) with the present count of requests."""
        running = self.foreign + self.in_flight
        return worker.changed(
            in_flight=self.in_flight,
            running=running,
            load=_load(self.reported, running),
            last_used_at=now,
        )


def _load(worker: Worker, running: int) -> float:
    if worker.slots is not None:
        return min(1.0, running / worker.slots)
    return max(min(worker.load, 1.0), running / (running + NOMINAL_SLOTS))
