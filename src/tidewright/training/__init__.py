"""How a model learns: one call, `fit`, over every family, and the epoch loop of networks."""
