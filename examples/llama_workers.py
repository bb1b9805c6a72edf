"""Start real llama.cpp servers with a tiny model, to try things on, until Ctrl-C.

    python examples/llama_workers.py 2

Needs ``pip install 'rbee-scheduler[demo]'``; nothing is downloaded.
"""

import sys
from contextlib import suppress

import anyio

from rbee_scheduler.demo import llama_servers, tiny_model


async def main(count: int) -> None:
    """Start ``count`` servers, say where they are, and wait."""
    # 30 MB that tell a story at about 600 tokens a second: slow enough to be watched.
    model = tiny_model(width=512, layers=4, heads=8, hidden=2048, half=True)
    async with llama_servers(model, count) as servers:
        workers = " ".join(f"--worker {server.url}" for server in servers)
        print(f'{count} workers serve the model tiny-bee. In another terminal:\n\n'
              f'    make serve ARGS="{workers}"\n\nCtrl-C ends them.', flush=True)  # fmt: skip
        await anyio.sleep_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        anyio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 2)
