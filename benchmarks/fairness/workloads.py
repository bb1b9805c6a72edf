"""Workloads: who asks for how much, when. Synthetic ones, and traces of real services."""

from __future__ import annotations

import csv
import gzip
import math
from pathlib import Path
from random import Random
from typing import NamedTuple

import attrs


class Arrival(NamedTuple):
    """One request."""

    at: float
    tenant: str
    input_tokens: int
    output_tokens: int


@attrs.frozen(kw_only=True)
class Workload:
    """Requests of several tenants, in order of time.

    Attributes:
        name: Short name.
        title: What happens.
        arrivals: The requests.
        seconds: How long to look.
        weights: Of tenants that have another weight than 1.
        victims: Tenants who ask for less than their share, and must not notice the others.
        profile: The worker's.
    """

    name: str
    title: str
    arrivals: list[Arrival]
    seconds: float
    weights: dict[str, float] = attrs.field(factory=dict)
    victims: tuple[str, ...] = ()
    profile: str = "rtx4090-llama3.1-8b"


def poisson(rng, tenant, rate, lengths, seconds, *, on=math.inf, off=0.0):
    """Yield a tenant's requests at ``rate`` per second; ``on`` seconds of each ``on + off``."""
    at = 0.0
    while True:
        at += rng.expovariate(rate)
        if at >= seconds:
            return
        if at % (on + off) < on:
            yield Arrival(at, tenant, *lengths)


def merged(*streams):
    return sorted((one for stream in streams for one in stream), key=lambda one: one.at)


def overload(seconds: float = 380.0) -> Workload:
    rng = Random(1)
    streams = [
        poisson(rng, name, rate, (256, 256), seconds) for name, rate in (("a", 5), ("b", 10))
    ]
    return Workload(
        name="overload",
        title="two tenants in overload, 5 and 10 req/s of 256/256",
        arrivals=merged(*streams),
        seconds=seconds,
    )


def flood(seconds: float = 380.0) -> Workload:
    rng = Random(2)
    victims = tuple(f"victim{n}" for n in range(1, 5))
    streams = [list(poisson(rng, name, 1.2, (256, 256), seconds)) for name in victims]
    streams.append(poisson(rng, "flooder", 20, (256, 256), seconds))
    return Workload(
        name="flood",
        title="a flood: 4 tenants at 1.2 req/s, one at 20 req/s, 256/256",
        arrivals=merged(*streams),
        seconds=seconds,
        victims=victims,
    )


def short_long(seconds: float = 380.0) -> Workload:
    rng = Random(3)
    streams = [
        poisson(rng, "short", 25, (64, 64), seconds),
        poisson(rng, "long", 4, (1024, 512), seconds),
    ]
    return Workload(
        name="short-long",
        title="short (64/64 at 25 req/s) against long (1024/512 at 4 req/s)",
        arrivals=merged(*streams),
        seconds=seconds,
    )


def weights(seconds: float = 380.0) -> Workload:
    rng = Random(4)
    tenants = {f"weight{n}": float(n) for n in range(1, 5)}
    streams = [poisson(rng, name, 6, (256, 256), seconds) for name in tenants]
    return Workload(
        name="weights",
        title="weights 1:2:3:4, each tenant at 6 req/s of 256/256",
        arrivals=merged(*streams),
        seconds=seconds,
        weights=tenants,
    )


def on_off(seconds: float = 380.0) -> Workload:
    rng = Random(5)
    streams = [
        poisson(rng, "steady", 8, (256, 256), seconds),
        poisson(rng, "on-off", 16, (256, 256), seconds, on=30, off=30),
    ]
    return Workload(
        name="on-off",
        title="steady 8 req/s against 16 req/s every other half minute",
        arrivals=merged(*streams),
        seconds=seconds,
    )


def hog(seconds: float = 380.0) -> Workload:
    rng = Random(6)
    streams = [poisson(rng, f"prompt{n}", 4, (512, 64), seconds) for n in (1, 2, 3)]
    streams.append(poisson(rng, "hog", 4, (64, 1024), seconds))
    return Workload(
        name="hog",
        title="a hog of long answers (64/1024) against three of 512/64, each at 4 req/s",
        arrivals=merged(*streams),
        seconds=seconds,
    )


SYNTHETIC = (overload, flood, short_long, weights, on_off, hog)


def trace(
    path: Path, name: str, title: str, *, speed: float, seconds: float, profile: str
) -> Workload:
    """Return a trace (csv: t, tenant, input_tokens, output_tokens), ``speed`` times as fast.

    Requests that no worker of the profile could hold are left out.
    """
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [
            Arrival(
                float(row["t"]) / speed,
                row["tenant"],
                max(1, int(row["input_tokens"])),
                max(1, int(row["output_tokens"])),
            )
            for row in csv.DictReader(file)
        ]
    arrivals = sorted((row for row in rows if row.at < seconds), key=lambda one: one.at)
    return Workload(name=name, title=title, arrivals=arrivals, seconds=seconds, profile=profile)


TRACES = {
    "vtc_arena_27clients.csv.gz": {
        "name": "arena",
        "title": "LMSYS Arena, 27 tenants, 5 times as fast",
        "speed": 5.0,
        "seconds": 120.0,
        "profile": "rtx4090-llama3.1-8b",
    },
    "servegen_deepseek-r1_1h.csv.gz": {
        "name": "servegen",
        "title": "ServeGen deepseek-r1, 30 tenants, 5 minutes",
        "speed": 1.0,
        "seconds": 300.0,
        "profile": "rtxpro6000-llama3.1-8b",
    },
}


def traces(folder: Path):
    """Yield the traces that are in ``folder``; name those that are not."""
    for file, about in TRACES.items():
        path = folder / file
        if path.exists():
            yield trace(path, **about)
        else:
            print(f"(no trace {file} in {folder}: left out)")
