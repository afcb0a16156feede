"""Near duplicates: candidates by perceptual hash, confirmed block by block, joined to groups."""
