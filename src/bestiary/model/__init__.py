"""A backbone's name -> a network with its preprocessing, weights included."""

from bestiary.model.backbone import Backbone, build_backbone
from bestiary.model.classifier import (
    Classifier,
    build_classifier,
    check_member,
    load_member,
    memory_format,
    refusals_of,
    save_member,
)

__all__ = [
    "Backbone",
    "Classifier",
    "build_backbone",
    "build_classifier",
    "check_member",
    "load_member",
    "memory_format",
    "refusals_of",
    "save_member",
]
