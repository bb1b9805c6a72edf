"""Other gateways: what one that is gone has left, another one takes over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rbee_scheduler import InferenceRequest, SchedulerError
from rbee_scheduler_platform._journal import StoreJournal


if TYPE_CHECKING:
    from rbee_scheduler_gateway import Gateway
    from rbee_scheduler_platform._runtime import Runtime


__all__ = ["watch_others"]


async def watch_others(runtime: Runtime, gateway: Gateway) -> None:
    """Take over what gateways leave behind whose lease has ended, until cancelled.

    Args:
        runtime: The platform's state, over a store that several gateways share.
        gateway: Runs the jobs.
    """
    options = runtime.options
    while True:
        # A job of a gateway that is gone then waits for little more than the lease.
        await runtime.clock.sleep(options.lease_seconds / 3.0)
        try:
            recovered = await runtime.store.recover(
                options.gateway, runtime.clock.now(), lease=options.lease_seconds, starting=False
            )
        except SchedulerError as problem:
            runtime.ledger.failed(problem)
            continue
        journal = gateway.jobs.journal
        for one in recovered.resumable:
            runtime.resume(one.job.id)
            if isinstance(journal, StoreJournal):
                request = journal.taken_over(one.payload, one.job.id)
                gateway.tasks.start_soon(_run, runtime, gateway, request)
        if recovered.gateways:
            runtime.logger.warning(
                "%s is gone: %d of its jobs go on here",
                ", ".join(recovered.gateways),
                len(recovered.resumable),
            )


async def _run(runtime: Runtime, gateway: Gateway, request: InferenceRequest) -> None:
    try:
        await gateway.jobs.submit(request)
    except SchedulerError as refusal:  # the journal has noted it
        runtime.logger.warning("a job that was taken over failed: %s", refusal)
