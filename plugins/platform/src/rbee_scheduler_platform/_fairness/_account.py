"""An account: the service one tenant has had, over its weight."""

from __future__ import annotations

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from rbee_scheduler_platform._fairness._place import Place


__all__ = ["Account"]


class Account:
    """The virtual token counter of one tenant (Sheng et al., OSDI'24, arXiv 2401.00588).

    Attributes:
        id: The tenant.
        service: What it was charged so far, over its weight.
        weight: Its weight now.
        running: Its requests that were dispatched and have not ended.
        waiting: Its requests that wait.
        places: Its places in the lanes' orders.
    """

    __slots__ = ("id", "places", "running", "service", "waiting", "weight")

    def __init__(self, tenant_id: str) -> None:
        self.id = tenant_id
        self.service = 0.0
        self.weight = 1.0
        self.running = 0
        self.waiting = 0
        self.places: dict[Place, None] = {}

    @property
    def busy(self) -> bool:
        """Whether it has requests."""
        return self.running > 0 or self.waiting > 0

    def charge(self, amount: float) -> None:
        """Charge ``amount`` of service; below 0: give back.

        Costs O(1), as it is called for every streamed token: orders notice by themselves that
        a counter rose. That one fell, which happens once per request at most, they are told.
        """
        self.service += amount / self.weight
        if amount < 0:
            for place in self.places:
                place.fell()

    def reweigh(self, weight: float) -> None:
        """Change the weight; what was charged stays charged."""
        for place in self.places:
            place.share.reweigh(place, weight)
        self.weight = weight
