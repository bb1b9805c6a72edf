"""Decisions per second of rbee-scheduler and of LiteLLM's router, on the same fleet, in one run.

    python benchmarks/peers/decide.py [--sizes 10,100,1000] [--seconds 0.5] [--rounds 3]

Each strategy's state is filled for every worker first (latencies, counts in flight), so that
none runs on its empty-state shortcut. Rounds alternate between the two routers, and the
median of the CPU time per decision counts. LiteLLM is asked through its async call, which is
what its proxy uses; ours is asked through `await scheduler.schedule`, the same kind of call,
and through the bare `decide`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

from rbee_scheduler import InferenceRequest, Scheduler, Scores, WorkerRegistry, hookimpl
from rbee_scheduler._pipeline import decide
from rbee_scheduler.testing import free_workers


os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else its import tries the network
os.environ["LITELLM_TELEMETRY"] = "False"

MODEL = "m"
MESSAGES = [{"role": "user", "content": "hello, how are you today?"}]

Ask = Callable[[], Awaitable[object]]


# ---- ours ------------------------------------------------------------------------------------


class LeastBusy:
    @hookimpl
    def rbee_score_workers(self, candidates):
        return Scores({w.id: w.running for w in candidates}, better="lower")


class LeastBusyAmongAffordable:
    """One filter, two scores, one selector: more than any of LiteLLM's strategies weighs."""

    @hookimpl
    def rbee_filter_workers(self, candidates):
        return {w.id: "too little memory" for w in candidates if w.vram_free_mb < 2_000}

    @hookimpl
    def rbee_score_workers(self, candidates):
        return Scores({w.id: w.load for w in candidates}, better="lower", lowest=0, highest=1)

    @hookimpl
    def rbee_select_worker(self, candidates, scores):
        return [max(scores, key=scores.__getitem__)]


class Cheapest:
    @hookimpl
    def rbee_score_workers(self, candidates):
        return Scores({w.id: w.cost_per_token for w in candidates}, better="lower")


class Shuffle:
    @hookimpl
    def rbee_select_worker(self, candidates, snapshot):
        return [candidates[snapshot.draw(len(candidates))].id]


OURS = {
    "first-available": [],
    "shuffle": [Shuffle()],
    "least-busy": [LeastBusy()],
    "cost": [Cheapest()],
    "filter+2 scores+select": [LeastBusyAmongAffordable(), Cheapest()],
}


def ours(plugins: list[object], size: int) -> tuple[Ask, Ask]:
    """Return the async call, and the bare decision."""
    registry = WorkerRegistry()
    for n, worker in enumerate(free_workers(size, slots=16, total_vram_mb=24_000.0)):
        varied = {"cost_per_token": 1e-6 * (1 + n % 7), "running": 1 + n % 9}
        registry.add(worker.changed(**varied, vram_free_mb=24_000.0 - n % 12 * 2_000))
    scheduler = Scheduler(registry, plugins)
    prompt = MESSAGES[0]["content"]
    request = InferenceRequest(job_id="job", model=MODEL, prompt=prompt, created_at=1.0)
    chain = scheduler.plugins.chain(scheduler.strategy)

    async def schedule() -> object:
        return await scheduler.schedule(request)

    async def bare() -> object:
        return decide(request, registry.snapshot(turn=1, seed=1), chain)

    return schedule, bare


# ---- LiteLLM's -------------------------------------------------------------------------------

THEIRS = {
    "simple-shuffle": "shuffle",
    "least-busy": "least-busy",
    "cost-based-routing": "cost",
    "latency-based-routing": "filter+2 scores+select",
    "usage-based-routing-v2": "filter+2 scores+select",
}


async def litellm(strategy: str, size: int) -> Ask:
    """Return LiteLLM's async call, its state filled for every deployment."""
    import litellm
    from litellm import Router

    litellm.telemetry = False
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.ERROR)
    deployments = [
        {
            "model_name": MODEL,
            "litellm_params": {
                "model": "openai/fake",
                "api_base": f"http://127.0.0.1:{20_000 + n}/v1",
                "api_key": "x",
                "input_cost_per_token": 1e-6 * (1 + n % 7),
                "output_cost_per_token": 2e-6,
                "tpm": 10_000_000,
                "rpm": 1_000_000,
            },
            "model_info": {"id": f"d{n}"},
        }
        for n in range(size)
    ]
    router = Router(model_list=deployments, routing_strategy=strategy, num_retries=0)
    if strategy == "latency-based-routing":
        minute = time.strftime("%Y-%m-%d-%H-%M")
        latencies = {
            f"d{n}": {
                "latency": [0.01 * (1 + (n * 7 + k) % 13) for k in range(10)],
                minute: {"tpm": 100, "rpm": 3},
            }
            for n in range(size)
        }
        await router.cache.async_set_cache(key=f"{MODEL}_map", value=latencies, ttl=3600)
    elif strategy == "least-busy":
        for n in range(size):
            key = f"{MODEL}_request_count:d{n}"
            await router.cache.async_increment_cache(key, 1 + n % 9, local_only=True, ttl=3600)

    async def ask() -> object:
        return await router.async_get_available_deployment(
            model=MODEL, messages=MESSAGES, request_kwargs={"metadata": {}}
        )

    return ask


# ---- measuring -------------------------------------------------------------------------------


async def cpu_us(ask: Ask, seconds: float) -> float:
    """Return the CPU time per call, us."""
    for _ in range(3):
        await ask()
    calls = 0
    cpu, end = time.process_time(), time.perf_counter() + seconds
    while time.perf_counter() < end:
        for _ in range(10):
            await ask()
        calls += 10
    return (time.process_time() - cpu) / calls * 1e6


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="10,100,1000")
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for size in map(int, options.sizes.split(",")):
        asked: dict[str, Ask] = {}
        for name, plugins in OURS.items():
            asked[f"ours {name}"], asked[f"ours {name}, bare"] = ours(plugins, size)
        for name in THEIRS:
            asked[f"litellm {name}"] = await litellm(name, size)
        samples: dict[str, list[float]] = {name: [] for name in asked}
        for _ in range(options.rounds):
            for name, ask in asked.items():
                samples[name].append(await cpu_us(ask, options.seconds))
        medians = {name: statistics.median(values) for name, values in samples.items()}
        for theirs, same in THEIRS.items():
            rows.append(
                {
                    "workers": size,
                    "litellm": theirs,
                    "litellm_us": round(medians[f"litellm {theirs}"], 1),
                    "ours": same,
                    "ours_us": round(medians[f"ours {same}"], 1),
                    "ours_bare_us": round(medians[f"ours {same}, bare"], 1),
                    "times": round(medians[f"litellm {theirs}"] / medians[f"ours {same}, bare"], 1),
                }
            )
    if options.json:
        json.dump(rows, sys.stdout, indent=1)
        return
    python, machine = platform.python_version(), platform.machine()
    print(f"CPU us per decision, Python {python}, {machine}, medians of {options.rounds}")
    head = ["workers", "LiteLLM strategy", "us", "ours", "us, schedule()", "us, decide()", "times"]
    print("|", " | ".join(head), "|")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print("|", " | ".join(str(value) for value in row.values()), "|")


if __name__ == "__main__":
    asyncio.run(main())
