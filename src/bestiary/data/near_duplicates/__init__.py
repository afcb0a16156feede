"""Images that show one picture: candidates by perceptual hash, confirmed block by block."""
