"""AutoGluon MultiModal: `MultiModalPredictor(label).fit(table, time_limit=seconds)`.

As its documentation says for images, with timm's EfficientNet-Lite0 as ``model.timm_image``. It
holds a part of the images out by itself; its claim is its best validation score.
"""

import time

import numpy as np
import pandas as pd
import timm
from autogluon.multimodal import MultiModalPredictor
from job import Job

BACKBONE = "tf_efficientnet_lite0"


def from_file(job: Job) -> None:
    """Let timm find the weights of the backbone in the job's file, in place of a server."""
    create = timm.create_model

    def create_model(name: str, pretrained: bool = False, **options):
        if pretrained and name.startswith(BACKBONE):
            options["pretrained_cfg_overlay"] = {"file": str(job.weights)}
        return create(name, pretrained=pretrained, **options)

    import autogluon.multimodal.models.timm_image as timm_image

    timm_image.create_model = create_model


def main() -> None:
    job = Job.read()
    from_file(job)
    files, labels = job.files(job.train)
    table = pd.DataFrame(
        {"image": [str(file) for file in files], "label": [job.classes[at] for at in labels]}
    )
    predictor = MultiModalPredictor(
        label="label", path=str(job.scratch / "autogluon"), eval_metric="accuracy", verbosity=1
    )
    predictor.fit(
        table,
        time_limit=int(job.seconds_left),
        seed=job.seed,
        hyperparameters={
            "model.names": ["timm_image"],
            "model.timm_image.checkpoint_name": BACKBONE,
            "env.num_gpus": 0,
            "env.num_workers": 0,
            "env.num_workers_inference": 0,
        },
    )
    trained = time.time()
    test, _ = job.files(job.test)
    answers = predictor.predict_proba(pd.DataFrame({"image": [str(file) for file in test]}))
    claim = getattr(predictor._learner, "_best_score", None)
    job.answer(
        np.asarray(answers[job.classes]),
        trained,
        claim=None if claim is None else float(claim),
    )


if __name__ == "__main__":
    main()
