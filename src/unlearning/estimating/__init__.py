"""What a run will take, reckoned from a few steps on noise before anything of it has run: `unlearning estimate`."""
