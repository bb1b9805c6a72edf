"""For the platform's tests that run a gateway."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest


def _module(path):
    spec = spec_from_file_location(path.stem, path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def memory():
    """The module `memory_exchange`: a gateway whose clients and workers are objects."""
    return _module(Path(__file__).parent.parent / "gateway" / "memory_exchange.py")


@pytest.fixture(scope="session")
def sites():
    """The module `platform_site`: such a gateway in platform mode."""
    return _module(Path(__file__).parent / "platform_site.py")
