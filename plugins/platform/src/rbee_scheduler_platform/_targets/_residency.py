"""Residency: where a tenant's requests may run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rbee_scheduler import Worker
from rbee_scheduler_platform._tenant import Tenant


__all__ = ["filter_regions"]


def filter_regions(tenant: Tenant, candidates: Sequence[Worker]) -> Mapping[str, str]:
    """Return the candidates outside of the tenant's regions, and why: a hard filter's answer.

    A worker that doesn't say where it stands is outside of all regions. Names are compared as
    text, whole: ``"eu"`` is not ``"eu-west"``.

    Args:
        tenant: Its `regions`; empty: anywhere.
        candidates: Workers.

    Example:
        >>> worker = Worker(id="w", url="http://10.0.0.7:8080")
        >>> filter_regions(Tenant(id="acme", regions=("eu",)), [worker])
        {'w': 'it names no region, and must be in eu'}
    """
    if not tenant.regions:
        return {}
    allowed = " or ".join(tenant.regions)
    outside = {}
    for worker in candidates:
        region = worker.geo.region if worker.geo is not None else ""
        if not region:
            outside[worker.id] = f"it names no region, and must be in {allowed}"
        elif region not in tenant.regions:
            outside[worker.id] = f"it is in {region}, and must be in {allowed}"
    return outside
