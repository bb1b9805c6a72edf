"""``GET /openapi.json``: the service described, from the same table that answers requests.

`_document` joins the routes with `_operations` (what each takes and answers), whose shapes are
in `_schemas`; those of core's classes are derived from them (`_derive`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._openapi._document import document
from rbee_scheduler_gateway._openapi._operations import OPERATIONS
from rbee_scheduler_gateway._problems import JSON
from rbee_scheduler_gateway._routes import Route


if TYPE_CHECKING:
    from rbee_scheduler_gateway._gateway import Gateway


__all__ = ["OPERATIONS", "document", "openapi_routes"]


def openapi_routes(gateway: Gateway) -> Iterator[Route]:
    """Yield the route of the description."""
    import json

    async def openapi(call: Call) -> None:
        body = json.dumps(document(gateway.routes), separators=(",", ":")).encode()
        await call.respond(200, body, JSON)

    yield Route("GET", "/openapi.json", openapi, access="open")
