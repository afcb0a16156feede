"""Predictions and labels -> honest numbers. Takes arrays, never a network."""

from bestiary.evaluate.finishing import finish_run
from bestiary.evaluate.held_out import Evaluation, evaluate_folder
from bestiary.evaluate.intervals import Interval, share_interval
from bestiary.evaluate.labels import LabelReport, review_labels
from bestiary.evaluate.oof import score_run
from bestiary.evaluate.scores import held_out_scores, oof_scores
from bestiary.evaluate.summary import Summary, summarise

__all__ = [
    "Evaluation",
    "Interval",
    "LabelReport",
    "Summary",
    "evaluate_folder",
    "finish_run",
    "held_out_scores",
    "oof_scores",
    "review_labels",
    "score_run",
    "share_interval",
    "summarise",
]
