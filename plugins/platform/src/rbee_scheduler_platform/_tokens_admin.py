"""Administration: changes of tenants and tokens, each with its audit record, in one step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from anyio import to_thread

from rbee_scheduler import Clock, unstructure
from rbee_scheduler_platform._audit._chain import append
from rbee_scheduler_platform._records import AuditEntry, AuditKind, Role, TokenRecord
from rbee_scheduler_platform._store._database import Database, Operation, together
from rbee_scheduler_platform._store._protocol import Store
from rbee_scheduler_platform._store._tenant_rows import (
    change_tenant,
    change_token,
    put_tenant,
    put_token,
)
from rbee_scheduler_platform._tenant import Tenant
from rbee_scheduler_platform._tokens import (
    NewToken,
    TokenHasher,
    new_secret,
    new_token,
    rotated_token,
)


__all__ = ["Admin"]


class Admin:
    """Changes tenants and tokens, and records who did what.

    Args:
        store: Where they are; open.
        hasher: Hashes secrets.
        clock: Source of time.
        by: Who changes them: a person's name, or a token's id.
        gateway: Through what: ``"cli"``, or a gateway's id.

    Every method raises `StoreConflict` when the tenant or token is not there, or is already.
    """

    __slots__ = ("_by", "_clock", "_gateway", "_hasher", "_store")

    def __init__(
        self, store: Store, hasher: TokenHasher, clock: Clock, *, by: str, gateway: str = "cli"
    ) -> None:
        self._store = store
        self._hasher = hasher
        self._clock = clock
        self._by = by
        self._gateway = gateway

    # ---- tenants -------------------------------------------------------------------------

    async def create_tenant(self, tenant: Tenant) -> Tenant:
        """Add a tenant; return it with the moment it was made."""
        made = attrs.evolve(tenant, created_at=self._clock.now())
        entry = self._entry("config", made.id, action="tenant create", made=unstructure(made))
        await self._store.post(together(put_tenant(made, new=True), append(entry)))
        return made

    async def change_tenant(self, tenant: str, change: Callable[[Tenant], Tenant]) -> Tenant:
        """Replace a tenant by what ``change`` makes of it; return that."""

        def apply(db: Database) -> Tenant:
            old, new = change_tenant(tenant, change)(db)
            before, after = unstructure(old), unstructure(new)
            changes = {key: [before[key], after[key]] for key in after if before[key] != after[key]}
            append(self._entry("config", tenant, action="tenant set", changes=changes))(db)
            return new

        return await self._store.post(apply)

    # ---- tokens --------------------------------------------------------------------------

    async def create_token(
        self, tenant: str, *, role: Role = "tenant", name: str = "", expires_at: float = 0.0
    ) -> NewToken:
        """Make a token for a tenant, or an operator's; its text is known to the caller alone.

        Args:
            tenant: Whom it stands for; empty for an operator.
            role: ``"tenant"`` or ``"operator"``.
            name: For people.
            expires_at: Wall-clock ms from which it is no good; 0: never.
        """
        now = self._clock.now()

        def make() -> NewToken:
            return new_token(
                self._hasher, now=now, tenant=tenant, role=role, name=name, expires_at=expires_at
            )

        token = await to_thread.run_sync(make)
        entry = self._token_entry("create", token.record, role=role, name=name)
        await self._store.post(together(put_token(token.record, new=True), append(entry)))
        return token

    async def revoke_token(self, token: str) -> TokenRecord:
        """Make a token no good, for ever; return it."""
        now = self._clock.now()

        def revoke(record: TokenRecord) -> TokenRecord:
            return attrs.evolve(
                record,
                revoked_at=record.revoked_at or now,
                previous_hash="",
                previous_until=0.0,
            )

        return await self._store.post(self._changed(token, revoke, "revoke"))

    async def rotate_token(self, token: str, *, grace: float) -> NewToken:
        """Give a token another secret; the one it has is good for ``grace`` more seconds."""
        now = self._clock.now()
        secret = await to_thread.run_sync(new_secret, self._hasher)
        made: list[NewToken] = []

        def rotate(record: TokenRecord) -> TokenRecord:
            made[:] = [rotated_token(record, secret, now=now, grace=grace)]
            return made[0].record

        await self._store.post(self._changed(token, rotate, "rotate", grace=grace))
        return made[0]

    # ---- records -------------------------------------------------------------------------

    def _changed(
        self, token: str, change: Callable[[TokenRecord], TokenRecord], action: str, **more: Any
    ) -> Operation[TokenRecord]:
        def apply(db: Database) -> TokenRecord:
            record = change_token(token, change)(db)
            append(self._token_entry(action, record, **more))(db)
            return record

        return apply

    def _token_entry(self, action: str, record: TokenRecord, **more: Any) -> AuditEntry:
        return self._entry(
            "token", record.tenant, action=f"token {action}", token=record.id, **more
        )

    def _entry(self, kind: AuditKind, tenant: str, **detail: Any) -> AuditEntry:
        return AuditEntry(
            kind=kind,
            at=self._clock.now(),
            gateway=self._gateway,
            tenant=tenant,
            detail={"by": self._by} | detail,
        )
