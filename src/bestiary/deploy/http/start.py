"""A run and its ensemble -> the application that serves them, with a word to whoever starts it."""

from fastapi import FastAPI

from bestiary.deploy.http.application import build_application
from bestiary.deploy.http.explaining import TrainingPictures
from bestiary.deploy.http.facts import Facts
from bestiary.deploy.http.limits import Limits
from bestiary.deploy.http.server import Address
from bestiary.display import Display
from bestiary.ensemble import Ensemble
from bestiary.errors import BestiaryError
from bestiary.run import Run


def application_of(
    run: Run,
    ensemble: Ensemble,
    limits: Limits,
    token: str | None,
    address: Address,
    similar: bool,
    display: Display,
) -> FastAPI:
    """The application for `run`; `similar` says whether its training pictures may be shown."""
    training, reason = None, "they were switched off where the service was started"
    if similar:
        try:
            training = TrainingPictures.of(run, ensemble)
        except BestiaryError as error:
            reason = str(error)
            display.line(f"No similar training pictures: {reason}")
    display.line(f"{len(ensemble.members)} members by {ensemble.engine}")
    if ensemble.refused:
        display.notice(ensemble.refused)
    if not address.is_loopback and token is None:
        display.notice(f"--host {address.host}: anyone who reaches it may ask; set a token in BESTIARY_TOKEN")
    return build_application(
        ensemble, limits=limits, token=token, hosts=address.names, facts=Facts.of(run, reason), training=training
    )
