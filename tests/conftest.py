"""For all tests."""

import gc
import os
import signal
import sys
from collections.abc import Iterator

import certifi
import pytest
from hypothesis import HealthCheck, settings


# A busy machine is no failure: no example is too slow, only a test that hangs (see `timeout`).
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# Whoever runs the tests in the background of a shell has SIGINT ignored, and so would every
# process that a test starts to press Ctrl-C on: an ignored signal stays so across exec.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Give whoever wants no bytecode in the tree a folder for it.

    Without any, each worker of xdist and each process that a test starts compiles all that it
    imports, which takes it 0.4 s; and uv installs packages without theirs.
    """
    if sys.dont_write_bytecode:
        folder = str(config.rootpath / ".pytest_cache" / "bytecode")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # -B sets none
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = folder
        sys.dont_write_bytecode = False


@pytest.fixture(scope="session", autouse=True)
def one_root_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let each client of httpx read one root certificate, and not the 140 of certifi.

    That takes 40 ms of CPU a client, and no test speaks to anybody whom one of them vouches for.
    """
    first, end, _ = certifi.contents().partition("-----END CERTIFICATE-----\n")
    path = tmp_path_factory.mktemp("roots") / "one.pem"
    path.write_text(first + end, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certifi, "where", lambda: str(path))
        yield


@pytest.fixture(scope="module")
def quick_collections() -> None:
    """Take what lives already out of the garbage collector's sight.

    These are up to half a million objects, 0.2 s a collection; a test's own are some thousands.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def nothing_left_to_the_garbage_collector(quick_collections: None) -> Iterator[None]:
    """Collect after the test, so that a warning of what it left behind is its own."""
    yield
    gc.collect()
