"""The rows of a risk's tables, as text: what the terminal and the page show."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from tidewright.workflows.risk_file import FileRisk


def list_methods(found: FileRisk) -> list[dict[str, Any]]:
    """The portfolio by each method."""
    rows: dict[str, dict[str, Any]] = {}
    levels = dict.fromkeys(level for _, level in found.risks)
    for method in dict.fromkeys(method for method, _ in found.risks):
        row: dict[str, Any] = {"portfolio by": method}
        for level in levels:
            risk = found.risks.get((method, level))
            book = None if risk is None else risk.portfolio
            row |= {f"VaR {level:.4g}": "" if book is None else f"{book.var:.2%}"}
            row |= {f"ES {level:.4g}": "" if book is None else f"{book.es:.2%}"}
        rows[method] = row
    return list(rows.values())


def list_assets(found: FileRisk, *, most: int) -> list[dict[str, Any]]:
    """Each asset alone, and its part of the portfolio's shortfall by the first method; the largest part first."""
    (_, level), first = next(iter(found.risks.items()))
    assert first.portfolio is not None
    parts, whole = first.portfolio.component_es, first.portfolio.es
    methods = {method: risk for (method, own), risk in found.risks.items() if own == level}
    order = sorted(range(len(first.assets)), key=lambda at: -parts[at])
    return [
        {
            "asset": first.assets[at],
            "weight": f"{found.weights.values[at]:.2%}",
            "part of ES": "" if whole == 0.0 else f"{parts[at] / whole:.1%}",
            **{f"VaR {level:.4g} {method}": f"{risk.var[at]:.2%}" for method, risk in methods.items()},
        }
        for at in order[:most]
    ]


def list_volatility(found: FileRisk, *, most: int) -> list[dict[str, Any]]:
    """Each asset's volatility a year, as the model has it."""
    ahead = found.volatility
    assert ahead is not None
    rows = []
    for at, name in enumerate(ahead.fit.assets[:most]):
        row = {"asset": name, "last bar": _share(ahead.last[at]), "next bar": _share(ahead.following[at])}
        if found.horizon > 1:
            row[f"mean of {found.horizon}"] = _share(ahead.horizon[at])
        rows.append(
            row | {"persistence": "" if math.isnan(ahead.fit.persistence[at]) else f"{ahead.fit.persistence[at]:.3f}"}
        )
    return rows


def list_stress(found: FileRisk, *, whole: bool = False) -> list[dict[str, Any]]:
    """The scenarios in words, or with `whole` as numbers with each asset's part."""
    assert found.stress is not None
    rows = []
    for one in found.stress.scenarios:
        row: dict[str, Any] = {"scenario": one.name, "loss": one.loss, "deepest": one.deepest}
        row |= {"from": one.first, "to": one.last, "covered": one.covered}
        if whole:
            row["by_asset"] = dict(zip(found.stress.assets, one.by_asset.tolist(), strict=True))
        else:
            row |= {name: None if row[name] is None else _share(row[name]) for name in ("loss", "deepest", "covered")}
        rows.append(row)
    return rows


def _test_row(method: str, confidence: float, found: FileRisk) -> dict[str, Any]:
    test = found.tests[method, confidence]
    row: dict[str, Any] = {"method": f"{method} {confidence:.4g}", "bars": test.bars}
    row |= {"exceptions": test.exceptions, "expected": f"{test.expected:.1f}"}
    for name, one in (
        ("Kupiec", test.kupiec), ("clusters", test.independence), ("both", test.conditional_coverage), ("Z1", test.z1),
        ("Z2", test.z2),
    ):  # fmt: skip
        row[name] = "" if one is None or math.isnan(one.p_value) else f"{one.p_value:.3f}"
    return row | {"zone": test.traffic_light.zone}


def list_tests(found: FileRisk) -> list[dict[str, Any]]:
    """Each test of each method's value at risk: p-values."""
    return [_test_row(method, level, found) for method, level in found.tests]


def list_failed(found: FileRisk) -> list[str]:
    """What could not be had, and why; what has one reason in one line."""
    reasons: dict[str, list[str]] = {}
    for name, why in found.failed.items():
        reasons.setdefault(why, []).append(name)
    return [f"failed: {', '.join(names)}: {why}" for why, names in reasons.items()]


def collect_notes(found: FileRisk) -> tuple[str, ...]:
    """All that there is to say, each once."""
    notes = [*found.notes, *(found.stress.notes if found.stress is not None else ())]
    notes += [f"{method}, rolling: {note}" for (method, _), one in found.rolled.items() for note in one.notes]
    counts = Counter(note for test in found.tests.values() for note in test.notes)
    for (method, level), test in found.tests.items():
        notes += [note if counts[note] > 1 else f"test of {method} at {level:g}: {note}" for note in test.notes]
    return tuple(dict.fromkeys(notes))


def _share(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2%}"
