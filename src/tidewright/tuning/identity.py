"""What makes a study this one and no other: kept with it, and compared when it goes on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from tidewright.data.digest import digest_panel
from tidewright.tuning.panel_objective import PanelObjective
from tidewright.tuning.search import Plan


def describe_study(work: PanelObjective, plan: Plan) -> dict[str, str]:
    """The facts of a panel's study, each as a short text. Another searcher, pruner or limit may go on with it."""
    several = {name: str(getattr(work, name)) for name in ("folds", "seeds") if getattr(work, name) > 1}
    return {
        **several,
        **({"seeds": "auto"} if plan.repeats else {}),
        "model": work.default.spec.name,
        "space": digest(plan.space.to_dict()),
        "default": work.default.key,
        "task": str(work.task),
        "data": digest_panel(work.panel)[:12],
        "split": digest(asdict(work.split)),
        "season": str(work.season),
        "metric": work.metric,
        "trading": str(work.trading),
        "seed": str(plan.seed),
    }


def digest(data: Any) -> str:
    """Twelve digits that name plain data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()[:12]
