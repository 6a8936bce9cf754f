"""Limits in words: one sentence a limit, and a YAML file of them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from tidewright.catalog import explain_unknown
from tidewright.checks import to_path
from tidewright.data.read_yaml import read_yaml
from tidewright.errors import AllocationError, ConfigError
from tidewright.portfolio.limits import Limits
from tidewright.portfolio.limits.rows import WORDS

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?:\s*%)?"
_SIGN = r"<=|>=|==|=|≤|≥"
_ONE = re.compile(rf"^(?P<subject>.+?)\s*(?P<sign>{_SIGN})\s*(?P<value>{_NUMBER})\s*(?P<unit>a year|a period)?$")
_TWO = re.compile(rf"^(?P<low>{_NUMBER})\s*(?:<=|≤)\s*(?P<subject>.+?)\s*(?:<=|≤)\s*(?P<high>{_NUMBER})$")
_SIDES = {"<=": "upper", "≤": "upper", ">=": "lower", "≥": "lower", "=": "both", "==": "both"}
_SAME = {"gross": "leverage", "long-only": "long only", "short allowed": "shorts allowed", "assets": "names",
         "each asset": "each", "position": "min position"}  # fmt: skip
_ONE_SIDE = {"leverage": "upper", "turnover": "upper", "names": "upper", "tracking error": "upper",
             "min position": "lower"}  # fmt: skip
_FORM = "Write a subject, <=, >= or =, and a number, such as 'Energy <= 0.2', or 'long only'"

Place = tuple[str, str]  # a field of the record, and which of its subjects ("" where it has none)


def parse_limits(
    sentences: Sequence[str],
    *,
    groups: Mapping[str, str],
    exposures: Mapping[str, Mapping[str, float]],
    benchmark: Mapping[str, float],
    periods_per_year: float | None,
    given: Mapping[str, Any] | None = None,
) -> Limits:
    """The record that sentences say; `given` are fields that were set in another way. Raises `AllocationError`."""
    words: dict[str, str] = {}
    values: dict[Place, dict[str, float]] = {}
    for sentence in sentences:
        for place, side, value in _read_sentence(sentence, groups=groups, factors=exposures, year=periods_per_year):
            key = f"{'.'.join(filter(None, place))}.{side}"
            sides = values.setdefault(place, {})
            taken = next((words[k] for k in (key, f"{'.'.join(filter(None, place))}.both") if k in words), None)
            if side in sides or taken:
                raise AllocationError(f"{sentence!r} and {taken!r} are about the same. Keep one of them.")
            sides[side], words[key] = value, sentence
    found = dict(given or {})
    for (name, subject), sides in values.items():
        _put(found, name, subject, sides)
    spread = {f"{key.removesuffix('both')}{side}": text for key, text in words.items() if key.endswith(".both")
              for side in ("lower", "upper")}  # fmt: skip
    return Limits(groups=groups, exposures=exposures, benchmark=benchmark, words=words | spread, **found)


def read_limits(path: str | Path) -> Limits:
    """Limits of a YAML file: `limits` holds sentences, every other key is a field of the record.

    `groups` may be asset to group, or group to a list of assets. Raises `AllocationError` with the file's name.
    """
    file = to_path("path", path, of="a YAML file of limits")
    try:
        data = read_yaml(file.read_text("utf-8"), source=file.name)
    except OSError as error:
        raise AllocationError(f"the limits in '{file}' can't be read: {error.strerror}. Name a YAML file.") from error
    except (UnicodeDecodeError, ConfigError) as error:
        raise AllocationError(f"the limits can't be read: {error}") from error
    if not isinstance(data, dict):
        raise AllocationError(f"{file.name} holds no keys. Write 'limits:' and sentences under it.")
    known = {one.name for one in fields(Limits)} - {"words"} | {"limits", "periods_per_year"}
    for key in data:
        if key not in known:
            raise AllocationError(f"{file.name}: {explain_unknown('key', key, known)}")
    try:
        return _build(data)
    except AllocationError as error:
        raise AllocationError(f"{file.name}: {error}") from error


def _build(data: dict[str, Any]) -> Limits:
    data = {key: value for key, value in data.items() if value is not None}
    for key in ("groups", "exposures", "benchmark", "bounds", "group_bounds", "exposure_bounds"):
        if not isinstance(data.get(key, {}), dict):
            raise AllocationError(f"{key} is {data[key]!r}; it holds names and their values.")
    sentences = data.pop("limits", [])
    if not isinstance(sentences, list) or not all(isinstance(one, str) for one in sentences):
        raise AllocationError(f"limits is {sentences!r}; it is a list of sentences. {_FORM}.")
    return parse_limits(
        sentences,
        groups=_read_groups(data.pop("groups", {})),
        exposures=data.pop("exposures", {}),
        benchmark=data.pop("benchmark", {}),
        periods_per_year=data.pop("periods_per_year", None),
        given=data,
    )


def _read_groups(groups: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in groups.items():
        for asset, group in [(one, key) for one in value] if isinstance(value, list) else [(key, value)]:
            if asset in found:
                raise AllocationError(f"{asset!r} is in two groups, {found[asset]!r} and {group!r}. Keep one.")
            found[asset] = str(group)
    return found


def _read_sentence(
    sentence: str, *, groups: Mapping[str, str], factors: Mapping[str, Any], year: float | None
) -> list[tuple[Place, str, float]]:
    """What one sentence sets: the place, the side and the number of each."""
    if not isinstance(sentence, str):
        raise AllocationError(f"{sentence!r} is no sentence. {_FORM}.")
    text = sentence.strip()
    phrase = _SAME.get(text.casefold(), text.casefold())
    if phrase in ("long only", "shorts allowed"):
        return [(("long_only", ""), "lower", float(phrase == "long only"))]
    if two := _TWO.match(text):
        found = [("lower", two["low"], two["subject"]), ("upper", two["high"], two["subject"])]
        unit = None
    elif one := _ONE.match(text):
        found, unit = [(_SIDES[one["sign"]], one["value"], one["subject"])], one["unit"]
    else:
        raise AllocationError(explain_sentence(sentence))
    return [
        _set(subject, side, _read_number(value), sentence=sentence, groups=groups, factors=factors, unit=(unit, year))
        for side, value, subject in found
    ]


def explain_sentence(sentence: str) -> str:
    """Why a sentence is none, with the near phrase where there is one."""
    hint = explain_unknown("limit", sentence.strip(), WORDS)
    near = f" Did you mean{hint.partition('Did you mean')[2].partition('?')[0]}?" if "Did you mean" in hint else ""
    return f"{sentence!r} is no limit.{near} {_FORM}. Its words: {', '.join(WORDS)}."


def _read_number(text: str) -> float:
    return float(text.rstrip(" %")) / (100.0 if text.endswith("%") else 1.0)


def _set(
    subject: str,
    side: str,
    value: float,
    *,
    sentence: str,
    groups: Mapping[str, str],
    factors: Mapping[str, Any],
    unit: tuple[str | None, float | None],
) -> tuple[Place, str, float]:
    place = _find_place(subject, groups=groups, factors=factors, sentence=sentence)
    name = place[0]
    wanted = _ONE_SIDE.get(name.replace("_", " "))
    if wanted and side != wanted:
        raise AllocationError(f"{sentence!r} has the wrong sign: {name.replace('_', ' ')} is "
                              f"{'at most' if wanted == 'upper' else 'at least'} a number. Turn it round.")  # fmt: skip
    if unit[0] and name != "tracking_error":
        raise AllocationError(f"{sentence!r}: only a tracking error is {unit[0]}. Leave that out.")
    if name == "tracking_error":
        value = _to_period(value, unit=unit[0], year=unit[1], sentence=sentence)
    if name == "names" and value != int(value):
        raise AllocationError(f"{sentence!r}: names are counted in whole numbers.")
    if name == "cash":  # what is missing to one
        turned = {"lower": "upper", "upper": "lower"}.get(side, side)
        return ("net", ""), turned, 1.0 - value
    return place, side, value


def _find_place(subject: str, *, groups: Mapping[str, str], factors: Mapping[str, Any], sentence: str) -> Place:
    """What a subject is: a word of its own, a group, a factor, or else an asset (checked when assets are known)."""
    kind, _, rest = subject.partition(" ")
    if kind in ("asset", "group", "factor") and rest:
        return {"asset": "bounds", "group": "group_bounds", "factor": "exposure_bounds"}[kind], rest
    phrase = " ".join(subject.casefold().split())
    phrase = _SAME.get(phrase, phrase)
    if phrase in WORDS:
        return phrase.replace(" ", "_"), ""
    found = [
        place
        for place, there in (("group_bounds", subject in groups.values()), ("exposure_bounds", subject in factors))
        if there
    ] + (["bounds"] if subject in groups or not (subject in groups.values() or subject in factors) else [])
    if len(found) > 1:
        raise AllocationError(
            f"{sentence!r}: {subject!r} is the name of more than one thing. Write 'asset {subject}', "
            f"'group {subject}' or 'factor {subject}'."
        )
    return found[0], subject


def _to_period(value: float, *, unit: str | None, year: float | None, sentence: str) -> float:
    """A tracking error a period of the returns; one a year is spread by the root of time."""
    if unit == "a period":
        return value
    if year is None:
        raise AllocationError(
            f"{sentence!r} does not say of what time. Write 'a period' (of the returns), or give periods_per_year "
            "for one a year."
        )
    if not year > 0.0:
        raise AllocationError(f"periods_per_year is {year!r}; it is a number above 0, such as 252.")
    return value / math.sqrt(year)


def _put(found: dict[str, Any], name: str, subject: str, sides: Mapping[str, float]) -> None:
    """One place's sides into the record's fields."""
    if name in found and not subject:
        raise AllocationError(f"{name} is given as a key and in a sentence. Keep one of them.")
    if name == "long_only":
        found[name] = bool(sides["lower"])
    elif name in ("leverage", "turnover", "tracking_error", "min_position"):
        (found[name],) = sides.values()
    elif name == "names":
        (found[name],) = (int(value) for value in sides.values())
    else:
        span = (sides.get("lower", sides.get("both")), sides.get("upper", sides.get("both")))
        if subject:
            table = dict(found.get(name, {}))
            if subject in table:
                raise AllocationError(f"{name} of {subject!r} is given as a key and in a sentence. Keep one of them.")
            found[name] = table | {subject: span}
        else:
            found[name] = span
