"""Where the next point of a space comes from: one small file a method."""
