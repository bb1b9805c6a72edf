"""Helpers of tenants and their quotas; without quotas they answer "no limit"."""

from __future__ import annotations

from typing import Any, Final

from rbee_scheduler_script import rhai
from rbee_scheduler_script._context_data import TENANT_FIELDS
from rbee_scheduler_script._helpers._helper import Helper
from rbee_scheduler_script._view import View


__all__ = ["HELPERS", "NO_LIMIT"]

Map = dict[str, Any]

# What is left of a quota that nobody set: the largest number of a script, so that comparisons with
# what a job needs come out right.
NO_LIMIT: Final = 2**63 - 1

_USAGE: Final = ("vram_used_bytes", "concurrent_jobs", "tokens_used_today")


def _tenant(view: View, run: rhai.Run, tenant_id: Any) -> Map:
    """Return what is known of a tenant; unit, a job without a tenant, is one without quotas."""
    if tenant_id is not None and not isinstance(tenant_id, str):
        raise run.fail("the tenant's id must be a string, such as job.tenant_id")
    run.charge(5)
    return view.tenants.get(tenant_id or "", dict(TENANT_FIELDS))


def _excess(tenant: Map, tokens: float, vram: float, jobs: int) -> str:
    """Return which quota would be exceeded by so much more, or nothing."""
    for name, used, limit in (
        ("tokens", tenant["tokens_used_today"] + tokens, tenant["quota_tokens_daily"]),
        ("jobs at a time", tenant["concurrent_jobs"] + jobs, tenant["quota_max_concurrent_jobs"]),
        ("bytes of GPU memory", tenant["vram_used_bytes"] + vram, tenant["quota_vram_bytes"]),
    ):
        if limit is not None and used > limit:
            return f"{used:g} of {limit:g} {name}"
    return "the quota is spent" if tenant["quota_exceeded"] else ""


def _needs(view: View, run: rhai.Run, job: Any) -> tuple[float, float]:
    """Return a job's tokens and GPU memory, at most."""
    if type(job) is not dict:
        raise run.fail("the job must be a map, such as the policy's own job")
    model = view.model(str(job.get("model", ""))) or {}
    vram = job.get("estimated_vram_bytes") or model.get("vram_required_bytes", 0)
    return job.get("max_tokens") or 0, vram


def _over(view: View, run: rhai.Run, tenant_id: Any) -> bool:
    tenant = _tenant(view, run, tenant_id)
    daily = tenant["quota_tokens_daily"]
    spent = daily is not None and tenant["tokens_used_today"] >= daily
    return bool(spent or _excess(tenant, 0, 0, 0))


def _remaining(view: View, run: rhai.Run, tenant_id: Any) -> float:
    tenant = _tenant(view, run, tenant_id)
    limit = tenant["quota_tokens_daily"]
    return NO_LIMIT if limit is None else max(0, limit - tenant["tokens_used_today"])


def _used(view: View, run: rhai.Run, tenant_id: Any) -> float:
    return float(_tenant(view, run, tenant_id)["tokens_used_today"])


def _check(view: View, run: rhai.Run, tenant_id: Any, job: Any) -> Map:
    tokens, vram = _needs(view, run, job)
    reason = _excess(_tenant(view, run, tenant_id), tokens, vram, 1)
    return {"ok": not reason, "reason": reason}


def _usage(view: View, run: rhai.Run, tenant_id: Any) -> Map:
    tenant = _tenant(view, run, tenant_id)
    return {name: tenant[name] for name in _USAGE}


def _impact(view: View, run: rhai.Run, tenant_id: Any, job: Any) -> Map:
    tokens, vram = _needs(view, run, job)
    tenant = _tenant(view, run, tenant_id)
    limit = tenant["quota_tokens_daily"]
    left = NO_LIMIT if limit is None else limit - tenant["tokens_used_today"] - tokens
    return {
        "tokens": tokens,
        "vram_bytes": vram,
        "remaining_tokens": max(-NO_LIMIT, left),
        "would_exceed": bool(_excess(tenant, tokens, vram, 1)),
    }


HELPERS: Final[tuple[Helper, ...]] = (
    Helper(
        name="tenant_over_quota",
        forms=("tenant_over_quota(id)",),
        answers="Whether a tenant has used up a quota. False where there are none.",
        example='tenant_over_quota("spent") && !tenant_over_quota("anyone")',
        gives=True,
        code=_over,
        arities=(1,),
        sees=True,
    ),
    Helper(
        name="tenant_remaining_quota",
        forms=("tenant_remaining_quota(id)",),
        answers="Tokens a tenant may still use today; 9223372036854775807 without a limit.",
        example="tenant_remaining_quota(job.tenant_id)",
        gives=6000,
        code=_remaining,
        arities=(1,),
        sees=True,
    ),
    Helper(
        name="tenant_usage",
        forms=("tenant_usage(id)",),
        answers="Tokens a tenant has used today.",
        example='tenant_usage("acme")',
        gives=4000.0,
        code=_used,
        arities=(1,),
        sees=True,
    ),
    Helper(
        name="check_tenant_quota",
        forms=("check_tenant_quota(id, job)",),
        answers="`#{ok, reason}`: whether a job would keep all quotas of a tenant.",
        example='check_tenant_quota("spent", job)',
        gives={"ok": False, "reason": "1100 of 1000 tokens"},
        code=_check,
        arities=(2,),
        sees=True,
    ),
    Helper(
        name="get_tenant_usage",
        forms=("get_tenant_usage(id)",),
        answers="`#{tokens_used_today, concurrent_jobs, vram_used_bytes}` of a tenant.",
        example='get_tenant_usage("acme").concurrent_jobs',
        gives=1,
        code=_usage,
        arities=(1,),
        sees=True,
    ),
    Helper(
        name="estimate_quota_impact",
        forms=("estimate_quota_impact(id, job)",),
        answers="`#{tokens, vram_bytes, remaining_tokens, would_exceed}`: what a job would take of "
        "a tenant's quotas, at most.",
        example='estimate_quota_impact("acme", job).remaining_tokens',
        gives=5900,
        code=_impact,
        arities=(2,),
        sees=True,
    ),
)
