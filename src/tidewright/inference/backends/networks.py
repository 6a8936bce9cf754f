"""What the backends of torch share: which models have a network, how it is opened, and how it is asked.

torch is imported when a network is opened, and not before.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.errors import BackendError, MissingExtraError
from tidewright.features.windows import Singles
from tidewright.inference.session import Answerer, Call
from tidewright.models.conformal import Conformal
from tidewright.models.fitted import Fitted
from tidewright.models.logged import Logged, take_logs
from tidewright.models.spec import kind_of
from tidewright.models.specs.recurrent import GRU
from tidewright.optional import has
from tidewright.registry.bundle import Bundle
from tidewright.registry.manifest import Manifest
from tidewright.registry.rebuild import rebuild
from tidewright.runtime import find_obstacle

OTHERS = {
    "floor": "a formula",
    "class_floor": "a formula",
    "trees": "a model of cells (trees, forests, lines)",
    "statistical": "fitted on each window anew",
    "foundation": "another package's network, which loads its own weights",
    "ensemble": "several models in one graph",
}  # kinds of models that are no network of torch, and what they are
MOST_STEPS = 32  # of a GRU that Inductor writes out: more were not timed to their end
TRACED = 3  # windows of the example that a network is traced with; any number goes through it then
REFUSALS = (RuntimeError, ValueError, TypeError, OSError)  # what torch's compilers raise of a network they can't have
_KNOWN = (  # what torch 2.13 says of its own parts
    (DeprecationWarning, r"`torch\.jit\..*` is deprecated"),
    (FutureWarning, r"`isinstance\(treespec, LeafSpec\)` is deprecated"),
    (FutureWarning, r"_check_is_size will be removed"),
    (UserWarning, r"The tensor attributes? self\..*_flat_weights"),
)


@dataclass(frozen=True, eq=False, slots=True)
class Opened:
    """A bundle's network on a device, its example's first windows as tensors by input name, and what is put around
    its answers: offsets and logarithms.
    """

    network: Any
    example: Mapping[str, Any]
    device: str
    wrap: Callable[[Call], Call]


def explain_no_network(manifest: Manifest) -> str:
    """Why torch's compilers can't have a model; empty for a network in float32."""
    if manifest.quantised is not None:
        return f"the bundle's graph is {manifest.quantised.precision}, and its network in torch is float32"
    what = OTHERS.get(kind_of(manifest.spec), "")
    return f"{manifest.spec.name} is {what}, and no network of torch" if what else ""


def explain_uncompiled(manifest: Manifest) -> str:
    """Why Inductor, which compiles for AOTInductor and torch.compile, can't or should not have a model; else empty.

    It has one kernel for an LSTM, and writes a GRU out step by step, in half a second of CPU and more for each.
    """
    spec = manifest.spec
    if isinstance(spec, GRU):
        steps = manifest.view.lookback * spec.layers * (1 + spec.bidirectional)
        if steps > MOST_STEPS:
            why = f"which takes minutes and more to compile; {MOST_STEPS} are allowed"
            return f"{spec.name} would be written out in {steps} steps, {why}"
    return explain_untraced(manifest)


def explain_untraced(manifest: Manifest) -> str:
    """The same of compilers that write a network down for windows of one length."""
    why = explain_no_network(manifest)
    if why or manifest.lengths is None:
        return why
    told = "to".join(f" {n} " for n in manifest.lengths)
    return f"{manifest.spec.name} takes windows of{told}steps here, and this compiler knows one length"


def explain_no_torch() -> str:
    """Why there are no networks: torch is missing."""
    return "" if has("torch") else "torch is not installed. Install it with: pip install 'tidewright[nets]'"


def open_network(bundle: Bundle, *, device: str) -> Opened:
    """A bundle's network. Raises `BackendError` where torch is not installed."""
    try:
        fitted = rebuild(bundle.manifest, bundle.tensors())
    except MissingExtraError as error:
        raise BackendError(str(error)) from error
    import torch

    inner = fitted
    while isinstance(inner, (Conformal, Logged)):
        inner = inner.inner
    network: Any = getattr(inner, "network" if bundle.manifest.lengths is None else "free", None)
    assert network is not None, "a network's bundle is made of one"
    batch, _ = bundle.example()
    rows = np.arange(TRACED) % len(batch.target)
    example = {name: torch.from_numpy(getattr(batch, name)[rows]).to(device) for name in bundle.manifest.widths.inputs}
    return Opened(network.to(device), example, device, lambda call: _wrap(call, fitted))


def answer_with(module: Callable[..., Any], opened: Opened, *, threads: int) -> Answerer:
    """What answers: a module that takes tensors by input name and gives quantiles [N, H, Q]."""
    import torch

    device, names = opened.device, tuple(opened.example)

    def call(feed: Mapping[str, Singles]) -> Singles:
        before = torch.get_num_threads()
        if before != threads:
            torch.set_num_threads(threads)
        try:
            with torch.inference_mode():
                given = {name: torch.from_numpy(_own(feed[name])).to(device) for name in names}
                answer: Singles = module(**given).cpu().numpy()
        finally:
            if before != threads:
                torch.set_num_threads(before)
        return answer

    return Answerer(opened.wrap(call), settings={"threads": str(threads)})


def in_precision(opened: Opened, precision: str) -> Callable[..., Any]:
    """The network, or the network under torch's autocast, which keeps in float32 what needs the digits."""
    if precision in ("auto", "float32"):
        network: Callable[..., Any] = opened.network
        return network
    import torch

    obstacle = find_obstacle(precision, device=opened.device)
    if obstacle:
        raise BackendError(f"no {precision} on {opened.device}: {obstacle}. Leave precision out.")
    kind, device = getattr(torch, precision), opened.device

    def answer(**given: Any) -> Any:
        with torch.autocast(device, dtype=kind):
            return opened.network(**given).float()

    return answer


def _own(array: Singles) -> Singles:
    """The array, or a copy where it may not be written to, which torch would warn of."""
    return array if array.flags.writeable else array.copy()


def _wrap(call: Call, fitted: Fitted) -> Call:
    """The call with what stands around a network: conformal offsets, or the logarithm of the target."""
    if isinstance(fitted, Conformal):
        moved, inner = fitted, _wrap(call, fitted.inner)
        return lambda feed: moved.move(inner(feed).astype(np.float64)).astype(np.float32)
    if isinstance(fitted, Logged):
        return _in_logarithms(_wrap(call, fitted.inner), fitted)
    return call


def _in_logarithms(inner: Call, logged: Logged) -> Call:
    def call(feed: Mapping[str, Singles]) -> Singles:
        target = take_logs(feed["target"].astype(np.float64), logged.offset).astype(np.float32)
        seen: npt.NDArray[np.bool_] = np.asarray(np.isfinite(target).any(axis=1))
        answer = inner({**feed, "target": target}).astype(np.float64)
        return logged.restore(answer, seen=seen).astype(np.float32)

    return call


def refuse(error: Exception, compiler: str, bundle: Bundle) -> BackendError:
    """What to raise for a refusal: its first line, for a compiler's own report has hundreds."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return BackendError(f"{compiler} can't have {bundle.manifest.spec.name}: {lines[0]}. Ask for auto, or eager.")


@contextmanager
def quiet_torch() -> Iterator[None]:
    """Silences what torch is known to say of its own parts, and nothing else."""
    with warnings.catch_warnings():
        for category, text in _KNOWN:
            warnings.filterwarnings("ignore", message=text, category=category)
        yield
