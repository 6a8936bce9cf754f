"""What an inspection of a panel says: findings, each with place and remedy, and the verdict."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "info"]
_ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was seen: how bad, a code, a sentence, its first place, how many rows, what to do.

    `series` and `time` are None where the finding is about the whole table; `rows` counts rows, or series
    where the message counts series.
    """

    severity: Severity
    code: str
    message: str
    series: Any = None
    time: str | None = None
    rows: int = 0
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings, worst first, and the size of the panel (0 and None for a table that is no panel).

    `missing_share` is the fraction of rows without a target between each series' first and last observed one;
    lengths count those rows.
    """

    findings: tuple[Finding, ...]
    series: int = 0
    rows: int = 0
    first: str | None = None
    last: str | None = None
    frequency: str | None = None
    missing_share: float = 0.0
    shortest: int = 0
    median_length: float = 0.0
    longest: int = 0

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.severity != "error" for finding in self.findings)

    def __str__(self) -> str:
        return explain(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything in plain types, for JSON."""
        found = [{**asdict(f), "series": None if f.series is None else str(f.series)} for f in self.findings]
        names = [name for name in self.__slots__ if name != "findings"]
        return {"ok": self.ok, **{name: getattr(self, name) for name in names}, "findings": found}


def rank_findings(findings: list[Finding]) -> tuple[Finding, ...]:
    """The findings, worst first, else as they were found."""
    return tuple(sorted(findings, key=lambda finding: _ORDER[finding.severity]))


def explain(verdict: Verdict) -> str:
    """The verdict as a text for people.

    >>> print(explain(Verdict((Finding("error", "empty", "the table has no rows.", remedy="Bring some."),))))
    not usable: 1 error
    error    the table has no rows. Bring some.
    """
    counts = Counter(finding.severity for finding in verdict.findings)
    told = ", ".join(f"{counts[s]} {s}{'s' * (counts[s] > 1 and s != 'info')}" for s in _ORDER if counts[s])
    lines = [f"{'usable' if verdict.ok else 'not usable'}: {told or 'nothing to remark'}"]
    if verdict.series:
        lines.append(
            f"{verdict.series} series, {verdict.rows} rows, every {verdict.frequency}, {verdict.first} to "
            f"{verdict.last}; {verdict.missing_share:.2%} missing; "
            f"lengths {verdict.shortest} to {verdict.longest}, median {verdict.median_length:g}"
        )
    lines += [f"{f.severity:<8} {f.message} {f.remedy}".rstrip() for f in verdict.findings]
    return "\n".join(lines)
