"""Scripted policies for rbee-scheduler; `rhai` is the engine they run on.

>>> from rbee_scheduler_script import RhaiScheduler
>>> scheduler = RhaiScheduler.from_source(
...     "fn schedule_job(job, pools, workers) { workers.least_loaded() }"
... )
>>> worker = scheduler.registry.add_url("http://127.0.0.1:8081", model="llama-3-8b")
>>> scheduler.status().state
'active'

Names are imported when they are first used: who wants the engine alone does not pay for a
scheduler.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from rbee_scheduler_script import rhai as rhai
    from rbee_scheduler_script._check import Finding as Finding
    from rbee_scheduler_script._check import Function as Function
    from rbee_scheduler_script._check import Vocabulary as Vocabulary
    from rbee_scheduler_script._check import check as check
    from rbee_scheduler_script._check import findings_as_json as findings_as_json
    from rbee_scheduler_script._check import findings_as_text as findings_as_text
    from rbee_scheduler_script._deployer import PolicyDeployer as PolicyDeployer
    from rbee_scheduler_script._deployer import ReloadStatus as ReloadStatus
    from rbee_scheduler_script._format import format_source as format_source
    from rbee_scheduler_script._helpers import CATALOG as HELPERS
    from rbee_scheduler_script._helpers import Helper as Helper
    from rbee_scheduler_script._helpers import HelperCatalog as HelperCatalog
    from rbee_scheduler_script._hooks import FilterPolicy as FilterPolicy
    from rbee_scheduler_script._hooks import ScorePolicy as ScorePolicy
    from rbee_scheduler_script._hooks import SelectPolicy as SelectPolicy
    from rbee_scheduler_script._hooks import as_plugin as as_plugin
    from rbee_scheduler_script._plugin import Options as Options
    from rbee_scheduler_script._plugin import rbee_configure as rbee_configure
    from rbee_scheduler_script._plugin import rbee_options as rbee_options
    from rbee_scheduler_script._plugin import rbee_register_commands as rbee_register_commands
    from rbee_scheduler_script._policy import Policy as Policy
    from rbee_scheduler_script._refusals import DeployLocked as DeployLocked
    from rbee_scheduler_script._refusals import PolicyRefused as PolicyRefused
    from rbee_scheduler_script._reload import watch_policy as watch_policy
    from rbee_scheduler_script._scheduler import RhaiScheduler as RhaiScheduler
    from rbee_scheduler_script._status import PolicyStatus as PolicyStatus
    from rbee_scheduler_script._version import Version as Version
    from rbee_scheduler_script._versions import VersionStore as VersionStore
    from rbee_scheduler_script._yaml import CompiledPolicy as CompiledPolicy
    from rbee_scheduler_script._yaml import RulesError as RulesError
    from rbee_scheduler_script._yaml import compile_yaml as compile_yaml
    from rbee_scheduler_script._yaml import json_schema as json_schema
    from rbee_scheduler_script._yaml_scheduler import YamlScheduler as YamlScheduler


# Name -> where it is: a room, and its name there when it is another.
_PLACES = {
    "CompiledPolicy": "_yaml",
    "DeployLocked": "_refusals",
    "FilterPolicy": "_hooks",
    "Finding": "_check",
    "Function": "_check",
    "HELPERS": "_helpers:CATALOG",
    "Helper": "_helpers",
    "HelperCatalog": "_helpers",
    "Options": "_plugin",
    "Policy": "_policy",
    "PolicyDeployer": "_deployer",
    "PolicyRefused": "_refusals",
    "PolicyStatus": "_status",
    "ReloadStatus": "_deployer",
    "RhaiScheduler": "_scheduler",
    "RulesError": "_yaml",
    "ScorePolicy": "_hooks",
    "SelectPolicy": "_hooks",
    "Version": "_version",
    "VersionStore": "_versions",
    "Vocabulary": "_check",
    "YamlScheduler": "_yaml_scheduler",
    "as_plugin": "_hooks",
    "check": "_check",
    "compile_yaml": "_yaml",
    "findings_as_json": "_check",
    "findings_as_text": "_check",
    "format_source": "_format",
    "json_schema": "_yaml",
    "rbee_configure": "_plugin",
    "rbee_options": "_plugin",
    "rbee_register_commands": "_plugin",
    "rhai": "rhai:",
    "watch_policy": "_reload",
}

__all__ = [
    "HELPERS", "CompiledPolicy", "DeployLocked", "FilterPolicy", "Finding", "Function", "Helper",
    "HelperCatalog", "Options", "Policy", "PolicyDeployer", "PolicyRefused", "PolicyStatus",
    "ReloadStatus", "RhaiScheduler", "RulesError", "ScorePolicy", "SelectPolicy", "Version",
    "VersionStore", "Vocabulary", "YamlScheduler", "as_plugin", "check", "compile_yaml",
    "findings_as_json", "findings_as_text", "format_source", "json_schema", "rbee_configure",
    "rbee_options", "rbee_register_commands", "rhai", "watch_policy",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room, colon, other = place.partition(":")
    module = import_module(f"{__name__}.{room}")
    value = module if colon and not other else getattr(module, other or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
