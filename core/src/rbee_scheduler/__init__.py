"""An inference scheduler that anyone can extend with pip.

It decides which worker serves an LLM request, and relays that worker's token stream::

    registry = WorkerRegistry()
    registry.add_url("http://127.0.0.1:8081", model="llama-3-8b")
    scheduler = Scheduler(registry)
    request = InferenceRequest(job_id="job-1", model="llama-3-8b", prompt="Hello!")
    async with scheduler.stream(request) as events:
        print(await events.text())

Names are imported when they are first used: a plugin that only wants `hookimpl` does not
pay for an HTTP client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rbee_scheduler._version import __version__


if TYPE_CHECKING:
    from rbee_scheduler._answers import Act as Act
    from rbee_scheduler._answers import Allow as Allow
    from rbee_scheduler._answers import Charge as Charge
    from rbee_scheduler._answers import Deny as Deny
    from rbee_scheduler._answers import LaneOrder as LaneOrder
    from rbee_scheduler._answers import Reject as Reject
    from rbee_scheduler._answers import Scores as Scores
    from rbee_scheduler._answers import Soft as Soft
    from rbee_scheduler._answers import Wait as Wait
    from rbee_scheduler._attempt import Attempt as Attempt
    from rbee_scheduler._catalog import Catalog as Catalog
    from rbee_scheduler._catalog import ModelInfo as ModelInfo
    from rbee_scheduler._clock import Clock as Clock
    from rbee_scheduler._clock import SystemClock as SystemClock
    from rbee_scheduler._commands import PoolCommand as PoolCommand
    from rbee_scheduler._config import Configuration as Configuration
    from rbee_scheduler._config import load_configuration as load_configuration
    from rbee_scheduler._decision import Decision as Decision
    from rbee_scheduler._decision import ScheduleResult as ScheduleResult
    from rbee_scheduler._deployment import Deployment as Deployment
    from rbee_scheduler._errors import Cancelled as Cancelled
    from rbee_scheduler._errors import CapacityExceeded as CapacityExceeded
    from rbee_scheduler._errors import ConfigError as ConfigError
    from rbee_scheduler._errors import DeadlineExceeded as DeadlineExceeded
    from rbee_scheduler._errors import HeartbeatRefused as HeartbeatRefused
    from rbee_scheduler._errors import InvalidRequest as InvalidRequest
    from rbee_scheduler._errors import NoWorkersAvailable as NoWorkersAvailable
    from rbee_scheduler._errors import ParseError as ParseError
    from rbee_scheduler._errors import PluginError as PluginError
    from rbee_scheduler._errors import PolicyError as PolicyError
    from rbee_scheduler._errors import PolicyTimeout as PolicyTimeout
    from rbee_scheduler._errors import PromptTooLarge as PromptTooLarge
    from rbee_scheduler._errors import QuotaExceeded as QuotaExceeded
    from rbee_scheduler._errors import Rejected as Rejected
    from rbee_scheduler._errors import SchedulerError as SchedulerError
    from rbee_scheduler._errors import StreamConnectionFailed as StreamConnectionFailed
    from rbee_scheduler._errors import StreamReadError as StreamReadError
    from rbee_scheduler._errors import UnprocessableRequest as UnprocessableRequest
    from rbee_scheduler._errors import WorkerCommunicationFailed as WorkerCommunicationFailed
    from rbee_scheduler._errors import WorkerError as WorkerError
    from rbee_scheduler._errors import WorkerTimeout as WorkerTimeout
    from rbee_scheduler._event_stream import EventStream as EventStream
    from rbee_scheduler._events import End as End
    from rbee_scheduler._events import Error as Error
    from rbee_scheduler._events import Metrics as Metrics
    from rbee_scheduler._events import Queued as Queued
    from rbee_scheduler._events import RequestEvent as RequestEvent
    from rbee_scheduler._events import Started as Started
    from rbee_scheduler._events import StreamEvent as StreamEvent
    from rbee_scheduler._events import Token as Token
    from rbee_scheduler._events import WorkerEvent as WorkerEvent
    from rbee_scheduler._explain import Explanation as Explanation
    from rbee_scheduler._findings import Findings as Findings
    from rbee_scheduler._heartbeat import HiveHeartbeat as HiveHeartbeat
    from rbee_scheduler._heartbeat import WorkerHeartbeat as WorkerHeartbeat
    from rbee_scheduler._hold import Hold as Hold
    from rbee_scheduler._hookspecs import hookimpl as hookimpl
    from rbee_scheduler._hookspecs import hookspec as hookspec
    from rbee_scheduler._liveness import LivenessConfig as LivenessConfig
    from rbee_scheduler._outcome import Outcome as Outcome
    from rbee_scheduler._outcome import Usage as Usage
    from rbee_scheduler._pipeline import decide as decide
    from rbee_scheduler._plugins import PluginConfig as PluginConfig
    from rbee_scheduler._plugins import PluginInfo as PluginInfo
    from rbee_scheduler._plugins import Plugins as Plugins
    from rbee_scheduler._pool import Gpu as Gpu
    from rbee_scheduler._pool import Pool as Pool
    from rbee_scheduler._probe import probe as probe
    from rbee_scheduler._registry import WorkerRegistry as WorkerRegistry
    from rbee_scheduler._request import Geo as Geo
    from rbee_scheduler._request import InferenceRequest as InferenceRequest
    from rbee_scheduler._request import User as User
    from rbee_scheduler._reservation import Reservation as Reservation
    from rbee_scheduler._scheduler import Scheduler as Scheduler
    from rbee_scheduler._settings import LimitsConfig as LimitsConfig
    from rbee_scheduler._settings import QueueConfig as QueueConfig
    from rbee_scheduler._settings import RetryConfig as RetryConfig
    from rbee_scheduler._settings import SchedulerConfig as SchedulerConfig
    from rbee_scheduler._settings import TimeoutConfig as TimeoutConfig
    from rbee_scheduler._snapshot import Snapshot as Snapshot
    from rbee_scheduler._stream import WorkerStream as WorkerStream
    from rbee_scheduler._surroundings import Surroundings as Surroundings
    from rbee_scheduler._transport import HttpCall as HttpCall
    from rbee_scheduler._transport import HttpResponse as HttpResponse
    from rbee_scheduler._transport import HttpxTransport as HttpxTransport
    from rbee_scheduler._transport import Transport as Transport
    from rbee_scheduler._watch import watch_workers as watch_workers
    from rbee_scheduler._wire import loads as loads
    from rbee_scheduler._wire import structure as structure
    from rbee_scheduler._wire import unstructure as unstructure
    from rbee_scheduler._worker import Worker as Worker


# Room -> the public names it holds.
_ROOMS = {
    "_answers": "Act Allow Charge Deny LaneOrder Reject Scores Soft Wait",
    "_attempt": "Attempt",
    "_catalog": "Catalog ModelInfo",
    "_clock": "Clock SystemClock",
    "_commands": "PoolCommand",
    "_config": "Configuration load_configuration",
    "_decision": "Decision ScheduleResult",
    "_deployment": "Deployment",
    "_errors": "Cancelled CapacityExceeded ConfigError DeadlineExceeded HeartbeatRefused"
    " InvalidRequest NoWorkersAvailable ParseError PluginError PolicyError PolicyTimeout"
    " PromptTooLarge QuotaExceeded Rejected SchedulerError StreamConnectionFailed"
    " StreamReadError UnprocessableRequest WorkerCommunicationFailed WorkerError WorkerTimeout",
    "_event_stream": "EventStream",
    "_events": "End Error Metrics Queued RequestEvent Started StreamEvent Token WorkerEvent",
    "_explain": "Explanation",
    "_findings": "Findings",
    "_heartbeat": "HiveHeartbeat WorkerHeartbeat",
    "_hold": "Hold",
    "_hookspecs": "hookimpl hookspec",
    "_liveness": "LivenessConfig",
    "_outcome": "Outcome Usage",
    "_pipeline": "decide",
    "_plugins": "PluginConfig PluginInfo Plugins",
    "_pool": "Gpu Pool",
    "_probe": "probe",
    "_registry": "WorkerRegistry",
    "_request": "Geo InferenceRequest User",
    "_reservation": "Reservation",
    "_scheduler": "Scheduler",
    "_settings": "LimitsConfig QueueConfig RetryConfig SchedulerConfig TimeoutConfig",
    "_snapshot": "Snapshot",
    "_stream": "WorkerStream",
    "_surroundings": "Surroundings",
    "_transport": "HttpCall HttpResponse HttpxTransport Transport",
    "_watch": "watch_workers",
    "_wire": "loads structure unstructure",
    "_worker": "Worker",
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = sorted([*_ROOM_OF, "__version__"])  # noqa: PLE0605 - one table, not two lists to keep equal


def __getattr__(name: str) -> Any:
    room = _ROOM_OF.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
