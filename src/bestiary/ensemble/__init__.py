"""A run's members as one predictor."""

from bestiary.ensemble.averaging import AVERAGES, Average, average, softmax
from bestiary.ensemble.ensemble import Ensemble, Scored, assemble
from bestiary.ensemble.predictions import Predictions, predict_folder

__all__ = [
    "AVERAGES",
    "Average",
    "Ensemble",
    "Predictions",
    "Scored",
    "assemble",
    "average",
    "predict_folder",
    "softmax",
]
