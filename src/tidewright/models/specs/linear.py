"""Linear networks: one matrix or two from the lookback to the horizon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tidewright.catalog import Entry
from tidewright.errors import ConfigError
from tidewright.models.specs.limits import refuse_small


@dataclass(frozen=True, slots=True, kw_only=True)
class DLinear:
    """A linear map of the window's moving average and one of what is left (Zeng, Chen, Zhang, Xu 2023).

    `kernel` is the length of the moving average in steps, odd so that it is centred; over missing steps it is the mean
    of those that are there. The maps are shared by all series, and see the target alone. The paper leaves windows as
    they are; here each is standardised by its own mean and deviation before, and put back after. Raises `ConfigError`.
    """

    kernel: int = 25
    name: Literal["dlinear"] = "dlinear"
    takes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        refuse_small(self.name, kernel=self.kernel)
        if self.kernel % 2 == 0:
            raise ConfigError(
                f"{self.name}.kernel is odd, so that the moving average is centred; got {self.kernel}. "
                f"Take {self.kernel - 1} or {self.kernel + 1}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class NLinear:
    """A linear map of the window less its last observed value, which is added back (Zeng, Chen, Zhang, Xu 2023).

    It follows a level that jumps, which a map of the window less its mean does not. Every window is standardised by its
    own mean and deviation before: the mean falls out again with the last value, the deviation makes series of any
    scale count the same in the loss. Shared by all series; it sees the target alone.
    """

    name: Literal["nlinear"] = "nlinear"
    takes: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RLinear:
    """A linear map between reversible instance normalisations (Li, Qi, Li, Xu 2023; Kim et al. 2022).

    The normalisation itself, by the window's mean and deviation and back, is what every network here gets. `affine`
    adds its learned gain and offset, undone after the map: one pair, as a window holds one series and its weights serve
    all. It changes how the map is learned and not what it can say. It sees the target alone.
    """

    affine: bool = True
    name: Literal["rlinear"] = "rlinear"
    takes: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseTSF:
    """One map from the past periods to the next, shared by all places in the period (Lin, Lin, Wu, Chen, Yang 2024).

    `period` is the season in steps, to be given where it isn't 24; the lookback should hold it more than once, since of
    a place that it doesn't show the map knows nothing but the mean. Before it, a convolution over one period gives each
    step a mean of what is around. With `hidden` units the map has a hidden layer, without (None) it is one small
    matrix: a lookback of 720 hours and a
    horizon of 96 make about 150 weights, which long lookbacks and few data call for. A lookback that is no multiple of
    the period is filled up in front with the window's mean. Shared by all series; it sees the target alone. Raises
    `ConfigError`.
    """

    period: int = 24
    hidden: int | None = None
    name: Literal["sparsetsf"] = "sparsetsf"
    takes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        refuse_small(self.name, period=self.period, hidden=1 if self.hidden is None else self.hidden)


ENTRIES = (
    Entry("dlinear", f"{__name__}:DLinear", "moving average and rest, each by one matrix: trend and season", "torch"),
    Entry("nlinear", f"{__name__}:NLinear", "one matrix from the last value on: levels that jump", "torch"),
    Entry("rlinear", f"{__name__}:RLinear", "one matrix on normalised windows: seasons, quickly learned", "torch"),
    Entry("sparsetsf", f"{__name__}:SparseTSF", "one small map from period to period: a season, few data", "torch"),
)
CORES = (
    Entry("dlinear", "tidewright.models.torch.linear:DLinearCore", "dlinear"),
    Entry("nlinear", "tidewright.models.torch.linear:NLinearCore", "nlinear"),
    Entry("rlinear", "tidewright.models.torch.linear:RLinearCore", "rlinear"),
    Entry("sparsetsf", "tidewright.models.torch.sparse:SparseCore", "sparsetsf"),
)
