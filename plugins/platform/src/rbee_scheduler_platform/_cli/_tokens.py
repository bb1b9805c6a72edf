"""``tenant token create``, ``list``, ``revoke``, ``rotate``."""

from __future__ import annotations

from typing import Any

import attrs
import click

from rbee_scheduler.cli._output import Output
from rbee_scheduler_platform._cli._common import (
    StoreAccess,
    duration,
    shown_moment,
    store_options,
)
from rbee_scheduler_platform._records import Role, TokenRecord
from rbee_scheduler_platform._store._protocol import Store
from rbee_scheduler_platform._tokens import NewToken


__all__ = ["create", "list_", "revoke", "rotate"]


@click.command("create")
@click.argument("tenant_id", metavar="[TENANT]", required=False)
@click.option("--operator", is_flag=True, help="A token that may see and change all tenants.")
@click.option("--name", default="", help="For people.")
@click.option("--expires", type=duration, help="From now; such as 90d. By default never.")
@store_options
def create(
    tenant_id: str | None,
    *,
    operator: bool,
    name: str,
    expires: float | None,
    access: StoreAccess,
    output: Output,
) -> None:
    """Make a token and print it, once: the store keeps a hash alone.

    TENANT may be left out with --operator.
    """
    if tenant_id is None and not operator:
        raise click.UsageError("name the tenant, or say --operator")
    role: Role = "operator" if operator else "tenant"
    until = 0.0 if expires is None else access.clock.now() + expires * 1000.0

    async def work(store: Store) -> NewToken:
        return await access.admin(store).create_token(
            tenant_id or "", role=role, name=name, expires_at=until
        )

    _print(access.run(work), output)


@click.command("list")
@click.argument("tenant_id", metavar="[TENANT]", required=False)
@store_options
def list_(tenant_id: str | None, *, access: StoreAccess, output: Output) -> None:
    """List tokens, without their secrets."""

    async def work(store: Store) -> list[TokenRecord]:
        return await store.tokens()

    tokens = [one for one in access.run(work) if tenant_id in {None, one.tenant}]
    now = access.clock.now()

    def text() -> str:
        if not tokens:
            return "no tokens; next: tenant token create TENANT"
        return output.table(
            ("id", "tenant", "role", "name", "created", "expires", "state"),
            [
                (
                    one.id, one.tenant, one.role, one.name, shown_moment(one.created_at),
                    shown_moment(one.expires_at), _state(one, now),
                )
                for one in tokens
            ],
        )  # fmt: skip

    output.emit({"tokens": [_plain(one, now) for one in tokens]}, text)


@click.command("revoke")
@click.argument("token_id", metavar="TOKEN_ID")
@store_options
def revoke(token_id: str, *, access: StoreAccess, output: Output) -> None:
    """Make a token no good, for ever.

    A running service takes it over within a second.
    """

    async def work(store: Store) -> TokenRecord:
        return await access.admin(store).revoke_token(token_id)

    record = access.run(work)
    output.emit(_plain(record, access.clock.now()), f"token {record.id} revoked")


@click.command("rotate")
@click.argument("token_id", metavar="TOKEN_ID")
@click.option(
    "--grace",
    type=duration,
    default="24h",
    show_default=True,
    help="For how long the old secret is good; 0s: not at all.",
)
@store_options
def rotate(token_id: str, *, grace: float, access: StoreAccess, output: Output) -> None:
    """Give a token another secret, and print it, once."""

    async def work(store: Store) -> NewToken:
        return await access.admin(store).rotate_token(token_id, grace=grace)

    _print(access.run(work), output)


def _print(token: NewToken, output: Output) -> None:
    output.message(f"token {token.record.id}; it is not shown again:")
    output.emit({"token": token.text, "id": token.record.id}, token.text)


def _plain(record: TokenRecord, now: float) -> dict[str, Any]:
    hidden = {"hash", "previous_hash"}
    fields = attrs.asdict(record, filter=lambda field, _: field.name not in hidden)
    return fields | {"state": _state(record, now)}


def _state(record: TokenRecord, now: float) -> str:
    if record.revoked_at:
        return "revoked"
    return "good" if record.good_at(now) else "expired"
