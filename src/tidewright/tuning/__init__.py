"""How options are found: spaces written in YAML, a search that keeps its budget and never sees the test."""
