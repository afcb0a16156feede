"""The verb `serve`: a run as an HTTP service, with a page for people."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from bestiary.api.arguments import Location, Many, RunLocation
from bestiary.argument_types import checked_arguments
from bestiary.recipe.choices import Engine


@checked_arguments
def serve(
    run: RunLocation,
    /,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token_file: Location | None = None,
    allow_host: Annotated[Sequence[str], Many] = (),
    no_similar: bool = False,
    max_mb: float = 20.0,
    max_megapixels: float = 64.0,
    max_images: int = 64,
    timeout: float = 30.0,
    queue: int = 256,
    data: Location | None = None,
    promise: float | None = None,
    costs: Location | None = None,
    engine: Engine = "auto",
    cluster: str | None = None,
    replicas: int | None = None,
    quiet: bool = False,
) -> None:
    """Serve a run over HTTP: a page for people, an API for programs.

    POST an image to /v1/predict. Only this machine can connect unless --host says
    otherwise. With a token, from --token-file or the environment variable
    BESTIARY_TOKEN, requests need Authorization: Bearer TOKEN. Nothing that is sent is
    written to disk or logged. Ctrl-C and SIGTERM stop the service once the requests
    under way are answered.

    Parameters
    ----------
    run
        Trained run: its folder, or its address in an object store.
    host
        Address to listen on; 0.0.0.0 for all of this machine's.
    port
        Port to listen on; 0 for any free port.
    token_file
        File with the token that requests need.
    allow_host
        Further names that the service may be called by, such as that of a proxy before it.
        Requests by other names are refused, but for localhost and 127.0.0.1. Without this
        option, all names are taken where other machines can connect.
    no_similar
        Show no training images. Otherwise everyone who can connect sees those most like
        the image they send.
    max_mb
        Largest request, in million bytes.
    max_megapixels
        Largest image, in million pixels.
    max_images
        Most images in a request.
    timeout
        Seconds that a request may take to arrive, and again to be answered.
    queue
        Most images that wait. Further requests are answered with 503 and Retry-After.
    data
        Folder or address of the run's images, on a machine where you have not trained it
        yourself. A run from elsewhere names no place to read from.
    promise
        Precision to promise of each class's label, such as 0.95: answers say whether they
        keep it, see bestiary predict --help.
    costs
        What mistakes cost, as for bestiary predict: answers have the decision of least
        expected cost.
    engine
        What runs the networks. auto: on a CPU OpenVINO, if it is installed and agrees with
        PyTorch; otherwise PyTorch.
    cluster
        ray, or ray://HOST:PORT: replicas on a Ray cluster answer. All its machines must see
        RUN. --host and --port are then those of its head node.
    replicas
        Processes that answer on the cluster, each with a GPU or an even share of the cores.
        Default: 1. The limits apply to each.
    quiet
        Print warnings only.

    Examples
    --------
    >>> import bestiary
    >>> bestiary.serve("run", port=8080)  # doctest: +SKIP
    Serving run at http://127.0.0.1:8080  (Ctrl-C ends it)
    """
    from bestiary.errors import ArgumentError
    from bestiary.run.opening import opened_run

    try:
        from bestiary.serving.application import application_for_run
        from bestiary.serving.limits import Limits
        from bestiary.serving.server import STOPPING, Address, read_token
        from bestiary.serving.server import serve as run_server
    except ModuleNotFoundError as error:
        raise ArgumentError(
            f"serve: {error.name} is not installed; pip install 'bestiary[serve]'"
        ) from None
    from bestiary.display import Display
    from bestiary.ensemble.ensemble import Ensemble
    from bestiary.ensemble.members import say_first_start
    from bestiary.evaluation.deciding import apply_decisions
    from bestiary.storage.files import location

    display = Display(quiet)
    address = Address(host, port, tuple(allow_host))
    limits = Limits.of_options(max_mb, max_megapixels, max_images, timeout, queue)
    token = read_token(Path(token_file) if token_file is not None else None)
    similar = not no_similar

    def on_ready(url: str) -> None:
        display.line(f"Serving {run} at {url}  (Ctrl-C ends it)")

    # On a cluster.
    if cluster is not None:
        from bestiary.cluster.connection import check_address
        from bestiary.cluster.replicas import Service, serve_on_ray
        from bestiary.run.layout import is_at_top

        check_address(cluster)
        with opened_run(os.fspath(run), is_at_top, data) as opened:  # raises where there is no run
            place = opened.named_root()
        rules = (promise, None if costs is None else str(costs))
        service = Service(location(run), place, engine, limits, token, address, similar, *rules)
        return serve_on_ray(
            service, cluster, 1 if replicas is None else replicas, display, on_ready
        )

    # In this process. The port is taken before the run is loaded.
    if replicas is not None:
        raise ArgumentError(f"--replicas {replicas}: needs a cluster; add --cluster ray")
    with address.bind() as bound, opened_run(os.fspath(run), data=data) as opened:
        say_first_start(opened, engine, display)
        ensemble = Ensemble.load(opened, engine=engine)
        for notice in apply_decisions(opened, ensemble, promise, costs):
            display.notice(notice)
        app = application_for_run(opened, ensemble, limits, token, address, similar, display)
        run_server(app, bound, timeout, on_ready, lambda: display.line(STOPPING))
