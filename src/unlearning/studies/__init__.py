"""Studies: named lists of experiments, run through DVC and gathered into one table."""
