"""Listening sockets."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

from rbee_scheduler import ConfigError


__all__ = ["listen"]

_UNIX: Final = "unix:"
_PORTS: Final = range(65_536)
_REMEDIES: Final = {
    errno.EADDRINUSE: "choose another port, or stop the program that listens there",
    errno.EACCES: "choose a port above 1023 or a folder you may write to",
    errno.EADDRNOTAVAIL: "choose an address of this machine, or 127.0.0.1",
}


def listen(
    host: str, port: int, *, reuse_port: bool = False, backlog: int = 2048
) -> list[socket.socket]:
    """Return sockets that listen on every address of ``host``.

    Args:
        host: A name or an address; empty: all addresses of this machine. ``unix:/path`` is a
            Unix socket; one that nobody listens on any more is replaced.
        port: 0 chooses a free one, the same for all addresses.
        reuse_port: Whether other processes may listen on the same port; the kernel spreads
            connections over them.
        backlog: How many connections wait in the kernel to be accepted.

    Raises:
        ConfigError: The address can't be had; says why and what to do.

    Example:
        >>> [sock] = listen("127.0.0.1", 0)
        >>> sock.getsockname()[0]
        '127.0.0.1'
        >>> sock.close()
    """
    if host.startswith(_UNIX):
        return [_listen_unix(host.removeprefix(_UNIX), backlog)]
    place = f"{host or '*'}:{port}"
    if port not in _PORTS:
        raise ConfigError(f"{port} is no port", hint="use 0 to 65535", place=place)
    if reuse_port and not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigError("this system can't share a port", hint="run one process", place=place)
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as failure:
        raise ConfigError(
            f"no address for the host {host!r}: {failure}",
            hint="use a name that resolves, or an address such as 127.0.0.1",
            place=place,
        ) from failure
    with ExitStack() as opened:
        sockets: list[socket.socket] = []
        for family, address in dict.fromkeys((family, address) for family, *_, address in found):
            if sockets and not port:  # all on the port that the first one was given
                address = (address[0], sockets[0].getsockname()[1], *address[2:])  # noqa: PLW2901 - the same address
            try:
                sock = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
            except OSError as failure:
                if failure.errno == errno.EAFNOSUPPORT:  # a name with IPv6, a system without
                    continue
                raise
            _bind(sock, address, place, reuse_port=reuse_port, backlog=backlog)
            sockets.append(sock)
        if not sockets:
            raise ConfigError("this system knows no such addresses", place=place)
        opened.pop_all()
    return sockets


def _bind(
    sock: socket.socket,
    address: Any,  # as the system names it
    place: str,
    *,
    reuse_port: bool,
    backlog: int,
) -> None:
    if os.name == "posix" and sock.family in {socket.AF_INET, socket.AF_INET6}:
        # Without it the port of a server that ended is taken for another minute. On Windows
        # it would let two programs listen on one port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has its own
    try:
        sock.bind(address)
        sock.listen(backlog)
    except OSError as failure:
        raise ConfigError(
            f"can't listen: {failure.strerror or failure}",
            hint=_REMEDIES.get(failure.errno or 0, "choose another address"),
            place=place,
        ) from failure


def _listen_unix(path: str, backlog: int) -> socket.socket:
    family = getattr(socket, "AF_UNIX", None)
    place = f"{_UNIX}{path}"
    if family is None:
        raise ConfigError("this system has no Unix sockets", hint="use a port", place=place)
    with ExitStack() as opened:
        sock = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                with suppress(OSError):  # `bind` says what is wrong
                    Path(path).unlink()
            except OSError:
                pass
        _bind(sock, path, place, reuse_port=False, backlog=backlog)
        opened.pop_all()
    return sock
