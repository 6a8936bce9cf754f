"""The searchers by name, each called without arguments, imported when it is first asked for."""

from __future__ import annotations

from tidewright.catalog import Catalog, Entry

_AT = "tidewright.tuning.searchers."
SEARCHERS = Catalog(
    "searcher",
    [
        Entry(
            "auto", _AT + "auto:AutoSearcher", "picks by the space, the trials so far and the objectives, and says why"
        ),
        Entry("grid", _AT + "grid:GridSearcher", "every point, counted before it starts"),
        Entry("random", _AT + "draw:RandomSearcher", "points drawn evenly"),
        Entry("qmc", _AT + "draw:SobolSearcher", "a Sobol sequence, which leaves no gaps"),
        Entry("tpe", _AT + "tpe:TPESearcher", "Optuna's tree-structured Parzen estimators"),
        Entry("gp", _AT + "gp:GPSearcher", "a Gaussian process and expected improvement"),
        Entry("numpyro", _AT + "numpyro_gp:NumPyroSearcher", "the same, its hyperparameters sampled by NumPyro"),
        Entry("cmaes", _AT + "cma:CMASearcher", "covariance matrix adaptation"),
        Entry("nsga2", _AT + "nsga2:NSGA2Searcher", "a genetic algorithm for several objectives"),
        Entry("hyperopt", _AT + "hyperopt_tpe:HyperoptSearcher", "Hyperopt's TPE"),
        Entry("skopt", _AT + "skopt_gp:SkoptSearcher", "scikit-optimize's Gaussian process"),
    ],
)
