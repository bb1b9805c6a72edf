"""The engines that the suite runs on: SQLite, and PostgreSQL where it can be started."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from itertools import count
from pathlib import Path

import pytest

from rbee_scheduler_platform._store._open import open_store
from rbee_scheduler_platform._store._seal import KEY_VARIABLE, new_key
from rbee_scheduler_platform._tenant import Tenant


class Cluster:
    """A PostgreSQL of the test run's own: in a temporary folder, on a unix socket.

    It runs as another user when the tests run as root, which postgres refuses to. Nothing is
    synced to the disk: what is tested is our code, not PostgreSQL's durability.
    """

    def __init__(self):
        self.binaries = self._find()
        self.user = self._unprivileged()
        self.folder = Path(tempfile.mkdtemp(prefix="rbee-pg-"))
        self.process = None
        self._drain = None
        self._numbers = count(1)

    @staticmethod
    def _find():
        places = [os.environ.get("PATH", ""), "/usr/local/bin"]
        places += sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
        found = {
            name: shutil.which(name, path=os.pathsep.join(places))
            for name in ("initdb", "postgres")
        }
        missing = [name for name, path in found.items() if path is None]
        if missing:
            pytest.skip(f"PostgreSQL is not installed: no {' and no '.join(missing)}")
        return found

    @staticmethod
    def _unprivileged():
        if os.geteuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            try:
                return pwd.getpwnam(name)
            except KeyError:
                continue
        pytest.skip("PostgreSQL refuses to run as root, and there is no user postgres or nobody")

    def _run(self, *command, **options):
        if self.user is not None:
            options |= {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": str(self.folder)}
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=environment,
            **options,
        )

    def start(self):
        if self.user is not None:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        data = self.folder / "data"
        making = self._run(
            self.binaries["initdb"], "-D", data, "-U", "rbee", "--auth=trust", "--no-sync",
            "--no-locale", "--encoding=UTF8",
        )  # fmt: skip
        said, _ = making.communicate(timeout=120)
        if making.returncode:
            pytest.skip(f"initdb failed: {said.strip().splitlines()[-1:]}")
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": "50",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        self.process = self._run(self.binaries["postgres"], "-D", data, *options)
        said = []
        for line in self.process.stdout:
            said.append(line)
            if "ready to accept connections" in line:
                break
        else:
            pytest.skip(f"postgres did not start: {''.join(said[-3:])}")
        # Its log must go somewhere, or it stops when the pipe is full.
        self._drain = threading.Thread(target=self.process.stdout.read, daemon=True)
        self._drain.start()

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)  # fast shutdown
            self.process.wait(timeout=60)
            if self._drain is not None:
                self._drain.join()
            self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self):
        return f"postgresql://rbee@/postgres?host={self.folder}"

    def connect(self):
        psycopg = pytest.importorskip("psycopg")
        return psycopg.connect(self.url, autocommit=True)

    def fresh(self):
        """The URL of an empty schema."""
        name = f"store_{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"{self.url}&options=-csearch_path%3D{name}"


@pytest.fixture(scope="session")
def cluster():
    pytest.importorskip("psycopg", reason="psycopg (the extra 'postgres') is not installed")
    made = Cluster()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request):
    return request.param


@pytest.fixture
def name(engine, request, tmp_path, monkeypatch):
    """The name of an empty store."""
    if engine == "sqlite":
        return tmp_path / "store.db"
    monkeypatch.setenv(KEY_VARIABLE, new_key())
    return request.getfixturevalue("cluster").fresh()


@pytest.fixture
def opened(name):
    """Open the store, with two tenants: ``async with opened() as store``."""

    class Opened:
        def __init__(self, **options):
            self.store = open_store(name, **options)

        async def __aenter__(self):
            await self.store.__aenter__()
            for tenant in ("acme", "zeta"):
                await self.store.put_tenant(Tenant(id=tenant))
            return self.store

        async def __aexit__(self, *error):
            return await self.store.__aexit__(*error)

    return Opened
