"""A run's members as one predictor."""

from bestiary.ensemble.answers import Answer, Caution, answer_batch
from bestiary.ensemble.averaging import AVERAGES, Average, average, softmax
from bestiary.ensemble.calibration import Calibration, fit_temperature
from bestiary.ensemble.ensemble import Ensemble, Scored, assemble
from bestiary.ensemble.known import Known
from bestiary.ensemble.predictions import Job, Predictions, predict_folder, watch_folder

__all__ = [
    "AVERAGES",
    "Answer",
    "Average",
    "Calibration",
    "Caution",
    "Ensemble",
    "Job",
    "Known",
    "Predictions",
    "Scored",
    "answer_batch",
    "assemble",
    "average",
    "fit_temperature",
    "predict_folder",
    "softmax",
    "watch_folder",
]
