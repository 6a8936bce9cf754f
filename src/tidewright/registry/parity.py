"""Parity: a graph must answer as its eager model does, on real windows and hard ones; a condition of
export."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import onnxruntime as ort

from tidewright.errors import ParityError
from tidewright.features.separate import to_windows
from tidewright.features.windows import Batch, Singles
from tidewright.models.conformal import innermost
from tidewright.models.ensemble import EnsembleFitted
from tidewright.models.fitted import Fitted
from tidewright.models.logged import Logged
from tidewright.models.spec import kind_of
from tidewright.registry.difference import relative_difference
from tidewright.registry.graph_names import INPUTS
from tidewright.registry.manifest import Parity
from tidewright.registry.trial_windows import hard_windows

LIMITS = {"floor": 1e-5, "class_floor": 1e-5, "torch": 1e-5, "trees": 1e-5}
LEVELS = {"none": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC"}
LEVELS |= {"extended": "ORT_ENABLE_EXTENDED", "all": "ORT_ENABLE_ALL"}
LOGARITHM = 10.0  # the size of a usual logarithm
# a mixture's quantile moves by a weight's rounding over the density, that of counts by the level times a score's
HEAD_LIMITS = {"mixture": 1e-3, "negative_binomial": 1e-3}


def check_parity(fitted: Fitted, graph: bytes, *, real: Batch, others: Sequence[Batch] = ()) -> Parity:
    """The parity of a graph with its model on real windows and hard ones, and on `others`, of other lengths. Raises
    `ParityError` beyond the limit.
    """
    session, moved = open_graph(graph), find_offset(fitted)
    limit, worst, where, count = find_limit(fitted), 0.0, "real windows", 0
    for name, batch in _list_trials(real, others):
        eager = fitted.predict(to_windows(batch, horizon=fitted.task.horizon))
        ours, target = run_graph(session, batch) + np.float32(moved), batch.target + np.float32(moved)
        figure = relative_difference(ours, eager + moved, target=None if fitted.task.classifies else target)
        count += len(batch.target)
        if figure > worst:
            worst, where = figure, name
    if not worst <= limit:
        raise ParityError(
            f"the ONNX graph of '{fitted.spec.name}' differs from the eager model by {worst:.3g} (relative) on "
            f"{where}; {limit:g} is allowed. The bundle was not written; keep the eager model, or report this model's "
            "spec."
        )
    return Parity(worst, limit, count, where)


def _list_trials(real: Batch, others: Sequence[Batch]) -> Iterator[tuple[str, Batch]]:
    yield from (("real windows", real), *hard_windows(real))
    for batch in others:
        steps = f" of {batch.target.shape[1]} steps"
        yield from ((name + steps, one) for name, one in (("real windows", batch), *hard_windows(batch)))


def find_limit(fitted: Fitted) -> float:
    """The largest relative difference that is allowed of a model's graph.

    An error in a logarithm, relative to it, is so many times as large in what it is the logarithm of.
    """
    fitted = innermost(fitted)
    if isinstance(fitted, Logged):
        return LOGARITHM * find_limit(fitted.inner)
    if isinstance(fitted, EnsembleFitted):
        return max(find_limit(member) for member in fitted.members)
    kind = kind_of(fitted.spec)
    if kind == "torch":
        from tidewright.models.torch.heads import head_of

        head, _ = head_of(fitted.tensors())
        return HEAD_LIMITS.get(head, LIMITS[kind])
    return LIMITS[kind]


def find_offset(fitted: Fitted) -> float:
    """What is added before a logarithm, the most of all members: answers are as exact as they are large with that."""
    fitted = innermost(fitted)
    if isinstance(fitted, EnsembleFitted):
        return max(find_offset(member) for member in fitted.members)
    return fitted.offset if isinstance(fitted, Logged) else 0.0


def open_graph(
    graph: bytes,
    *,
    threads: int = 1,
    optimisation: str = "all",
    arena: bool = True,
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> ort.InferenceSession:
    """An ONNX Runtime session that never spins while it waits and logs nothing but errors.

    `optimisation` is none, basic, extended or all of its rewriting; with the `arena` it keeps memory between answers.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, LEVELS[optimisation])
    options.enable_cpu_mem_arena = arena
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(graph, options, providers=list(providers))


def run_graph(session: ort.InferenceSession, batch: Batch) -> Singles:
    """The answer [N, H, Q] of a graph to a batch, given only the inputs that it has."""
    feed = to_feed(batch, names=[value.name for value in session.get_inputs()])
    answer: Singles = session.run([session.get_outputs()[0].name], feed)[0]
    return answer


def to_feed(batch: Batch, *, names: Iterable[str]) -> Mapping[str, Singles]:
    """The inputs of a batch by name."""
    assert set(names) <= set(INPUTS)
    return {name: np.ascontiguousarray(getattr(batch, name)) for name in names}
