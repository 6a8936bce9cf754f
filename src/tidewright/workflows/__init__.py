"""Whole jobs, made of the stages: from a table to a verified forecast, a sealed bundle and a decision."""
