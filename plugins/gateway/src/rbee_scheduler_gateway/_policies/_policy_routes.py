"""``/v1/policies``: what decides, what did, and what shall; all of it for operators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from rbee_scheduler import InferenceRequest, InvalidRequest, UnprocessableRequest, Worker, structure
from rbee_scheduler._config import with_worker_ids
from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._jobs._read import read_body
from rbee_scheduler_gateway._parameters import parameters
from rbee_scheduler_gateway._policies._drafts import Draft, Language
from rbee_scheduler_gateway._policies._workshop import (
    Deployed,
    PolicyUnfit,
    Workshop,
    language_of,
)
from rbee_scheduler_gateway._problems import JSON, problem_body
from rbee_scheduler_gateway._refusals import Conflict
from rbee_scheduler_gateway._routes import Route


if TYPE_CHECKING:
    from rbee_scheduler_gateway._gateway import Gateway


__all__ = ["policy_routes"]

Answer = Callable[[Call, Workshop], Awaitable[None]]

LONGEST: Final = 256 * 1024
LONGEST_AUTHOR: Final = 100


def policy_routes(gateway: Gateway) -> Iterator[Route]:
    """Yield the routes of policies."""
    one = "/v1/policies/{name}"
    for method, path, answer in (
        ("GET", "/v1/policies", _list),
        ("GET", one, _show),
        ("PUT", one, _save),
        ("POST", one, _save),
        ("DELETE", one, _delete),
        ("POST", f"{one}/check", _check),
        ("POST", f"{one}/test", _test),
        ("POST", f"{one}/deploy", _deploy),
        ("POST", f"{one}/rollback", _roll_back),
    ):
        yield Route(method, path, _with_workshop(gateway, answer), access="operator")


def _with_workshop(gateway: Gateway, answer: Answer) -> Callable[[Call], Awaitable[None]]:
    async def with_workshop(call: Call) -> None:
        try:
            await answer(call, Workshop(gateway))
        except PolicyUnfit as unfit:
            call.error = unfit
            body = problem_body(
                unfit.http_status,
                unfit.code,
                str(unfit.message),
                param=unfit.place or None,
                findings=unfit.findings,
            )
            await call.respond(unfit.http_status, body, JSON)

    return with_workshop


# ---- what there is -------------------------------------------------------------------------


async def _list(call: Call, workshop: Workshop) -> None:
    parameters(call)
    data = [await workshop.shown(name) for name in workshop.names()]
    await call.answer({"object": "list", "data": data})


async def _show(call: Call, workshop: Workshop) -> None:
    parameters(call)
    await call.answer(await workshop.shown(call.params["name"], source=True))


async def _save(call: Call, workshop: Workshop) -> None:
    """Keep a draft: the body is its text, or JSON with ``source`` and maybe ``language``."""
    name = call.params["name"]
    language: Any = parameters(call, "language").get("language")
    if call.exchange.headers.get("content-type", "").startswith("application/json"):
        data = _fields(call, "source", "language")
        source, language = data.get("source", ""), data.get("language", language)
    else:
        source = _text(call.exchange.body)
    if not source.strip() or len(source) > LONGEST:
        raise UnprocessableRequest(
            "there is no source, or too much of it",
            place="$.source",
            hint=f"send a policy of at most {LONGEST} characters",
        )
    new = workshop.drafts.find(name) is None
    draft = Draft(name, _language(language, name, workshop), source)
    workshop.drafts.save(draft)
    await call.answer(await workshop.shown(name), 201 if new else 200)


async def _delete(call: Call, workshop: Workshop) -> None:
    name = call.params["name"]
    shown = await workshop.shown(name)
    if shown["draft"] is None:
        raise Conflict(
            f"{name!r} is in force", hint="deploy another one, or change the configuration"
        )
    workshop.drafts.delete(name)
    await call.answer({"name": name, "deleted": True})


# ---- looking at one ------------------------------------------------------------------------


async def _check(call: Call, workshop: Workshop) -> None:
    _fields(call)
    findings = await workshop.check(workshop.draft(call.params["name"]))
    good = all(finding["severity"] != "error" for finding in findings)
    await call.answer({"ok": good, "findings": findings})


async def _test(call: Call, workshop: Workshop) -> None:
    """Try a policy on a job: of the body, or a plain one for the fleet's first model."""
    draft = workshop.draft(call.params["name"])
    data = _fields(call, "job", "workers")
    workers = data.get("workers")
    fleet = None
    if workers is not None:
        fleet = structure(with_worker_ids(workers), list[Worker], place="$.workers")
    job = data.get("job", {})
    if not isinstance(job, dict):
        raise InvalidRequest("the job is no object", place="$.job")
    if not job:
        job = {"model": _some_model(workshop, fleet)}
    request = structure(
        {"job_id": "test", "prompt": "dry run", **job, "strategy": None},
        InferenceRequest,
        place="$.job",
    )
    await call.answer(await workshop.test(draft, request, fleet))


def _some_model(workshop: Workshop, fleet: list[Worker] | None) -> str:
    for worker in workshop.fleet() if fleet is None else fleet:
        for model in worker.models:
            return model
    raise UnprocessableRequest(
        "there is no worker to try it on", place="$.workers", hint="give workers, or a job"
    )


# ---- letting one decide --------------------------------------------------------------------


async def _deploy(call: Call, workshop: Workshop) -> None:
    workshop.check_unlocked()
    data = _fields(call, "target", "author")
    draft = workshop.draft(call.params["name"])
    name, deployer = workshop.target(data.get("target", draft.name))
    deployed = await workshop.deploy(draft, deployer, _author(data))
    workshop.drafts.delete(draft.name)
    await call.answer(_told(name, deployed))


async def _roll_back(call: Call, workshop: Workshop) -> None:
    workshop.check_unlocked()
    data = _fields(call, "version", "author")
    name, deployer = workshop.target(call.params["name"])
    deployed = await workshop.roll_back(deployer, data.get("version", ""), _author(data))
    await call.answer(_told(name, deployed))


def _told(name: str, deployed: Deployed) -> dict[str, Any]:
    return {"policy": name, "version": deployed.version.to_dict(), "lasting": deployed.lasting}


# ---- bodies --------------------------------------------------------------------------------

# What a key of a body may be, beside a text.
_KINDS: Final = {"job": dict, "workers": list}


def _fields(call: Call, *known: str) -> dict[str, Any]:
    """Return the fields of a JSON body, which may be empty."""
    if not call.exchange.body:
        return {}
    data = read_body(call)
    for key, value in data.items():
        if key not in known:
            hint = f"there are: {', '.join(known)}" if known else "send no body"
            raise InvalidRequest("unknown key", place=f"$.{key[:100]}", hint=hint)
        kind = _KINDS.get(key, str)
        if not isinstance(value, kind):
            wanted = {dict: "an object", list: "an array", str: "a text"}[kind]
            raise InvalidRequest(f"it is not {wanted}", place=f"$.{key}")
    return data


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as wrong:
        raise InvalidRequest("the body is no UTF-8", place=f"byte {wrong.start}") from wrong


def _language(asked: Any, name: str, workshop: Workshop) -> Language:
    if asked is None:
        deployer = workshop.deployers().get(name)
        return "rhai" if deployer is None else language_of(deployer)
    if asked not in {"rhai", "yaml"}:
        raise UnprocessableRequest(
            f"{asked[:40]!r} is no language", place="$.language", hint="rhai or yaml"
        )
    language: Language = asked
    return language


def _author(data: dict[str, Any]) -> str:
    return str(data.get("author", "api"))[:LONGEST_AUTHOR]
