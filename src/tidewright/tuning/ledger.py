"""The trial ledger: every trial of every study on the same data, kept beside the runs, so that none is forgotten.

A subject has two files, which only grow: `KEY.jsonl`, a line a trial, and `KEY.f4`, their numbers at each cutoff as
float32, in units of powers of two that the line has, so that none is too large. A line is written after its numbers,
under a lock that ends with its owner (flock): a kill leaves whole lines, and at most numbers that no line names. K sums
that a score is made of; C positions in time, ascending.
"""

from __future__ import annotations

import fcntl
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from tidewright.data.digest import digest_panel
from tidewright.data.panel import Panel
from tidewright.data.task import Task
from tidewright.errors import ConfigError, DataError, FallbackWarning
from tidewright.models.spec import spec_key
from tidewright.training.fit import keep_covariates

FOLDER = Path("tidewright-runs") / "ledger"  # beside what tracking keeps
LOST = "the trial ledger could not be kept"  # how a note begins
Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Subject:
    """What trials are bets on: the digest of the targets up to the last validation label, the horizon, the quantiles
    and the metric. Covariates, windows and models may differ: they are what is tried."""

    data: str
    horizon: int
    quantiles: tuple[float, ...]
    metric: str

    @property
    def key(self) -> str:
        """Twelve digits that name it."""
        return spec_key({**asdict(self), "quantiles": list(self.quantiles)})


def subject_of(panel: Panel, *, task: Task, metric: str) -> Subject:
    """The subject of studies on a panel that ends with the last validation label."""
    return Subject(digest_panel(keep_covariates(panel, ())), task.horizon, tuple(task.quantiles), metric)


@dataclass(frozen=True, eq=False, slots=True)
class Bet:
    """One trial of one study: what was tried, in digests, and what it scored.

    `score` is to be made small and None for a trial that was pruned; `parts` [K, C] are what each of the `positions`
    [C] adds to it (`metrics.score_sums`), with the 7 digits of float32; both are empty for a pruned one.
    """

    study: str
    number: int
    state: str
    model: str
    key: str
    parameters: str
    score: float | None
    positions: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    parts: Doubles = field(default_factory=lambda: np.empty((0, 0)))


def digest_parameters(parameters: Mapping[str, Any]) -> str:
    """Twelve digits that name a point of a space."""
    return spec_key(dict(parameters))


class TrialLedger:
    """The bets on one subject, in a folder, or in memory where that is None. Any number of processes may add."""

    def __init__(self, subject: Subject, folder: Path | None) -> None:
        """Raises `ConfigError` where the folder can't be made."""
        self.subject = subject
        self._bets: list[Bet] = []
        self._known: set[tuple[str, int]] = set()
        self._read = 0  # bytes of the lines that are known
        self._lines = self._numbers = self.folder = None
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"the trial ledger '{folder}' can't be made: {error.strerror}. Name another folder, or ledger=False."
            ) from error
        self.folder = folder = folder.absolute()  # a worker may be elsewhere
        self._lines, self._numbers = folder / f"{subject.key}.jsonl", folder / f"{subject.key}.f4"

    def add(self, bet: Bet) -> bool:
        """Keeps a bet; False where that trial of that study is there already. Raises `OSError`."""
        bet = replace(bet, parts=_restore(*_shrink(bet.parts)))  # as it is read again
        if self._lines is None:
            return self._remember(bet)
        with self._locked() as file:
            self._learn(file)
            if (bet.study, bet.number) in self._known:
                return False
            self._write(file, bet)
        return True

    def bets(self) -> tuple[Bet, ...]:
        """Every bet so far, in the order they were added. Raises `DataError` for a file that isn't whole."""
        if self._lines is not None and self._lines.exists():
            with self._lines.open("rb") as file:
                self._learn(file)
        return tuple(self._bets)

    def _remember(self, bet: Bet) -> bool:
        fresh = (bet.study, bet.number) not in self._known
        if fresh:
            self._known.add((bet.study, bet.number))
            self._bets.append(bet)
        return fresh

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        assert self._lines is not None
        with self._lines.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _learn(self, file: BinaryIO) -> None:
        """Reads the lines that others added; what a kill cut off at the end is no line."""
        file.seek(self._read)
        fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        place = self._read
        self._read += len(whole)
        for line in whole.splitlines():
            told = _parse(line, self._lines)
            if "subject" not in told:
                self._remember(self._rebuild(told))
            elif place == 0 and told["subject"]["data"] != self.subject.data:
                raise DataError(f"{self._lines} is the ledger of other data. Move it away.")

    def _write(self, file: BinaryIO, bet: Bet) -> None:
        assert self._numbers is not None
        lines: list[dict[str, Any]] = [] if self._read else [{"subject": asdict(self.subject)}]
        with self._numbers.open("ab") as numbers:
            at, (parts, powers) = numbers.seek(0, os.SEEK_END), _shrink(bet.parts)
            numbers.write(parts.tobytes())
            numbers.flush()
            os.fsync(numbers.fileno())
        told = {
            name: getattr(bet, name) for name in ("study", "number", "state", "model", "key", "parameters", "score")
        }
        lines.append({**told, "runs": _to_runs(bet.positions), "at": at, "sums": len(bet.parts), "powers": powers})
        file.truncate(self._read)  # what a kill cut off
        file.seek(self._read)
        text = "".join(json.dumps(line) + "\n" for line in lines).encode()
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
        self._read += len(text)
        self._remember(bet)

    def _rebuild(self, told: Mapping[str, Any]) -> Bet:
        told = dict(told)
        positions, at, sums = _from_runs(told.pop("runs")), told.pop("at"), told.pop("sums")
        powers = told.pop("powers", [0] * sums)
        parts = np.empty((0, 0))
        if sums:
            assert self._numbers is not None
            count = sums * len(positions)
            flat = np.fromfile(self._numbers, dtype="<f4", count=count, offset=at)
            if flat.size != count:
                raise DataError(
                    f"{self._numbers} is cut short: the numbers of a trial are missing. Move both files away."
                )
            parts = _restore(flat.reshape(sums, len(positions)), powers)
        return Bet(**told, positions=positions, parts=parts)


def open_ledger(place: Path | str | bool, *, subject: Subject) -> TrialLedger:
    """The ledger of a subject, read once: True is the usual folder, False keeps it in memory. Raises `ConfigError`, and
    `DataError` for one that isn't whole."""
    folder = (FOLDER if place else None) if isinstance(place, bool) else Path(place)
    ledger = TrialLedger(subject, folder)
    ledger.bets()
    return ledger


class StudyLedger:
    """The ledger as one study writes to it. Where the disk refuses, its trials are kept in memory from then on, with a
    warning, and `notes` say so. `traits` are what the study's data are like (`measure_traits`), None where later
    studies will not ask."""

    def __init__(self, ledger: TrialLedger, *, study: str, traits: Mapping[str, float | None] | None = None) -> None:
        self.ledger, self.study, self.traits = ledger, study, traits
        self.notes: tuple[str, ...] = ()

    def add(self, number: int, parameters: Mapping[str, Any], **told: Any) -> None:
        """Keeps a trial; the other arguments are those of `Bet`."""
        bet = Bet(self.study, number, parameters=digest_parameters(parameters), **told)
        try:
            self.ledger.add(bet)
        except OSError as error:
            self.notes = (f"{LOST}: {error}",)
            warnings.warn(self.notes[0], FallbackWarning, stacklevel=2)
            kept = self.ledger.bets()
            self.ledger = TrialLedger(self.ledger.subject, None)
            for one in (*kept, bet):
                self.ledger.add(one)


def _shrink(parts: Doubles) -> tuple[npt.NDArray[np.float32], list[int]]:
    """Sums [K, C] as float32 in units of a power of two each, so that their greatest is below 1; and the powers [K]."""
    greatest = np.abs(parts).max(axis=1, initial=0.0, where=np.isfinite(parts))
    powers = np.frexp(greatest)[1]
    return np.ldexp(parts, -powers[:, None]).astype("<f4"), powers.tolist()


def _restore(parts: npt.NDArray[np.float32], powers: Sequence[int]) -> Doubles:
    return np.ldexp(parts.astype(np.float64), np.asarray(powers, dtype=np.int64)[:, None])


def _parse(line: bytes, path: Path | None) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except ValueError as error:
        raise DataError(f"{path} holds a line that is no record: {error}. Move it away.") from error


def _to_runs(positions: Ints) -> list[list[int]]:
    """Ascending positions as runs of first, step and count.

    >>> _to_runs(np.array([3, 5, 7, 20]))
    [[3, 2, 3], [20, 1, 1]]
    """
    runs: list[list[int]] = []
    for position in positions.tolist():
        if runs and runs[-1][2] == 1:
            runs[-1][1:] = [position - runs[-1][0], 2]
        elif runs and position == runs[-1][0] + runs[-1][1] * runs[-1][2]:
            runs[-1][2] += 1
        else:
            runs.append([position, 1, 1])
    return runs


def _from_runs(runs: Sequence[Sequence[int]]) -> Ints:
    parts = [first + step * np.arange(count) for first, step, count in runs]
    return np.concatenate([np.empty(0, dtype=np.int64), *parts]).astype(np.int64)
