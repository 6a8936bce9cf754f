"""The boards' published rows, as ../shared/data/BOARDS.md gives them with their sources."""

from __future__ import annotations

PUBLISHED: dict[str, dict[str, dict[str, float]]] = {
    "ett96": {
        "closed-form ridge": {"MSE": 0.370, "MAE": 0.391}, "DLinear": {"MSE": 0.375, "MAE": 0.399},
        "NLinear": {"MSE": 0.374, "MAE": 0.394}, "PatchTST/64": {"MSE": 0.370, "MAE": 0.400},
        "iTransformer": {"MSE": 0.386, "MAE": 0.405}, "TiDE": {"MSE": 0.375, "MAE": 0.398},
        "N-HiTS": {"MSE": 0.378, "MAE": 0.393}, "TimeMixer": {"MSE": 0.361, "MAE": 0.390},
        "DUET": {"MSE": 0.352, "MAE": 0.384}, "xPatch (drop-last)": {"MSE": 0.354, "MAE": 0.379},
        "CARD": {"MSE": 0.368, "MAE": 0.396},
    },
    "ett192": {
        "closed-form ridge": {"MSE": 0.403, "MAE": 0.411}, "DLinear": {"MSE": 0.405, "MAE": 0.416},
        "NLinear": {"MSE": 0.408, "MAE": 0.415}, "PatchTST/64": {"MSE": 0.413, "MAE": 0.429},
        "DUET": {"MSE": 0.398, "MAE": 0.409}, "xPatch (drop-last)": {"MSE": 0.376, "MAE": 0.395},
    },
    "ett336": {
        "closed-form ridge": {"MSE": 0.426, "MAE": 0.425}, "DLinear": {"MSE": 0.439, "MAE": 0.443},
        "NLinear": {"MSE": 0.429, "MAE": 0.427}, "PatchTST/64": {"MSE": 0.422, "MAE": 0.440},
        "DUET": {"MSE": 0.414, "MAE": 0.426}, "xPatch (drop-last)": {"MSE": 0.391, "MAE": 0.415},
    },
    "ett720": {
        "closed-form ridge": {"MSE": 0.422, "MAE": 0.443}, "DLinear": {"MSE": 0.472, "MAE": 0.490},
        "NLinear": {"MSE": 0.440, "MAE": 0.453}, "PatchTST/64": {"MSE": 0.447, "MAE": 0.468},
        "CARD": {"MSE": 0.416, "MAE": 0.448}, "DUET": {"MSE": 0.429, "MAE": 0.455},
    },
    "BE": {
        "seasonal naive": {"MASE": 1.027}, "PatchTST (best trained)": {"MASE": 0.692}, "best of all": {"MASE": 0.601},
    },
    "DE": {
        "seasonal naive": {"MASE": 1.709}, "PatchTST (best trained)": {"MASE": 0.573}, "best of all": {"MASE": 0.561},
    },
    "m4": {
        "seasonal naive": {"sMAPE": 13.912, "MASE": 1.193, "OWA": 0.6275},
        "mlforecast + LightGBM": {"sMAPE": 12.39, "MASE": 1.238, "OWA": 0.595},
        "competition winner (Smyl)": {"sMAPE": 9.328, "MASE": 0.893, "OWA": 0.4401},
        "best hourly entry (Doornik et al.)": {"sMAPE": 8.913, "MASE": 0.801, "OWA": 0.4096},
    },
}  # fmt: skip
