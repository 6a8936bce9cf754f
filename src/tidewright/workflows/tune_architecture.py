"""`tune_architecture`: the options of a `ModelConfig` and of its training, tried one combination after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from tidewright.catalog import explain_unknown
from tidewright.errors import ConfigError, FitError
from tidewright.models.classic import ModelConfig

if TYPE_CHECKING:
    from tidewright.workflows.factory import Pair, Performance, PyTorchModelFactory

LEARNING = {"epochs": 10, "batch_size": 32, "learning_rate": 0.001, "patience": 5}  # `test_architecture`'s own values
FIELDS = tuple(field.name for field in fields(ModelConfig))


@dataclass(frozen=True, eq=False, slots=True)
class Tuned:
    """What a search found: the `best` network with its learned weights, the `options` that made it, and how the
    combinations were chosen ("grid": all of them, "random": a draw).

    `trials` has a row for each, the lowest validation loss first; a failed one has none, and says why. The best loss
    of many is a little kind: judge the network again on rows that no trial saw.
    """

    best: Performance
    options: Mapping[str, Any]
    method: str
    trials: pl.DataFrame


def tune_architecture(
    factory: PyTorchModelFactory,
    config: ModelConfig,
    *,
    rows: tuple[Pair, Pair],
    space: Mapping[str, Sequence[Any]],
    trials: int,
    seed: int,
    training: Mapping[str, Any],
) -> Tuned:
    """See `PyTorchModelFactory.tune_architecture`. The config as it is given is tried too, beside `trials` others."""
    from tidewright.tuning.combinations import choose_combinations

    for name in space:
        if name not in (*FIELDS, *LEARNING):
            raise ConfigError(explain_unknown("option of a network or its training", name, (*FIELDS, *LEARNING)))
    chosen, method = choose_combinations(space, most=trials, seed=seed)
    start = {name: getattr(config, name) if name in FIELDS else {**LEARNING, **training}[name] for name in space}
    best, told, weights = None, [], {}
    for place, options in enumerate([start, *(one for one in chosen if one != start)]):
        network = {name: value for name, value in options.items() if name in FIELDS}
        learning = {**training, **{name: value for name, value in options.items() if name in LEARNING}}
        try:
            found = factory.test_architecture(replace(config, **network), *rows, seed=seed, **learning)
        except FitError as error:
            told.append({"trial": place, "val_loss": None, "seconds": None, "error": str(error), **_plain(options)})
            continue
        told.append(
            {"trial": place, "val_loss": found.val_loss, "seconds": found.seconds, "error": "", **_plain(options)}
        )
        if best is None or found.val_loss < best[0].val_loss:
            best = (found, options)
            weights = {name: tensor.clone() for name, tensor in found.model.state_dict().items()}
    if best is None:
        raise FitError(f"none of {len(told)} trials could learn; the first said: {told[0]['error']}")
    best[0].model.load_state_dict(weights)  # a later trial of an equal config learned in the same network
    table = pl.DataFrame(told, infer_schema_length=None, strict=False)
    return Tuned(best[0], best[1], method, table.sort("val_loss", nulls_last=True, maintain_order=True))


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as a table holds them: sizes as lists."""
    return {name: list(value) if isinstance(value, list | tuple) else value for name, value in options.items()}
