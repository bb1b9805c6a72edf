"""The fair order: one set of counters for all lanes, and what is charged to them when.

A request costs ``input_weight * input + output_weight * output`` tokens of service (1 and 2, as
the authors of VTC). It is charged for its input when it is given a worker, for its output as
tokens come, and corrected by the worker's own count at the end. With `predict` the output its
tenant mostly generates is charged in advance (VTC-predict): bursts of short prompts with long
answers then overshoot less.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import islice

from rbee_scheduler import Clock, InferenceRequest
from rbee_scheduler_platform._fairness._account import Account
from rbee_scheduler_platform._fairness._expected import ExpectedOutput
from rbee_scheduler_platform._fairness._lane import BATCH, FairLane, Holds
from rbee_scheduler_platform._fairness._share import SWEEP, Share
from rbee_scheduler_platform._quota import input_tokens_of


__all__ = ["BATCH_BOUND", "FairOrder"]

# Seconds a batch job waits behind interactive ones.
BATCH_BOUND = 60.0

# Lanes that are kept though nobody waits in them.
IDLE_LANES = 1_024


class _Running:
    """A request that was given a worker and has not ended."""

    __slots__ = ("account", "charged", "expected", "input_tokens", "lane", "streamed")

    def __init__(
        self, account: Account, lane: FairLane, input_tokens: int, expected: float
    ) -> None:
        self.account = account
        self.lane = lane
        self.input_tokens = input_tokens
        self.expected = expected
        self.streamed = 0
        self.charged = 0.0


class FairOrder:
    """Weighted fair sharing of service among tenants; one per process.

    Args:
        clock: Source of time.
        weight_of: A tenant's weight, by id; asked again for each of its requests.
        holds: Who may hold jobs back; a `QuotaBook`.
        expected: Learns how long answers are; may be shared.
        batch_bound: Seconds a batch job waits behind interactive ones.
        predict: Whether the expected output is charged at dispatch.
        input_weight: Service of one prompt token.
        output_weight: Service of one generated token.

    Example:
        >>> from rbee_scheduler.testing import VirtualClock
        >>> order = FairOrder(VirtualClock())
        >>> lane = order.lane("m", "text-gen")
        >>> for job, tenant in [("a1", "a"), ("a2", "a"), ("b1", "b")]:
        ...     lane.add(InferenceRequest(job_id=job, model="m", prompt="Hi", tenant_id=tenant))
        >>> list(lane)
        ['a1', 'b1', 'a2']
    """

    def __init__(
        self,
        clock: Clock,
        *,
        weight_of: Callable[[str], float] | None = None,
        holds: Holds | None = None,
        expected: ExpectedOutput | None = None,
        batch_bound: float = BATCH_BOUND,
        predict: bool = False,
        input_weight: float = 1.0,
        output_weight: float = 2.0,
    ) -> None:
        self._clock = clock
        self._weight_of = weight_of
        self._holds = holds
        self._batch_bound = batch_bound
        self._predict = predict
        self._input_weight = input_weight
        self._output_weight = output_weight
        self._lanes: OrderedDict[tuple[str, str], FairLane] = OrderedDict()
        self._accounts: OrderedDict[str, Account] = OrderedDict()
        self._running: dict[str, _Running] = {}
        self._waiting: dict[tuple[str, str | None], int] = {}  # by class, and class and tenant
        self._busy_tenants = 0  # those that have requests, and the sum of their weights
        self._weights = 0.0
        self.expected = expected or ExpectedOutput()

    # ---- lanes -----------------------------------------------------------------------------

    def lane(self, model: str, task: str, wake: Callable[[], None] | None = None) -> FairLane:
        """Return the order of a lane: what `rbee_order_lane` answers.

        Args:
            model: What its jobs wait for.
            task: Their task type.
            wake: Called when a job that was held back may go.
        """
        name = model, task
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = FairLane(
                self, self._clock, holds=self._holds, batch_bound=self._batch_bound
            )
        self._lanes.move_to_end(name)
        if wake is not None:
            lane.wake_with(wake)
        if len(self._lanes) > IDLE_LANES:
            self._forget_idle_lanes()
        return lane

    def find_lane(self, model: str, task: str) -> FairLane | None:
        """Return a lane's order where there is one; asking for it makes none."""
        return self._lanes.get((model, task))

    def _forget_idle_lanes(self) -> None:
        for name, lane in list(islice(self._lanes.items(), SWEEP)):
            if lane:
                self._lanes.move_to_end(name)
            else:
                del self._lanes[name]
                lane.interactive.close()
                lane.batch.close()

    # ---- charges ---------------------------------------------------------------------------

    def dispatched(self, request: InferenceRequest, share: Share | None = None) -> None:
        """Charge a request that was given a worker; once, however often it is said.

        Args:
            request: The request. One that had waited was charged by its lane already.
            share: Where it had waited.
        """
        if request.job_id in self._running:
            return
        account = self.account(request)
        lane = self.lane(request.model, request.task_type)
        if share is None:
            share = lane.batch if request.priority == BATCH else lane.interactive
        share.served(account)
        expected = self.expected.of(account.id, request.max_tokens) if self._predict else 0.0
        running = _Running(account, lane, input_tokens_of(request), expected)
        self._running[request.job_id] = running
        self._busy(account, 1)
        self._charge(running, self._service(running.input_tokens, expected))

    def streamed(self, job_id: str, tokens: int) -> None:
        """Charge tokens that came; O(1)."""
        running = self._running.get(job_id)
        if running is not None:
            running.streamed += tokens
            if running.streamed > running.expected:
                self._charge(running, self._service(running.input_tokens, running.streamed))

    def settle(
        self, job_id: str, input_tokens: int | None = None, output_tokens: int | None = None
    ) -> None:
        """Charge what a request really used; it has ended.

        Args:
            job_id: The request.
            input_tokens: As the worker counted; None: the estimate stands.
            output_tokens: As the worker counted; None: what was streamed stands.
        """
        running = self._running.get(job_id)
        if running is not None:
            prompt = running.input_tokens if input_tokens is None else input_tokens
            output = running.streamed if output_tokens is None else output_tokens
            if output:
                self.expected.learn(running.account.id, output)
            self._end(job_id, self._service(prompt, output))

    def refund(self, job_id: str) -> None:
        """Charge nothing for a request: it never ran."""
        self._end(job_id, 0.0)

    def _end(self, job_id: str, service: float) -> None:
        running = self._running.pop(job_id, None)
        if running is not None:
            self._charge(running, service)
            self._busy(running.account, -1)

    def _charge(self, running: _Running, service: float) -> None:
        step = service - running.charged
        running.charged = service
        running.account.charge(step)
        running.lane.rate.note(step, self._clock.monotonic())

    def _service(self, input_tokens: float, output_tokens: float) -> float:
        return self._input_weight * input_tokens + self._output_weight * output_tokens

    # ---- for lanes -------------------------------------------------------------------------

    def account(self, request: InferenceRequest) -> Account:
        """Return the account that pays for a request."""
        tenant_id = request.tenant_id or ""
        account = self._accounts.get(tenant_id)
        if account is None:
            self._sweep()
            account = self._accounts[tenant_id] = Account(tenant_id)
        if self._weight_of is not None:
            weight = self._weight_of(tenant_id)
            if weight != account.weight:
                if account.busy:
                    self._weights += weight - account.weight
                account.reweigh(weight)
        return account

    def _busy(self, account: Account, running: int = 0, waiting: int = 0) -> None:
        """Count a tenant's requests; sum up the weights of those that have any."""
        was_busy = account.busy
        account.running += running
        account.waiting += waiting
        if account.busy != was_busy:
            change = 1 if account.busy else -1
            self._busy_tenants += change
            self._weights += change * account.weight
            if not self._busy_tenants:  # sums of floats don't come back to 0 by themselves
                self._weights = 0.0

    def _sweep(self) -> None:
        """Forget accounts that no lane remembers; a new one begins at the virtual time."""
        for account in list(islice(self._accounts.values(), SWEEP)):
            if account.running or account.places:
                self._accounts.move_to_end(account.id)
            else:
                del self._accounts[account.id]

    def expected_service(self, request: InferenceRequest) -> float:
        """Return the service that a request is expected to take."""
        output = self.expected.of(request.tenant_id or "", request.max_tokens)
        return self._service(input_tokens_of(request), output)

    def waits(self, request: InferenceRequest, change: int) -> None:
        """Count a job that began (1) or ceased (-1) to wait."""
        self._busy(self.account(request), waiting=change)
        for key in ((request.priority, None), (request.priority, request.tenant_id or "")):
            number = self._waiting.get(key, 0) + change
            if number:
                self._waiting[key] = number
            else:
                self._waiting.pop(key, None)

    def wake(self, model: str, task: str) -> None:
        """Let the scheduler look who waits in a lane: there may be room."""
        lane = self.find_lane(model, task)
        if lane:
            lane.interactive.wake()

    # ---- held jobs -------------------------------------------------------------------------

    def usage_fell(self, tenant_id: str) -> None:
        """Look again at a tenant whose jobs are held back; give it to `QuotaBook.on_fall`."""
        account = self._accounts.get(tenant_id)
        if account is not None:
            parked = [place for place in account.places if place.parked]
            for place in parked:
                place.share.unpark(place)
            for place in parked:
                place.share.wake()

    def is_held(self, request: InferenceRequest) -> bool:
        """Return whether a quota holds a request back now."""
        if self._holds is None:
            return False
        return self._holds.ready_at(request.job_id) > self._clock.monotonic()

    def next_ready(self) -> float | None:
        """Return the monotonic second at which to call `tick`; None: not before a change."""
        moments = [at for lane in self._lanes.values() if (at := lane.next_ready()) is not None]
        return min(moments, default=None)

    def tick(self) -> None:
        """Wake the lanes in which a held job's time has come."""
        for lane in list(self._lanes.values()):
            lane.tick()

    # ---- reading ---------------------------------------------------------------------------

    def waiting(self, priority: str, tenant_id: str | None = None) -> int:
        """Return how many jobs of a class wait, in all or of one tenant."""
        return self._waiting.get((priority, tenant_id), 0)

    def is_next(self, request: InferenceRequest) -> bool:
        """Return whether no tenant that waits in the lane had less service than this one."""
        lane = self.find_lane(request.model, request.task_type)
        return lane is None or lane.is_next(request)

    def share_of(self, tenant_id: str) -> float:
        """Return a tenant's part of the weights of all tenants that have requests, 0 to 1."""
        account = self._accounts.get(tenant_id)
        weight = self._weight_of(tenant_id) if self._weight_of is not None else 1.0
        if account is not None and account.busy:
            return weight / max(weight, self._weights)
        return weight / (weight + max(0.0, self._weights))

    def service(self) -> Mapping[str, float]:
        """Return what each tenant that is remembered was charged, over its weight."""
        return {account.id: account.service for account in self._accounts.values()}

    def __len__(self) -> int:
        """Return how many tenants are remembered."""
        return len(self._accounts)
