"""Platform mode of rbee-scheduler: many tenants share the GPUs, fairly and within quotas."""

from __future__ import annotations

from rbee_scheduler_platform._tenant import Quotas, ServiceTarget, Tenant


__version__ = "0.1.0"

__all__ = ["Quotas", "ServiceTarget", "Tenant", "__version__"]
