"""The records of every model, one file a family: options, the covariates it takes, its place in the catalogs."""
