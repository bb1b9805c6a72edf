"""Fairness: who is next, by the service each tenant has had."""

from __future__ import annotations

from rbee_scheduler_platform._fairness._expected import ExpectedOutput
from rbee_scheduler_platform._fairness._lane import FairLane, Holds
from rbee_scheduler_platform._fairness._order import BATCH_BOUND, FairOrder


__all__ = ["BATCH_BOUND", "ExpectedOutput", "FairLane", "FairOrder", "Holds"]
