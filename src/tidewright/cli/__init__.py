"""The command `tidewright`: it owns the terminal; results go to stdout, progress and logs to stderr."""
