"""The record of a walk-forward on disk, and any of its decisions made again from it.

In the run's folder: `run.json`, as every run has; `walk.json` with the settings, the digests of the data and what each
refit learned from, chose and found; `predictions.parquet` with what every model said; `decisions.parquet` with every
strategy's weights; `equity.parquet` with their accounts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.data.digest import digest_panel
from tidewright.data.panel import Panel
from tidewright.errors import ConfigError, DataError
from tidewright.features.view import View
from tidewright.models.build import build_spec
from tidewright.models.spec import spec_key
from tidewright.portfolio import Weights
from tidewright.portfolio.decision import drift
from tidewright.portfolio.forecasts.read import tabulate_predictions
from tidewright.portfolio.universe import Universe
from tidewright.tracking.files import write_whole
from tidewright.tracking.listener import open_listener
from tidewright.tracking.plain import to_plain
from tidewright.tracking.run import begin_run
from tidewright.training.spec import TrainSpec
from tidewright.workflows.walk_forward import Tell, WalkForward, listen, weigh
from tidewright.workflows.walk_plan import Plan, plan_walk
from tidewright.workflows.walk_refit import Choice, Refit, refit
from tidewright.workflows.walk_settings import WalkSettings

WALK, PREDICTIONS, DECISIONS, EQUITY = "walk.json", "predictions.parquet", "decisions.parquet", "equity.parquet"
FORMAT = 1


def keep_walk(walk: WalkForward, plan: Plan, *, folder: Path) -> WalkForward:
    """Writes the record into a new folder of `folder` and gives the walk with its place."""
    options = walk.settings.model_dump(mode="json")
    digests = _digest(plan)
    begun = begin_run("walk-forward", command="tidewright.walk_forward", key=spec_key(options, digests))
    with open_listener(begun, folder=folder, mlflow=False) as listener:
        listener.note(
            data={"digest": digests["panel"], "prices": digests["table of prices"], "series": len(walk.assets)},
            task=asdict(plan.task),
            choices=[{"choice": "settings", "used": options}],
            metrics={
                f"{strategy.name}.{name}": value
                for strategy in walk.strategies
                for name, value in strategy.summary.items()
            },
        )
        place = folder / listener.run.id
        refits = [_describe(one, plan) for one in walk.refits]
        told = {"format": FORMAT, "settings": options, "data": digests, "trials": walk.trials, "refits": refits}
        write_whole(place / WALK, json.dumps(to_plain(told), indent=2, allow_nan=False))
        pl.concat(map(tabulate_predictions, walk.predictions.values())).write_parquet(place / PREDICTIONS)
        _tabulate_targets(walk).write_parquet(place / DECISIONS)
        _tabulate_equity(walk).write_parquet(place / EQUITY)
    return replace(walk, folder=place)


def _digest(plan: Plan) -> dict[str, str]:
    """The names of all that a walk is made of."""
    spells = plan.universe
    held = (
        None if spells is None else [spells.names, spells.starts.astype(str).tolist(), spells.ends.astype(str).tolist()]
    )
    panels = {"panel": digest_panel(plan.panel), "table of prices": digest_panel(plan.prices)}
    return {**panels, "universe": spec_key(held)}


@dataclass(frozen=True, eq=False)
class Repeated:
    """A decision that was made again: the recorded weights, those made now, and how far apart they are at most."""

    time: str
    recorded: Mapping[str, Weights]
    again: Mapping[str, Weights]

    @property
    def difference(self) -> float:
        """The largest difference of a weight, over all strategies."""
        return max(float(np.abs(self.again[name].values - one.values).max()) for name, one in self.recorded.items())


def repeat_decision(
    record: str | Path,
    prices: Panel,
    *,
    panel: Panel | None = None,
    universe: Universe | None = None,
    time: str | None = None,
    tell: Tell = lambda _: None,
) -> Repeated:
    """The decision of a recorded walk at `time` (default: its last), made again from the record and the same data.

    `record` is the walk's folder. What its newest refit had chosen is learned again from the rows up to that refit; no
    search is made again. Raises `DataError` where the data are not those of the record, `ConfigError` for a time that
    decided nothing.
    """
    place = Path(record)
    told = _read(place)
    settings = WalkSettings.read(told["settings"])
    plan = plan_walk(prices, panel=panel, settings=settings, universe=universe)
    for name, digest in _digest(plan).items():
        if digest != told["data"][name]:
            raise DataError(f"the {name} given is not that of the record '{place}'. Bring what it was made of.")
    decisions = pl.read_parquet(place / DECISIONS)
    moment = _find_time(decisions, time, place)
    moments = decisions["time"].unique().sort().to_list()
    place_in_time = moments.index(moment)
    position = int(plan.decisions[place_in_time])
    turn = max(number for number, one in enumerate(told["refits"]) if one["position"] <= position)
    tell(f"refit {turn + 1}, after {plan.panel.time_at(plan.refits[turn])}")
    kept = told["refits"][turn]
    chosen = {name: _read_choice(one) for name, one in kept["chosen"].items()}
    made = refit(plan.panel, position=plan.refits[turn], task=plan.task, settings=settings, chosen=chosen)
    alone = replace(plan, refits=(plan.refits[turn],), decisions=np.array([position]))
    before = _read_targets(decisions, moments[place_in_time - 1]) if place_in_time else None
    first = plan.returns.positions[0]
    grown = plan.returns.values[plan.decisions[place_in_time - 1] - first + 1 : position - first + 1]
    held = None if before is None else {name: drift(values, grown=grown) for name, values in before.items()}
    made_again = weigh(alone, [made], listen(alone, [made]), held=held)
    recorded = _read_targets(decisions, moment)
    return Repeated(
        str(moment),
        {name: _weights(plan, name, recorded[name]) for name in made_again},
        {name: _weights(plan, name, one.values[0]) for name, one in made_again.items()},
    )


def _read_targets(decisions: pl.DataFrame, moment: Any) -> dict[str, npt.NDArray[np.float64]]:
    """The weights [A] of each strategy that were decided at a time."""
    rows = decisions.filter(pl.col("time") == moment)
    return {str(name): one["weight"].to_numpy() for (name,), one in rows.group_by("strategy", maintain_order=True)}


def _weights(plan: Plan, name: str, values: npt.NDArray[np.float64]) -> Weights:
    return Weights(assets=plan.assets, values=values, method=name)


def _describe(one: Refit, plan: Plan) -> dict[str, Any]:
    """A refit as data: what it saw, what it chose, what came of it."""
    return {
        "position": one.position,
        "time": plan.panel.time_at(one.position),
        "split": one.split.explain(plan.panel).splitlines(),
        "searched": one.searched,
        "chosen": {name: _describe_choice(choice) for name, choice in one.chosen.items()},
        "best_floor": one.board.best_floor,
        "winner": one.winner,
        "reason": one.board.reason,
        "validation": {row.model: row.validation.get(one.board.metric) for row in one.board.rows},
        "failed": dict(one.board.failed),
        "seconds": one.seconds,
    }


def _describe_choice(choice: Choice) -> dict[str, Any]:
    view = None if choice.view is None else replace(choice.view, schema=None)
    return {
        "key": choice.key,
        **{name: to_plain(getattr(choice, name)) for name in ("spec", "train", "tried")},
        "view": to_plain(view),
    }


def _read_choice(plain: Mapping[str, Any]) -> Choice:
    from pydantic import TypeAdapter

    options = dict(plain["spec"])
    view, train = plain["view"], plain["train"]
    choice = Choice(
        build_spec(options.pop("name"), options),
        None if view is None else TypeAdapter(View).validate_python(view),
        None if train is None else TypeAdapter(TrainSpec).validate_python(train),
        tried=plain["tried"],
    )
    if choice.key != plain["key"]:
        raise DataError(f"the record's model {choice.spec.name} has another key now: another version wrote it.")
    return choice


def _read(place: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads((place / WALK).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{place}' holds no whole record of a walk ({WALK}). Name the folder of one.") from error
    if told.get("format") != FORMAT:
        raise DataError(f"'{place / WALK}' has the format {told.get('format')!r}; this version reads {FORMAT}.")
    return told


def _find_time(decisions: pl.DataFrame, time: str | None, place: Path) -> Any:
    moments = decisions["time"].unique().sort()
    if time is None:
        return moments[-1]
    try:
        wanted = np.datetime64(time, "us").item()
    except ValueError as error:
        raise ConfigError(f"time is {time!r}, which is no ISO time such as 2015-06-30.") from error
    if wanted not in moments.to_list():
        near = moments.gather((moments - wanted).abs().arg_sort()[:2]).sort()
        dates = " and ".join(str(one).removesuffix(" 00:00:00") for one in near)
        raise ConfigError(
            f"nothing was decided at {time} in '{place}', whose {len(moments)} decisions are from {moments[0]} to "
            f"{moments[-1]}. Name one of them; the nearest are {dates}."
        )
    return wanted


def _tabulate_targets(walk: WalkForward) -> pl.DataFrame:
    count, assets = len(walk.times), len(walk.assets)
    parts = [
        pl.DataFrame(
            {
                "time": np.repeat(walk.times.astype("datetime64[us]"), assets),
                "strategy": [name] * (count * assets),
                "asset": list(walk.assets) * count,
                "weight": values.reshape(-1),
            }
        )
        for name, values in walk.targets.items()
    ]
    return pl.concat(parts)


def _tabulate_equity(walk: WalkForward) -> pl.DataFrame:
    parts = [
        pl.DataFrame(
            {
                "time": one.ledger.times.astype("datetime64[us]"),
                "strategy": [one.name] * len(one.ledger.times),
                "equity": one.ledger.equity,
                "cash": one.ledger.cash,
                "costs": one.ledger.costs,
                "turnover": one.ledger.turnover,
            }
        )
        for one in walk.strategies
    ]
    return pl.concat(parts)
