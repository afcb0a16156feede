"""Experiment trackers: what a run in training tells TensorBoard, MLflow, W&B and Trackio."""
