"""How memory and time grow with images, classes and workers."""
