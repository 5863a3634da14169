"""Programs that several methods run, above all those with a feature loss: at the end, or at every depth (`_ec`)."""
