"""A server of bundles: the Open Inference Protocol v2, forecasts from raw history, and a client."""
