"""Which classes are to be forgotten, and which images train, choose settings and test."""
