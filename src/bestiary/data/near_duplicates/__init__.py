"""Images that show one image: candidates by perceptual hash, confirmed block by block."""
