"""A run's members as one predictor, and the prediction of folders, watched or not."""
