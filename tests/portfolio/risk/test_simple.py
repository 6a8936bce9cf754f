"""`calculate_var` and `calculate_cvar`: the code of the technology guide, with only its import changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import tidewright as tw
from tidewright.errors import AllocationError

BLOCK = '''
def calculate_var(returns, confidence=0.95):
    """Historical VaR"""
    return np.percentile(returns, (1 - confidence) * 100)

def calculate_cvar(returns, confidence=0.95):
    """Conditional VaR (Expected Shortfall)"""
    var = calculate_var(returns, confidence)
    return returns[returns <= var].mean()
'''


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_they_give_what_the_guides_own_code_gives(confidence: float) -> None:
    theirs: dict[str, Any] = {"np": np}
    exec(BLOCK, theirs)
    returns = np.random.default_rng(0).standard_t(4, 777) / 100
    for name in ("calculate_var", "calculate_cvar"):
        ours = getattr(tw, name)
        assert ours(returns, confidence) == theirs[name](returns, confidence)
        assert ours(pd.Series(returns), confidence=confidence) == theirs[name](returns, confidence)
        assert ours(returns.tolist(), confidence) < 0.0
        assert ours(returns) == theirs[name](returns)
    assert tw.calculate_cvar(returns[:, None], confidence) == theirs["calculate_cvar"](returns, confidence)


def test_they_never_pool_assets() -> None:
    table = np.random.default_rng(0).normal(0, 0.01, (300, 4))
    for calculate in (tw.calculate_var, tw.calculate_cvar):
        with pytest.raises(AllocationError, match=r"the percentile of 4 assets in one pool .* tw\.value_at_risk"):
            calculate(table)
        with pytest.raises(AllocationError, match=r"tw\.value_at_risk"):
            calculate(pd.DataFrame(table))


@pytest.mark.parametrize(
    ("returns", "words"),
    [
        ([0.01, np.nan, 0.02], "return of row 1 is nan"),
        ([], "there are no returns"),
        (100 + np.arange(50.0), "look like prices"),
        (["a", "b"], "no number"),
    ],
)
def test_bad_returns_are_refused(returns: Any, words: str) -> None:
    with pytest.raises(AllocationError, match=words):
        tw.calculate_cvar(returns)
    with pytest.raises(AllocationError, match=r"For 95 % pass 0.95"):
        tw.calculate_var(np.zeros(10), 95)
