"""Functions that are called often, compiled while they run: see docs/jit.md."""
