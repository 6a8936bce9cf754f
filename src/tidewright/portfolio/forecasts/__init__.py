"""From forecasts to a decision: predictions read and checked, how well they ordered assets, and a tilt by that."""
