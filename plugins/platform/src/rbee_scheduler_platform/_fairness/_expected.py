"""The expected output: how many tokens a tenant's requests generate, learnt from the past."""

from __future__ import annotations

from collections import OrderedDict


__all__ = ["ExpectedOutput"]

# Weight of the newest outcome. The VTC authors take the mean of the last 5 outputs; this is as
# quick, and is one number.
NEWEST = 0.2

TENANTS = 10_000


class ExpectedOutput:
    """Expected tokens per tenant; knows the last 10,000 tenants.

    Example:
        >>> expected = ExpectedOutput()
        >>> expected.of("acme", max_tokens=500)
        500.0
        >>> expected.learn("acme", 100)
        >>> expected.of("acme", max_tokens=500)
        100.0
    """

    __slots__ = ("_means",)

    def __init__(self) -> None:
        self._means: OrderedDict[str, float] = OrderedDict()

    def of(self, tenant_id: str, max_tokens: int) -> float:
        """Return how many tokens a request will generate; never more than it may."""
        mean = self._means.get(tenant_id)
        return float(max_tokens) if mean is None else min(mean, float(max_tokens))

    def learn(self, tenant_id: str, tokens: int) -> None:
        """Learn from a request that has ended."""
        mean = self._means.get(tenant_id)
        self._means[tenant_id] = float(tokens) if mean is None else mean + NEWEST * (tokens - mean)
        self._means.move_to_end(tenant_id)
        if len(self._means) > TENANTS:
            self._means.popitem(last=False)
