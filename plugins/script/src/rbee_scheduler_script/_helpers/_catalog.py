"""The catalogue of helpers, grouped by subject."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from rbee_scheduler_script import rhai
from rbee_scheduler_script._helpers import (
    arrays,
    eviction,
    geo,
    gpus,
    jobs,
    models,
    pools,
    queries,
    quota,
    registry,
    utility,
    workers,
)
from rbee_scheduler_script._helpers._helper import Helper


if TYPE_CHECKING:
    from rbee_scheduler_script._view import Desk


__all__ = ["CATALOG", "HelperCatalog", "HelperGroup", "bind_all"]


@attrs.frozen(kw_only=True)
class HelperGroup:
    """Helpers of one subject.

    Attributes:
        name: The subject.
        about: What they have in common.
        helpers: They, in the order of the docs.
    """

    name: str
    about: str
    helpers: tuple[Helper, ...]


@attrs.frozen
class HelperCatalog:
    """All helpers.

    Attributes:
        groups: They, by subject.

    Example:
        >>> CATALOG.get("least_loaded").forms
        ('workers.least_loaded()',)
    """

    groups: tuple[HelperGroup, ...]

    def __iter__(self) -> Iterator[Helper]:
        for group in self.groups:
            yield from group.helpers

    def __len__(self) -> int:
        return sum(len(group.helpers) for group in self.groups)

    def get(self, name: str) -> Helper | None:
        """Return the helper called ``name``."""
        return next((helper for helper in self if helper.name == name), None)

    def to_dict(self) -> list[dict[str, Any]]:
        """Return the catalogue as plain JSON values, one object per helper."""
        return [
            {
                "name": helper.name,
                "group": group.name,
                "signatures": list(helper.forms),
                "answers": helper.answers,
                "example": helper.example,
                "gives": helper.gives,
            }
            for group in self.groups
            for helper in group.helpers
        ]


def bind_all(desk: Desk) -> Mapping[str, rhai.HostFunction]:
    """Return all helpers as host functions of the scripts that share ``desk``."""
    return {helper.name: helper.bind(desk) for helper in CATALOG}


CATALOG: Final = HelperCatalog(
    (
        HelperGroup(
            name="Workers",
            about="Of arrays of workers: the policy's `workers`, or what another helper gave.",
            helpers=workers.HELPERS,
        ),
        HelperGroup(
            name="Arrays",
            about="Of arrays of anything. A key is a closure, or the name of a field. `filter`, "
            "`map`, `some`, `all`, `reduce`, `sort` and others are standard.",
            helpers=arrays.HELPERS,
        ),
        HelperGroup(
            name="Queries",
            about="They look among all workers. For the job's own model the `find_..._worker` "
            "functions answer one of its candidates.",
            helpers=queries.HELPERS,
        ),
        HelperGroup(
            name="Registry and hives",
            about="The registry's queries under the original's names. A hive is a pool.",
            helpers=registry.HELPERS,
        ),
        HelperGroup(name="Pools", about="Of pools (hives).", helpers=pools.HELPERS),
        HelperGroup(name="GPUs", about="Of what pools report of GPUs.", helpers=gpus.HELPERS),
        HelperGroup(name="Models", about="Of the model catalog.", helpers=models.HELPERS),
        HelperGroup(
            name="Jobs", about="Of jobs: `job`, and those that wait.", helpers=jobs.HELPERS
        ),
        HelperGroup(
            name="Quotas",
            about="Of tenants. Where no plugin keeps quotas, they answer that there is no limit.",
            helpers=quota.HELPERS,
        ),
        HelperGroup(
            name="Eviction",
            about="What to evict when memory is short, for `evict_worker` actions.",
            helpers=eviction.HELPERS,
        ),
        HelperGroup(name="Places", about="On the Earth.", helpers=geo.HELPERS),
        HelperGroup(
            name="Answers, logs, time, text",
            about="What fits nowhere else.",
            helpers=utility.HELPERS,
        ),
    )
)
