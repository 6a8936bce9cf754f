"""Tables of time series: read, checked, put on a grid, inspected and split in time."""
