"""From a panel to what a model sees: transforms, calendar columns, lags and windows."""
