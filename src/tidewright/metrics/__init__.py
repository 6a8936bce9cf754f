"""Numbers that say how good a forecast is, and whether it beats another by more than luck."""
