"""Capacity: what may wait, what may run, and what is refused at once."""

from __future__ import annotations

from rbee_scheduler_platform._capacity._admission import (
    Capacity,
    CapacityOptions,
    Prediction,
    Refusal,
)
from rbee_scheduler_platform._capacity._gate import KV_LABEL, DispatchGate, GateOptions
from rbee_scheduler_platform._capacity._in_flight import InFlight


__all__ = [
    "KV_LABEL",
    "Capacity",
    "CapacityOptions",
    "DispatchGate",
    "GateOptions",
    "InFlight",
    "Prediction",
    "Refusal",
]
