"""How assets vary together: estimates of the covariance, each positive definite."""

from __future__ import annotations

from tidewright.portfolio.covariance.estimate import COVARIANCES, estimate_covariance
from tidewright.portfolio.covariance.record import Covariance
from tidewright.portfolio.covariance.repair import repair_covariance

__all__ = ["COVARIANCES", "Covariance", "estimate_covariance", "repair_covariance"]
