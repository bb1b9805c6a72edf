"""The service's description says all that there is, and only that."""

import json
from pathlib import Path

import pytest

from rbee_scheduler import (
    Gpu,
    InferenceRequest,
    Pool,
    Worker,
    hookimpl,
    structure,
    unstructure,
)
from rbee_scheduler_gateway import Route
from rbee_scheduler_gateway._openapi import OPERATIONS
from rbee_scheduler_gateway._openapi._derive import incoming, outgoing


@pytest.fixture(params=["asyncio"])
def anyio_backend(request):
    return request.param


async def described(memory, **options):
    async with memory.open_site(lambda call: None, **options) as site:
        answer = await site.ask("/openapi.json", method="GET")
        return list(site.gateway.routes), answer.json()


async def test_every_route_is_described_and_nothing_else(memory):
    routes, document = await described(memory)
    there = {(route.method, route.path.replace("*}", "}")) for route in routes}
    told = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert told == there
    assert there <= OPERATIONS.keys()


async def test_it_refers_to_what_it_has(memory):
    _, document = await described(memory)
    for reference in _references(document):
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
    assert document["openapi"] == "3.1.0"
    names = [item["operationId"] for path in document["paths"].values() for item in path.values()]
    assert len(names) == len(set(names))


def _references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


async def test_every_guarded_route_says_so(memory):
    routes, document = await described(memory)
    for route in routes:
        operation = document["paths"][route.path.replace("*}", "}")][route.method.lower()]
        assert ("401" in operation["responses"]) == (route.access != "open")
        assert operation["x-access"] == route.access


async def test_a_plugins_route_is_described_by_its_docstring(memory):
    async def hello(call):
        """Say hello."""
        await call.answer({})

    class Brings:
        @hookimpl
        def rbee_register_routes(self, gateway):
            return [Route("GET", "/v1/hello/{name}", hello)]

    _, document = await described(memory, plugins=[Brings()])
    operation = document["paths"]["/v1/hello/{name}"]["get"]
    assert operation["summary"] == "Say hello."
    assert [parameter["name"] for parameter in operation["parameters"]] == ["name"]


def test_schemas_of_classes_hold_for_what_the_wire_reads_and_writes():
    jsonschema = pytest.importorskip("jsonschema")
    worker = Worker(id="w", url="http://h:1", model="m", slots=2, labels={"rack": "7"})
    pool = Pool(id="p", gpus=[Gpu(id="g")])
    for thing in (worker, pool):
        data = json.loads(json.dumps(unstructure(thing)))
        jsonschema.validate(data, outgoing(type(thing)))
        jsonschema.validate(data, incoming(type(thing)))
    schema = incoming(InferenceRequest)
    for data, good in (
        ({"job_id": "j", "model": "m", "prompt": "x", "top_p": 0.5}, True),
        ({"job_id": "j", "model": "m", "promt": "x"}, False),
        ({"job_id": "j", "model": 7, "prompt": "x"}, False),
        ({"model": "m", "prompt": "x"}, False),
    ):
        assert jsonschema.Draft202012Validator(schema).is_valid(data) is good
        if good:
            assert structure(data, InferenceRequest).top_p == 0.5


async def test_the_page_lists_every_route(memory):
    routes, _ = await described(memory)
    page = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
    for route in routes:
        row = f"| {route.method} | `{route.path.replace('*}', '}')}` | {route.access} |"
        assert row in page
    assert page.count("| `/") == len(routes)
