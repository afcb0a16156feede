"""A run's members as one predictor."""
