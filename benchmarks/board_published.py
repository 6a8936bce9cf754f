"""The boards' published rows, as ../shared/data/BOARDS.md gives them with their sources."""

from __future__ import annotations

PUBLISHED: dict[str, dict[str, dict[str, float]]] = {
    "ett96": {
        "closed-form ridge": {"MSE": 0.370, "MAE": 0.391}, "DLinear": {"MSE": 0.375, "MAE": 0.399},
        "NLinear": {"MSE": 0.374, "MAE": 0.394}, "PatchTST/64": {"MSE": 0.370, "MAE": 0.400},
        "iTransformer": {"MSE": 0.386, "MAE": 0.405}, "TiDE": {"MSE": 0.375, "MAE": 0.398},
        "N-HiTS": {"MSE": 0.378, "MAE": 0.393}, "TimeMixer": {"MSE": 0.361, "MAE": 0.390},
        "DUET": {"MSE": 0.352, "MAE": 0.384}, "xPatch (drop-last)": {"first 2048 MSE": 0.354, "first 2048 MAE": 0.379},
        "CARD": {"MSE": 0.368, "MAE": 0.396},
    },
    "ett192": {
        "closed-form ridge": {"MSE": 0.403, "MAE": 0.411}, "DLinear": {"MSE": 0.405, "MAE": 0.416},
        "NLinear": {"MSE": 0.408, "MAE": 0.415}, "PatchTST/64": {"MSE": 0.413, "MAE": 0.429},
        "iTransformer": {"MSE": 0.424, "MAE": 0.440}, "TiDE": {"MSE": 0.412, "MAE": 0.422},
        "N-HiTS": {"MSE": 0.427, "MAE": 0.436}, "TimeMixer": {"MSE": 0.409, "MAE": 0.414},
        "DUET": {"MSE": 0.398, "MAE": 0.409}, "xPatch (drop-last)": {"first 2048 MSE": 0.376, "first 2048 MAE": 0.395},
        "CARD": {"MSE": 0.406, "MAE": 0.418},
    },
    "ett336": {
        "closed-form ridge": {"MSE": 0.426, "MAE": 0.425}, "DLinear": {"MSE": 0.439, "MAE": 0.443},
        "NLinear": {"MSE": 0.429, "MAE": 0.427}, "PatchTST/64": {"MSE": 0.422, "MAE": 0.440},
        "iTransformer": {"MSE": 0.449, "MAE": 0.460}, "TiDE": {"MSE": 0.435, "MAE": 0.433},
        "N-HiTS": {"MSE": 0.458, "MAE": 0.484}, "TimeMixer": {"MSE": 0.430, "MAE": 0.429},
        "DUET": {"MSE": 0.414, "MAE": 0.426}, "xPatch (drop-last)": {"first 2048 MSE": 0.391, "first 2048 MAE": 0.415},
        "CARD": {"MSE": 0.415, "MAE": 0.424},
    },
    "ett720": {
        "closed-form ridge": {"MSE": 0.422, "MAE": 0.443}, "DLinear": {"MSE": 0.472, "MAE": 0.490},
        "NLinear": {"MSE": 0.440, "MAE": 0.453}, "PatchTST/64": {"MSE": 0.447, "MAE": 0.468},
        "iTransformer": {"MSE": 0.495, "MAE": 0.487}, "TiDE": {"MSE": 0.454, "MAE": 0.465},
        "N-HiTS": {"MSE": 0.561, "MAE": 0.501}, "TimeMixer": {"MSE": 0.445, "MAE": 0.460},
        "DUET": {"MSE": 0.429, "MAE": 0.455}, "xPatch (drop-last)": {"first 2048 MSE": 0.442, "first 2048 MAE": 0.459},
        "CARD": {"MSE": 0.416, "MAE": 0.448},
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
    "walmart": {
        "naive": {"MASE": 1.524, "WAPE %": 19.67}, "seasonal naive 52": {"MASE": 1.020, "WAPE %": 11.32},
        "LightGBM": {"MASE": 1.246, "WAPE %": 15.1}, "TFT": {"MASE": 1.327, "WAPE %": 17.7},
        "CatBoost": {"WAPE %": 15.0}, "best MASE of thirty systems (Chronos-2)": {"MASE": 0.817},
        "best WAPE of thirty systems (TabPFN-TS)": {"WAPE %": 9.28},
    },
    "walmart_holidays": {
        "seasonal naive 52, 0 where there is none": {"WMAE": 2009.6},
        "mlforecast + LightGBM, untuned": {"WMAE": 2481.0},
    },
}  # fmt: skip
