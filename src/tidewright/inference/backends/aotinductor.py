"""torch.export and AOTInductor as a backend: the network compiled to machine code, once a machine.

What was compiled from a bundle's verified weights is kept in the user's cache folder by the bundle's digest, the
machine and the options. It is code: none is loaded from a bundle or from where others can write.
"""

from __future__ import annotations

import io
import json
import warnings
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

from tidewright.errors import FallbackWarning
from tidewright.inference.backends.backend import Backend
from tidewright.inference.backends.compiled import explain_missing
from tidewright.inference.backends.networks import (
    REFUSALS,
    Opened,
    answer_with,
    explain_uncompiled,
    open_network,
    quiet_torch,
    refuse,
)
from tidewright.inference.options import SessionOptions
from tidewright.inference.private_folder import describe_machine, find_cache, open_folder, read_own, write_own
from tidewright.inference.session import Answerer
from tidewright.registry.bundle import Bundle
from tidewright.runtime import apply_threads

FOLDER = "compiled"
MOST_BYTES = 2 << 30
_DIGEST = 32  # bytes of the sha256 that a kept file begins with


def start(bundle: Bundle, /, *, options: SessionOptions) -> Answerer:
    """What answers: the compiled network, from the cache or compiled now, which takes a minute or so. Raises
    `BackendError` where it can't be compiled.
    """
    opened = open_network(bundle, device=options.device)
    import torch
    from torch._inductor import aoti_load_package

    path = open_folder(FOLDER) / f"{_name(bundle, options)}.pt2"
    content = _read(path)
    try:
        if content is None:
            with quiet_torch(), apply_threads(options.threads), torch.no_grad():
                content = _compile(opened, path)
            write_own(path, sha256(content).digest() + content)
        module = aoti_load_package(io.BytesIO(content))
    except REFUSALS as error:
        raise refuse(error, "AOTInductor", bundle) from error
    return answer_with(module, opened, threads=options.threads)


def _name(bundle: Bundle, options: SessionOptions) -> str:
    """One name for a bundle, a machine and what the code depends on."""
    parts = json.dumps([bundle.digest, describe_machine(), options.device, options.threads], sort_keys=True)
    return blake2b(parts.encode(), digest_size=16).hexdigest()


def _read(path: Path) -> bytes | None:
    """What was kept, if it is whole."""
    try:
        content = read_own(path, most=MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        return _ignore(path, f"can't be used: {error.strerror}")
    digest, package = content[:_DIGEST], content[_DIGEST:]
    return package if sha256(package).digest() == digest else _ignore(path, "is damaged")


def _ignore(path: Path, why: str) -> bytes | None:
    warnings.warn(f"{path} {why}; the network is compiled again.", FallbackWarning, stacklevel=4)
    return None


def _compile(opened: Opened, path: Path) -> bytes:
    import torch
    from torch._inductor import aoti_compile_and_package
    from torch.export import Dim

    rows = Dim("N", min=1)
    shapes: Any = {name: {0: rows} for name in opened.example}
    program = torch.export.export(opened.network, (), dict(opened.example), dynamic_shapes=shapes)
    part = path.with_name(f"{path.stem}.{id(program):x}.pt2")
    try:
        aoti_compile_and_package(program, package_path=str(part))
        return part.read_bytes()
    finally:
        part.unlink(missing_ok=True)


def is_ready(bundle: Bundle, options: SessionOptions) -> bool:
    """Whether it was compiled before."""
    return (find_cache() / FOLDER / f"{_name(bundle, options)}.pt2").exists()


BACKEND = Backend(explain_uncompiled, explain_missing, start, is_ready)
