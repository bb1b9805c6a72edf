"""The gateway beside other routers: the same fake workers, the same client, one run.

    python benchmarks/peers/gateway.py PEERS --targets ours,ours_trio,smg_rr,vllmr_rr --reps 3
    python benchmarks/peers/gateway.py PEERS --report

PEERS is the folder of the harness: ``bench.py`` with its fake workers, its load generator and
one virtual environment per router (``PEERS_VENVS``). This script adds our own targets to its
table and runs it, so that all figures come from one place.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


WORKERS = [f"http://127.0.0.1:{port}" for port in (9101, 9102, 9103, 9104)]

# name: backend, strategy, port
OURS = {
    "ours": ("asyncio", "round-robin", 30021),
    "ours_trio": ("trio", "round-robin", 30022),
    "ours_lif": ("asyncio", "least-in-flight", 30023),
    "ours_p2": ("asyncio", "power-of-two", 30024),
}


def serve(backend: str, strategy: str, port: int) -> list[str]:
    """Return the command that serves the harness's workers."""
    command = [str(Path(sys.executable).with_name("rbee-scheduler")), "serve"]
    for url in WORKERS:
        command += ["--worker", url]
    return [
        *command, "--backend", backend, "--strategy", strategy, "--host", "127.0.0.1",
        "--port", str(port),
    ]  # fmt: skip


def main() -> None:
    """Run the harness with our targets."""
    folder = Path(sys.argv.pop(1)).resolve()
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("bench", folder / "bench.py")
    assert spec is not None
    assert spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    sys.modules["bench"] = bench
    spec.loader.exec_module(bench)
    for name, (backend, strategy, port) in OURS.items():
        url = f"http://127.0.0.1:{port}"
        bench.TARGETS[name] = (serve(backend, strategy, port), url, "/v1/models", {}, [])
    bench.main()


if __name__ == "__main__":
    main()
