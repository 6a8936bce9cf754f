"""Value at risk and expected shortfall, whether they were right, and what a crisis would cost."""
