"""Which backend answers: the one that was asked for, or the fastest of those that were measured, and why."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import log

import numpy as np

from tidewright.catalog import explain_unknown
from tidewright.checks import check_flag, check_text, check_whole
from tidewright.errors import BackendError, ConfigError, FallbackWarning, ParityError, UnknownNameError
from tidewright.inference.backends.backend import Backend
from tidewright.inference.backends.catalog import BACKENDS, QUICK, SPARES
from tidewright.inference.local_session import LocalSession
from tidewright.inference.options import SessionOptions
from tidewright.inference.precision import (
    HALVES,
    explain_other,
    explain_refused,
    precision_of,
    settle_precision,
)
from tidewright.inference.session import Answerer, Call, Session
from tidewright.inference.timing import time_sessions
from tidewright.inference.verdicts import Question, Seconds, keep, recall
from tidewright.registry.bundle import Bundle
from tidewright.runtime import Choice, explain_no_driver

MOST_ROWS = 100_000  # of a batch size
_REASONS = {"onnxruntime": "the compiled graph comes first", "eager": "the model itself"}


@dataclass(frozen=True, slots=True)
class Wish:
    """What `tw.open` was asked for; see there. Raises `UnknownNameError` and `ConfigError`."""

    backend: str = "auto"
    batch_sizes: tuple[int, ...] = (1, 64)
    measure: str | Sequence[str] = "quick"
    remember: bool = True
    strict: bool = False

    def __post_init__(self) -> None:
        check_flag("remember", self.remember)
        check_flag("strict", self.strict)
        check_text("backend", self.backend)
        if self.backend not in ("auto", *BACKENDS):
            raise UnknownNameError(explain_unknown("backend", self.backend, ("auto", *BACKENDS)))
        if not isinstance(self.measure, (str, list, tuple)):
            raise ConfigError(f"measure is quick, all, or a list of backends' names; got {self.measure!r}.")
        for name in self.named:
            check_text("a name in measure", name)
            if name not in BACKENDS:
                raise UnknownNameError(explain_unknown("backend", name, ("quick", "all", *BACKENDS)))
        if not self.named:
            raise ConfigError("measure names no backend. Name one, or ask for quick or all.")
        for size in self.batch_sizes:
            check_whole("a batch size", size, most=MOST_ROWS)

    @property
    def named(self) -> tuple[str, ...]:
        """The backends that are wanted."""
        if self.backend != "auto":
            return (self.backend,)
        if self.measure == "all":
            return tuple(BACKENDS)
        if self.measure == "quick":
            return tuple(name for name, entry in BACKENDS.items() if entry.kind == QUICK)
        return (self.measure,) if isinstance(self.measure, str) else tuple(self.measure)

    @property
    def insisted(self) -> tuple[str, ...]:
        """Those of them whose absence is a fallback: named by the caller, or what usually answers."""
        return SPARES[:1] if self.open_minded else self.named

    @property
    def open_minded(self) -> bool:
        """Whether no backend was named, so that one that can't have the model is no failure."""
        return self.backend == "auto" and self.measure in ("quick", "all")


def read_sizes(given: object) -> tuple[int, ...]:
    """The batch sizes of a list. Raises `ConfigError` for anything else, and for none."""
    if not isinstance(given, (list, tuple)) or not given:
        raise ConfigError(f"batch_sizes are whole numbers from 1 to {MOST_ROWS} in a list, as [1, 64]; got {given!r}.")
    return tuple(given)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backend on a device."""

    name: str
    device: str

    @property
    def label(self) -> str:
        """How it is called beside others."""
        return self.name if self.device == "cpu" else f"{self.name} on {self.device}"


@dataclass(frozen=True, eq=False, slots=True)
class Opening:
    """A bundle that is being opened, and why candidates were passed over so far, by label; of
    those in half precision how far the example's answers are apart."""

    bundle: Bundle
    wish: Wish
    options: SessionOptions
    failed: dict[str, str]
    apart: dict[str, float] = field(default_factory=dict)

    def start(self, candidate: Candidate) -> Answerer:
        """What answers, after it gave the example's answer. Raises `BackendError` and `ParityError`."""
        backend: Backend = BACKENDS.load(candidate.name)
        unfit = _explain_unfit(candidate.name, self)
        if unfit:
            raise BackendError(f"{unfit}. Ask for auto, or eager.")
        missing = backend.explain_missing(candidate.device)
        if missing:
            raise BackendError(missing)
        answerer = backend.start(self.bundle, options=self.options.on(candidate.device))
        apart = check_example(answerer.call, self.bundle, name=candidate.label, precision=self.options.precision)
        if self.options.precision not in ("auto", precision_of(self.bundle.manifest)):
            self.apart[candidate.label] = apart
        return answerer

    def start_all(self, candidates: Sequence[Candidate]) -> Iterator[tuple[Candidate, Answerer]]:
        """Those that can serve; raises the error of one that was insisted on when strict."""
        for candidate in candidates:
            try:
                yield candidate, self.start(candidate)
            except (BackendError, ParityError) as error:
                if self.wish.strict and self.insists_on(candidate.label):
                    raise
                self.failed[candidate.label] = str(error)

    def insists_on(self, label: str) -> bool:
        """Whether the absence of a candidate is a fallback; of a GPU only where it was asked for."""
        name, _, device = label.partition(" on ")
        return name in self.wish.insisted and device in ("", self.options.device)


def choose_session(bundle: Bundle, *, wish: Wish, options: SessionOptions) -> Session:
    """See `open_session`."""
    refused = explain_refused(bundle.manifest, options.precision)
    if refused:
        raise BackendError(refused)
    opening = Opening(bundle, wish, options, {})
    candidates = list(_list_candidates(opening))
    question = Question(bundle.digest, wish.batch_sizes, options)
    if wish.backend == "auto" and wish.remember and candidates:
        session = _open_remembered(opening, candidates, seconds=recall(question))
        if session is not None:
            return session
    ready = dict(opening.start_all(candidates))
    if len(ready) < 2:
        return _open_only(opening, ready)
    trials = {c.label: LocalSession(bundle, choice=Choice(c.name, c.name, ""), answerer=a) for c, a in ready.items()}
    seconds = time_sessions(trials, bundle, batch_sizes=wish.batch_sizes)
    if wish.remember and wish.backend == "auto":
        keep(question, seconds)
    best = _rank(seconds)[0]
    return next(_open_measured(opening, c, a, seconds=seconds) for c, a in ready.items() if c.label == best)


def check_example(call: Call, bundle: Bundle, *, name: str, precision: str = "auto") -> float:
    """How far the backend's answer to the bundle's example is apart from its own. Raises `ParityError` beyond what is
    allowed.
    """
    from tidewright.registry.difference import relative_difference

    batch, answer = bundle.example()
    feed = {key: np.ascontiguousarray(getattr(batch, key)) for key in bundle.manifest.widths.inputs}
    target = None if bundle.manifest.task.classifies else batch.target
    apart = relative_difference(call(feed), answer, target=target)
    half = HALVES.get(precision) if precision != precision_of(bundle.manifest) else None
    allowed, spare = bundle.tolerance if half is None else half, "Export the model again on this machine."
    if not apart <= allowed:
        raise ParityError(
            f"{name} does not give the answer of the bundle's example: it differs by {apart:.3g} (relative), and "
            f"{allowed:g} is allowed. {spare if half is None else f'Leave out precision {precision!r}.'}"
        )
    return float(apart)


def _list_candidates(opening: Opening) -> Iterator[Candidate]:
    """Every wanted backend on every wanted device."""
    wish, asked = opening.wish, opening.options.device
    devices = ["cpu"] if asked == "auto" else [asked]
    if asked == "auto" and not explain_no_driver():
        devices.append("cuda")
    for name in wish.named:
        if not (wish.open_minded and _explain_unfit(name, opening)):
            yield from (Candidate(name, device) for device in devices)


def _open_remembered(opening: Opening, candidates: Sequence[Candidate], *, seconds: Seconds) -> Session | None:
    """The session on what was fastest when it was measured, if all that is wanted was, and if it still serves."""
    labels = [candidate.label for candidate in candidates]
    if len(seconds) < 2 or not set(labels) <= set(seconds):
        return None
    free, when = opening.wish.open_minded, "when it was measured here"
    for label in _rank({name: each for name, each in seconds.items() if free or name in labels}):
        name, _, device = label.partition(" on ")
        candidate = Candidate(name, device or "cpu")
        if name not in BACKENDS or (opening.wish.measure == "quick" and not _is_ready(opening, candidate)):
            when = "when it was measured here, but for what would compile for long now"
            continue
        for started, answerer in opening.start_all([candidate]):
            return _open_measured(opening, started, answerer, seconds=seconds, when=when)
    return None


def _is_ready(opening: Opening, candidate: Candidate) -> bool:
    """Whether it would start without compiling, as a plain call must."""
    backend: Backend = BACKENDS.load(candidate.name)
    return backend.is_ready(opening.bundle, opening.options.on(candidate.device))


def _open_measured(
    opening: Opening, candidate: Candidate, answerer: Answerer, *, seconds: Seconds, when: str = "just now"
) -> Session:
    sizes = opening.wish.batch_sizes
    others = {name: _tell(each, sizes) for name, each in seconds.items() if name != candidate.label}
    told = f"the fastest of {len(seconds)} {when}: {_tell(seconds[candidate.label], sizes)}"
    return _finish(opening, candidate, answerer, reason=told, others=others)


def _open_only(opening: Opening, ready: Mapping[Candidate, Answerer]) -> Session:
    """The session where one serves, or none of those that were wanted."""
    for candidate, answerer in ready.items():
        asked = opening.wish.backend == candidate.name
        reason = "asked for" if asked else _REASONS.get(candidate.name, "the only one of those wanted that serves")
        return _finish(opening, candidate, answerer, reason=reason, others={})
    for spare in dict.fromkeys(Candidate(name, "cpu") for name in (*opening.wish.named, *SPARES)):
        if spare.label in opening.failed or _explain_unfit(spare.name, opening):
            continue
        for candidate, answerer in opening.start_all([spare]):
            return _finish(opening, candidate, answerer, reason=_explain_spare(opening, candidate), others={})
    raise BackendError(_join(opening.failed))


def _explain_spare(opening: Opening, candidate: Candidate) -> str:
    if not any(map(opening.insists_on, opening.failed)):
        return _explain_unfit(SPARES[0], opening) or _REASONS[candidate.name]
    return f"{_REASONS.get(candidate.name, candidate.name)}, in place of {', '.join(opening.failed)}"


def _finish(
    opening: Opening, candidate: Candidate, answerer: Answerer, *, reason: str, others: Mapping[str, str]
) -> Session:
    """The session with its record; a fallback is warned of."""
    wish, failed = opening.wish, opening.failed
    settings = _settle(opening, candidate, answerer)
    if candidate.label in opening.apart:
        word, apart = opening.options.precision, opening.apart[candidate.label]
        allowed = HALVES.get(word, opening.bundle.tolerance)
        reason += f"; in {word} the example's answers differ by {apart:.2g} (relative), {allowed:g} is allowed"
    fallbacks = {label: why for label, why in failed.items() if opening.insists_on(label)}
    if fallbacks:
        text = f"{candidate.label} answers instead of {', '.join(fallbacks)}. {_join(fallbacks)}"
        warnings.warn(text, FallbackWarning, stacklevel=5)
    passed = {**failed, **others, **failed}  # what failed comes first, also where it has figures
    for name in BACKENDS if wish.backend == "auto" else ():
        if name != candidate.name and name not in passed:
            passed[name] = _explain_unfit(name, opening) or "not measured: measure='all' does, or its name"
    choice = Choice(wish.backend, candidate.name, reason, tuple(f"{name}: {why}" for name, why in passed.items()))
    return LocalSession(opening.bundle, choice=choice, answerer=answerer, settings=settings)


def _settle(opening: Opening, candidate: Candidate, answerer: Answerer) -> dict[str, Choice]:
    """What it computes with, beside what was asked for."""
    options, driver = opening.options, explain_no_driver()
    others = (f"cuda: {driver}",) if driver and candidate.device == "cpu" else ()
    why = "asked for" if options.device == candidate.device else driver or "the faster, or the only one that serves"
    found = {"device": Choice(options.device, candidate.device, why, others)}
    word, told = settle_precision(candidate.name, opening.bundle.manifest, options.precision)
    found["precision"] = Choice(options.precision, word, told)
    for name, used in answerer.settings.items():
        asked = str(getattr(options, name, "auto"))
        spare = "as the device has it" if asked == "auto" else f"{candidate.name} takes no other"
        found[name] = choice = Choice(asked, used, "asked for" if asked == used else spare)
        if choice.fallback:
            text = f"{name}={asked} was asked for, and {candidate.name} takes {used} alone."
            if opening.wish.strict:
                raise BackendError(f"{text} Ask for that, or for another backend.")
            warnings.warn(text, FallbackWarning, stacklevel=6)
    return found


def _rank(seconds: Seconds) -> list[str]:
    """The labels, the fastest first: by the mean logarithm over batch sizes, so that each counts alike."""
    return sorted(seconds, key=lambda label: sum(log(one) for one in seconds[label]))


def _tell(seconds: Sequence[float], sizes: Sequence[int]) -> str:
    return ", ".join(f"{one * 1e6:.1f} us at batch {size}" for one, size in zip(seconds, sizes, strict=True))


def _explain_unfit(name: str, opening: Opening) -> str:
    backend: Backend = BACKENDS.load(name)
    manifest = opening.bundle.manifest
    return backend.explain_unfit(manifest) or explain_other(name, manifest, opening.options.precision)


def _join(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{label}: {why}" for label, why in reasons.items())
