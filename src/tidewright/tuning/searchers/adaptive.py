"""Any searcher, in a space that adapts to what came of the trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tidewright.tuning.adaptive import AdaptiveSearchSpace, Focus
from tidewright.tuning.searchers.searcher import History, Searcher, need_one_objective
from tidewright.tuning.searchers.untried import rng_of
from tidewright.tuning.trial import Trial, TrialState

EXPLORING = 1_000_000  # the turn of a number's draws that says whether its trial explores
REGION, EXPLORED = "adaptive region", "adaptive: from the whole space"  # how notes begin


@dataclass(frozen=True, eq=False)
class AdaptiveSearcher:
    """Suggests points of one searcher, which `make` gives, in the part of the space that `adaptive` focuses on, and a
    share of them in the whole of it. What each point was taken from is noted with its trial."""

    make: Callable[[], Searcher]
    adaptive: AdaptiveSearchSpace
    _kept: dict[str, Any] = field(default_factory=dict, repr=False)

    def suggest(self, history: History) -> Mapping[str, Any] | None:
        """See `Searcher`."""
        need_one_objective(history, "an adaptive space")
        focus = self._focus(history)
        if focus.revision and not self._explores(history):
            found = self._ask("part").suggest(replace(history, space=focus.space))
            if found is not None:
                return found
        return self._ask("whole").suggest(history)

    def explain(self, history: History) -> tuple[str, ...]:
        """See `Explains`."""
        focus = self._focus(history)
        if not focus.revision:
            return ()
        if self._explores(history):
            return (EXPLORED,)
        name = f"{REGION} {focus.revision}"
        full = f"{name}: {'; '.join(focus.changes)}" if focus.changes else name
        told = any(full in trial.notes for trial in history.trials)
        return (name if told else full,)

    def _explores(self, history: History) -> bool:
        return bool(rng_of(history, EXPLORING).random() < self.adaptive.explore)

    def _ask(self, name: str) -> Searcher:
        """A searcher for the whole space and one for the parts, so that each keeps its cache."""
        if name not in self._kept:
            self._kept[name] = self.make()
        made: Searcher = self._kept[name]
        return made

    def _focus(self, history: History) -> Focus:
        """The focus; the same object as before where it is equal, for caches go by it."""
        fresh = self.adaptive.focus(history.trials)
        if fresh != self._kept.get("focus"):
            self._kept["focus"] = fresh
        kept: Focus = self._kept["focus"]
        return kept


def sum_up(trials: Sequence[Trial], adaptive: AdaptiveSearchSpace) -> tuple[str, ...]:
    """What an adaptive space did in a study, in a line, from the notes of its trials, or why it did nothing."""
    notes = [note for trial in trials for note in trial.notes]
    changes = [note.partition(": ")[2] for note in notes if note.startswith(REGION) and ": " in note]
    if not changes:
        return (f"adaptive space: nothing changed, for {_why_still(trials, adaptive)}.",)
    inside, whole = sum(note.startswith(REGION) for note in notes), notes.count(EXPLORED)
    counts = {what: sum(f" {what} to " in one for one in changes) for what in ("narrowed", "widened")}
    return (
        f"adaptive space: regions {len(changes)}, trials in them {inside}, anywhere beside them {whole}; ranges "
        f"narrowed {counts['narrowed']}, widened {counts['widened']}. The last: {changes[-1]}.",
    )


def _why_still(trials: Sequence[Trial], adaptive: AdaptiveSearchSpace) -> str:
    """Why no region was set."""
    if not adaptive.free:
        return "each option is a choice, or bound to others"
    complete = sum(trial.state is TrialState.COMPLETE for trial in trials)
    if complete <= adaptive.start:
        return f"it narrows after {adaptive.start} complete trials, and {complete} of {len(trials)} are"
    if any(note.startswith(REGION) for trial in trials for note in trial.notes):
        return "its ranges have too few values to get narrower"
    return "every later point was taken from the whole space"
