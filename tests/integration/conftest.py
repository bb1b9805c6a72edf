"""Real llama.cpp servers for the integration tests; started as seldom as a test allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Unpack

import attrs
import pytest

from rbee_scheduler.demo import (
    LlamaServer,
    ServerOptions,
    _model,
    blocking_llama_server,
    blocking_llama_servers,
    tiny_model,
)
from rbee_scheduler.demo._recipe import Recipe
from rbee_scheduler.demo._scenario import watchable_model


@pytest.fixture(scope="session")
def story_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that answers STORY_TEXT, as fast as it can (about 11,000 tokens/s)."""
    return tiny_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def slow_story_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same story at some 250 tokens/s: time enough to kill a worker in the middle of it."""
    folder = tmp_path_factory.mktemp("models")
    model = tiny_model(folder, width=512, layers=8, heads=8, hidden=2048, half=True)
    yield model
    model.unlink()  # pytest keeps temporary folders of three sessions, and this is 68 MB


@pytest.fixture(scope="session")
def demo_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's cache folder that has the demo's model already, but some 8 times as fast.

    At the demo's own speed most of a run is arithmetic (2 s of CPU instead of 0.6).
    """
    write, cache = _model._write, tmp_path_factory.mktemp("cache")

    def write_a_smaller_one(recipe: Recipe, path: Path) -> None:
        write(attrs.evolve(recipe, width=256, layers=4, heads=4, hidden=1024), path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_model, "_write", write_a_smaller_one)
        watchable_model(cache / "rbee-scheduler")
    return cache


@pytest.fixture(scope="session")
def endless_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Babbles for seconds: give the server `context=32_000` and the request as many tokens."""
    return tiny_model(tmp_path_factory.mktemp("models"), "random", context=32_768)


@pytest.fixture(scope="session")
def llama_cluster(story_model: Path) -> Iterator[list[LlamaServer]]:
    """Three servers with two slots each, for all tests that leave them alive."""
    with blocking_llama_servers(story_model, 3, slots=2) as servers:
        yield servers


@pytest.fixture
def llama_server_factory(story_model: Path) -> Iterator[Callable[..., LlamaServer]]:
    """Call it for a server of one's own (about 0.1 s), to be killed or stopped at will.

    Takes `model=` (default: the story model) and the options of `llama_server`.
    """
    with ExitStack() as servers:

        def make(model: Path = story_model, **options: Unpack[ServerOptions]) -> LlamaServer:
            return servers.enter_context(blocking_llama_server(model, **options))

        yield make


@pytest.fixture(scope="session")
def front() -> ModuleType:
    """The module `gateway_front`: a gateway on a real socket, and its clients."""
    path = Path(__file__).parent / "gateway_front.py"
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
