"""What an answer costs on this machine: on each backend beside the others, or optimised against a baseline (A/B)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from tidewright.catalog import explain_unknown
from tidewright.checks import check_call, check_flag, check_seconds, check_text
from tidewright.errors import BackendError, ConfigError, MissingExtraError, ParityError, UnknownNameError
from tidewright.inference.alike import differ_from_bundle, differ_from_other
from tidewright.inference.backends.backend import Backend
from tidewright.inference.backends.catalog import BACKENDS, SLOW
from tidewright.inference.cache import cached as keep_answers
from tidewright.inference.choose import Wish, read_sizes
from tidewright.inference.options import SessionOptions
from tidewright.inference.session import Session, open_session
from tidewright.inference.timing import Rounds, repeat_example, time_rounds
from tidewright.inference.verdict_ab import Compared, compare_rounds, sum_up
from tidewright.registry.bundle import Bundle, load_bundle

if TYPE_CHECKING:
    import polars as pl

BASELINE, OPTIMISED = "eager", "auto"
LEAST, LEAST_AB = 5, 30  # rounds; an interval of fewer than 30 is too narrow
CACHED = (
    "the kept answers are those to the same windows again and again: of your own requests the cache saves the share "
    "that comes again, and the others cost a little more"
)
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Timed:
    """One backend at one batch size: what a call takes, windows a second, milliseconds of the processor, the largest
    relative difference from the bundle's own answer, how long opening took, and of how many calls these figures are.
    """

    backend: str
    batch_size: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    windows_per_s: float
    cpu_ms: float
    apart: float
    opened_s: float
    calls: int


@dataclass(frozen=True, slots=True)
class Bench:
    """What `tw.bench` measured: a row for each backend and batch size, and why others were passed over. Of an A/B also
    the two sides, how they compare at each batch size, and what follows from it.
    """

    model: str
    digest: str
    seconds: float
    rows: tuple[Timed, ...]
    passed_over: Mapping[str, str]
    baseline: str = ""
    optimised: str = ""
    compared: tuple[Compared, ...] = ()
    verdict: str = ""
    notes: tuple[str, ...] = ()

    @property
    def table(self) -> pl.DataFrame:
        """The rows as a table."""
        import polars as pl

        return pl.DataFrame([asdict(row) for row in self.rows])

    def __str__(self) -> str:
        lines = [f"{self.model} {self.digest[:12]}", *_align([_HEAD, *map(_shorten, self.rows)])]
        lines += [f"passed over: {name}: {why}" for name, why in self.passed_over.items()]
        lines += [f"batch {one.batch_size}: {one.verdict}" for one in self.compared]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, *([f"verdict: {self.verdict}"] if self.verdict else [])])


@dataclass(frozen=True, eq=False, slots=True)
class _Side:
    """An opened session, and how long that took."""

    session: Session
    opened_s: float


def bench(
    bundle: Bundle | str | Path,
    *,
    ab: bool = False,
    batch_sizes: Sequence[int] = (1, 64),
    backends: Sequence[str] | None = None,
    baseline: str | None = None,
    optimised: str | None = None,
    cached: bool = False,
    seconds: float = 5.0,
    tell: Tell | None = None,
) -> Bench:
    """How fast a bundle answers here, on its own example, all backends in turns, `seconds` for each batch size.

    Without `ab`: the `backends` that are named (one that can't answer is then an error), or each that starts without
    compiling for long; why others were passed over is told. With `ab`: the `optimised` backend (default: what
    `tw.open(bundle)` chooses), with `cached` behind a cache, against the `baseline` (eager), in 30 rounds at least.
    The ratio of their times has an interval by a bootstrap over rounds, 95 % for all batch sizes together, and
    their answers are compared on the example and on hard windows made of it. `tell` hears of each step.

    Raises `UnknownNameError`, `ConfigError`, `BackendError`, and `TamperedError` and `BundleError` as `load_bundle`.
    """
    sizes = _check(batch_sizes, backends, seconds=seconds, tell=tell)
    _check_sides(ab, cached=cached, backends=backends, baseline=baseline, optimised=optimised)
    opened, say = bundle if isinstance(bundle, Bundle) else load_bundle(bundle), tell or (lambda line: None)
    if not ab:
        sides, passed = _open_each(opened, backends, sizes=sizes, say=say)
        rows = [row for size in sizes for row in _measure(opened, sides, size=size, seconds=seconds, say=say)[0]]
        return Bench(opened.name, opened.digest, seconds, tuple(rows), passed)
    sides = _open_two(
        opened, baseline or BASELINE, optimised=optimised or OPTIMISED, cached=cached, sizes=sizes, say=say
    )
    found = _compare(opened, sides, sizes=sizes, seconds=seconds, say=say)
    return replace(found, notes=(CACHED,)) if cached else found


def _compare(bundle: Bundle, sides: Mapping[str, _Side], *, sizes: Sequence[int], seconds: float, say: Tell) -> Bench:
    """Both sides at each batch size, and what follows."""
    (baseline, first), (optimised, second) = sides.items()
    rows: list[Timed] = []
    compared: list[Compared] = []
    level = 1 - 0.05 / len(sizes)  # so that all of them hold together
    for size in sizes:
        apart = differ_from_other(second.session, first.session, bundle, size=size)
        found, rounds = _measure(bundle, sides, size=size, seconds=seconds, say=say, least=LEAST_AB)
        rows += found
        compared.append(compare_rounds(rounds, batch_size=size, apart=apart, allowed=bundle.tolerance, level=level))
    verdict = sum_up(compared, baseline=baseline, optimised=optimised)
    return Bench(bundle.name, bundle.digest, seconds, tuple(rows), {}, baseline, optimised, tuple(compared), verdict)


def _measure(
    bundle: Bundle, sides: Mapping[str, _Side], *, size: int, seconds: float, say: Tell, least: int = LEAST
) -> tuple[list[Timed], Mapping[str, Rounds]]:
    """A row for each side at one batch size, and its rounds."""
    say(f"batch size {size}: {' and '.join(sides)} in turns, {seconds:g} s")
    apart = {name: differ_from_bundle(side.session, bundle, size=size) for name, side in sides.items()}
    sessions = {name: side.session for name, side in sides.items()}
    rounds = time_rounds(sessions, repeat_example(bundle, size), seconds=seconds, least=least)
    rows = []
    for name, one in rounds.items():
        p50, p95, p99 = (one.latency[f"p{p}_ms"] for p in (50, 95, 99))
        rate, cpu_ms = size / float(one.wall_s.mean()), float(one.cpu_s.mean()) * 1e3
        opened_s, calls = sides[name].opened_s, int(one.latency["count"])
        rows.append(Timed(name, size, p50, p95, p99, rate, cpu_ms, apart[name], opened_s, calls))
    return rows, rounds


def _open_each(
    bundle: Bundle, named: Sequence[str] | None, *, sizes: tuple[int, ...], say: Tell
) -> tuple[dict[str, _Side], dict[str, str]]:
    """The backends that answer, and why others don't; one that was named raises its error."""
    sides: dict[str, _Side] = {}
    passed: dict[str, str] = {}
    for name in dict.fromkeys(named or BACKENDS):
        if named is None and _compiles_for_long(name, bundle):
            passed[name] = f"it compiles for long. Name it: {name}"
            continue
        say(f"opening {name}")
        try:
            sides[name] = _open(bundle, name, sizes=sizes)
        except (BackendError, ParityError, MissingExtraError) as error:
            if named is not None:
                raise
            passed[name] = str(error)
    if not sides:
        raise BackendError("; ".join(f"{name}: {why}" for name, why in passed.items()))
    return sides, passed


def _open_two(
    bundle: Bundle, baseline: str, *, optimised: str, cached: bool, sizes: tuple[int, ...], say: Tell
) -> dict[str, _Side]:
    """The baseline first, then the optimised one, by how they are called beside each other."""
    say(f"opening {baseline} (A)")
    first = _open(bundle, baseline, sizes=sizes)
    say(f"opening {optimised} (B)")
    second = _open(bundle, optimised, sizes=sizes)
    name = second.session.backend
    if optimised == "auto" and name == baseline and not cached:
        raise ConfigError(
            f"auto chooses {name} ({second.session.choice.reason}), which is the baseline: there is nothing to "
            "compare. Name another as the baseline or as the optimised one."
        )
    if cached:
        return {baseline: first, f"{name} cached": replace(second, session=keep_answers(second.session))}
    return {baseline: first, f"{name} again" if name == baseline else name: second}


def _open(bundle: Bundle, name: str, *, sizes: tuple[int, ...]) -> _Side:
    """The backend and no other; auto as `tw.open` chooses."""
    started = perf_counter()
    session = open_session(bundle, backend=name, batch_sizes=sizes, strict=name != "auto")
    return _Side(session, perf_counter() - started)


def _compiles_for_long(name: str, bundle: Bundle) -> bool:
    """Whether it would, if it can answer at all here."""
    backend: Backend = BACKENDS.load(name)
    if BACKENDS[name].kind != SLOW or backend.explain_unfit(bundle.manifest) or backend.explain_missing("cpu"):
        return False
    return not backend.is_ready(bundle, SessionOptions().on("cpu"))


def _check(batch_sizes: object, backends: object, *, seconds: object, tell: object) -> tuple[int, ...]:
    """The batch sizes, each once. Raises `ConfigError` and `UnknownNameError`."""
    sizes = tuple(dict.fromkeys(read_sizes(batch_sizes)))
    Wish(batch_sizes=sizes)
    check_seconds("seconds", seconds, endless=False)
    if tell is not None:
        check_call("tell", tell)
    if backends is not None and (not isinstance(backends, (list, tuple)) or not backends):
        raise ConfigError(f"backends are names in a list, as ['eager', 'onnxruntime']; got {backends!r}.")
    for name in backends or ():
        _check_name("a backend", name, known=BACKENDS)
    return sizes


def _check_sides(ab: object, *, cached: bool, backends: object, baseline: str | None, optimised: str | None) -> None:
    """Raises `ConfigError` for what belongs to the other way of measuring, and `UnknownNameError`."""
    check_flag("ab", ab)
    check_flag("cached", cached)
    if ab and backends is not None:
        raise ConfigError("backends are measured beside each other without ab. With ab name a baseline and optimised.")
    if not ab and (cached or baseline is not None or optimised is not None):
        raise ConfigError("baseline, optimised and cached are the two sides of an A/B. Ask for ab, or leave them out.")
    for what, name, known in (("baseline", baseline, ()), ("optimised", optimised, ("auto",))):
        if name is not None:
            _check_name(what, name, known=(*known, *BACKENDS))


def _check_name(what: str, name: object, *, known: Sequence[str] | Mapping[str, object]) -> None:
    check_text(what, name)
    if name not in known:
        raise UnknownNameError(explain_unknown("backend", name, known))


_HEAD = ("backend", "batch", "p50 ms", "p95 ms", "p99 ms", "windows/s", "CPU ms", "off by", "opened s", "calls")


def _shorten(row: Timed) -> tuple[str, ...]:
    times = [f"{one:.4g}" for one in (row.p50_ms, row.p95_ms, row.p99_ms)]
    rest = (f"{row.windows_per_s:,.0f}", f"{row.cpu_ms:.4g}", f"{row.apart:.1e}", f"{row.opened_s:.2f}")
    return (row.backend, str(row.batch_size), *times, *rest, f"{row.calls:,}")


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    """The cells in columns: the first to the left, numbers to the right."""
    first, *others = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))])
        for row in rows
    ]
