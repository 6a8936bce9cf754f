"""Where a server listens."""

from __future__ import annotations

import socket

from tidewright.errors import ConfigError
from tidewright.serving.options import ServeOptions

BACKLOG = 2048


def bind(options: ServeOptions) -> socket.socket:
    """The socket that the server will listen at. Raises `ConfigError` where the address is taken or none of ours."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((options.host, options.port))
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"can't listen at {options.host}, port {options.port}: {error.strerror}. Give another --host or --port."
        ) from error
    bound.listen(BACKLOG)
    bound.set_inheritable(True)
    return bound


def address(options: ServeOptions, bound: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"{options.scheme}://[{host}]:{port}" if ":" in host else f"{options.scheme}://{host}:{port}"
