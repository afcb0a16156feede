"""Whether what bestiary tells of itself holds: scores, intervals, sets, warnings."""
