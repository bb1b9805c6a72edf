"""Targets: what tenants were promised, and whether they got it."""

from __future__ import annotations

from rbee_scheduler_platform._targets._attainment import Attained, Attainment, TargetBook
from rbee_scheduler_platform._targets._residency import filter_regions


__all__ = ["Attained", "Attainment", "TargetBook", "filter_regions"]
