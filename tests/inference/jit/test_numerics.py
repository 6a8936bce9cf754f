"""The compiled formulas give what NumPy gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tidewright.inference.jit.numerics import (
    MOST,
    fast_dot_product,
    fast_euclidean_distance,
    fast_softmax,
    fast_standardise,
)


def softmax(x: Any) -> Any:
    shares = np.exp(x - x.max())
    return shares / shares.sum()


ONE = {fast_softmax: softmax, fast_standardise: lambda x: (x - x.mean()) / x.std()}
TWO = {fast_dot_product: np.dot, fast_euclidean_distance: lambda a, b: np.linalg.norm(a - b)}


def draw(size: int, dtype: Any = np.float64) -> Any:
    return np.random.default_rng(size).normal(3.0, 2.0, size=size).astype(dtype)


@pytest.mark.parametrize("size", [1, 2, 7, 100, MOST, MOST + 1])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_they_agree_with_numpy_in_value_and_dtype(size: int, dtype: Any) -> None:
    x, y = draw(size, dtype), draw(size + 1, dtype)[1:]
    share = 1e-12 if dtype is np.float64 else 1e-4
    for ours, theirs in ONE.items():
        if size > 1 or ours is fast_softmax:
            assert ours(x) == pytest.approx(theirs(x), rel=share, abs=share)
            assert ours(x).dtype == theirs(x).dtype
    for ours, theirs in TWO.items():
        assert ours(x, y) == pytest.approx(float(theirs(x, y)), rel=share)
        assert type(ours(x, y)) is float


def test_strided_and_whole_number_arrays_go_numpys_way() -> None:
    x = draw(20)[::2]
    assert fast_standardise(x) == pytest.approx((x - x.mean()) / x.std())
    assert fast_dot_product(np.arange(3), np.arange(3)) == 5.0
    assert fast_euclidean_distance(np.arange(3), np.arange(3)[::-1]) == pytest.approx(8**0.5)


def test_the_mask_of_a_masked_array_is_heeded() -> None:
    x = np.ma.masked_array([1.0, 2.0, 100.0], mask=[False, False, True])
    assert fast_standardise(x)[0] == -1.0
    assert fast_softmax(x)[:2].sum() == pytest.approx(1.0)


def test_nan_gives_nan_and_equal_values_have_no_deviation() -> None:
    x = np.array([1.0, np.nan, 2.0])
    assert np.isnan(fast_softmax(x)).all()
    assert np.isnan(fast_standardise(x)).all()
    assert np.isnan(fast_dot_product(x, x))
    assert np.isnan(fast_euclidean_distance(x, np.zeros(3)))
    assert np.isnan(fast_standardise(np.ones(4))).all()


def test_lengths_that_differ_are_numpys_errors() -> None:
    with pytest.raises(ValueError, match="not aligned"):
        fast_dot_product(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="broadcast"):
        fast_euclidean_distance(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="zero-size"):
        fast_softmax(np.ones(0))
