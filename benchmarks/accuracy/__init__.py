"""How often bestiary's classifiers are right: recipes, their parts, and other tools."""
