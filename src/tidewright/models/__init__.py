"""What a model is: its spec, its network or formula, and what a fitted one can do."""
