"""The verb that puts a run to work for others: serve."""

from pathlib import Path
from typing import Literal

from bestiary.api.arguments import Place, open_run


def serve(
    run: Place,
    /,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token_file: Place | None = None,
    no_similar: bool = False,
    max_mb: float = 20.0,
    max_megapixels: float = 64.0,
    max_images: int = 64,
    timeout: float = 30.0,
    queue: int = 256,
    engine: Literal["auto", "openvino", "torch"] = "auto",
    cluster: str | None = None,
    replicas: int | None = None,
    quiet: bool = False,
) -> None:
    """Serve a run over HTTP: a page for people, and an interface for programs (/openapi.json).

    POST an image to /v1/predict. Only this machine reaches it unless --host says otherwise. With a
    token, in --token-file or the environment variable BESTIARY_TOKEN, requests need Authorization:
    Bearer TOKEN. Nothing of what is sent is written to disk or logged. Ctrl-C and SIGTERM end it
    once requests under way are answered.

    Parameters ---------- run Folder of a trained run, or its address in a store. host Address to
    listen on; 0.0.0.0 for all of this machine's. port Port to listen on; 0 for any that is free.
    token_file File with the token that requests need. no_similar Show no training images. Otherwise
    whoever reaches the service sees those most like the image they send. max_mb Size of a request,
    in million bytes. max_megapixels Size of an image, in million pixels. max_images Images in a
    request. timeout Seconds that a request may take to arrive, and then to be answered. queue
    Images that may wait; what comes beyond is answered with 503 and Retry-After. engine What runs
    the networks. auto: on a CPU OpenVINO where it is installed and agrees with PyTorch, else
    PyTorch. cluster ray, or ray://HOST:PORT: replicas on a Ray cluster answer, whose machines all
    see RUN. --host and --port are then those of its head. replicas Processes that answer on the
    cluster, each with a GPU, or an even share of the cores. Default: 1. The limits hold for each.
    quiet Print nothing but warnings.
    """
    from bestiary.errors import ArgumentError

    try:
        from bestiary.serving.application import application_of
        from bestiary.serving.limits import Limits
        from bestiary.serving.server import Address, read_token
        from bestiary.serving.server import serve as run_server
    except ModuleNotFoundError as error:
        raise ArgumentError(
            f"serve: {error.name} is not installed; pip install 'bestiary[serve]'"
        ) from None
    from bestiary.display import Display
    from bestiary.ensemble.ensemble import Ensemble
    from bestiary.storage.files import location

    display, address = Display(quiet), Address(host, port)
    limits = Limits(int(max_mb * 1e6), int(max_megapixels * 1e6), max_images, timeout, queue)
    token = read_token(Path(token_file) if token_file is not None else None)

    def tell(url: str) -> None:
        display.line(f"Serving {run} at {url}  (Ctrl-C ends it)")

    if cluster is not None:
        from bestiary.cluster.connection import check_address
        from bestiary.cluster.replicas import Service, serve_on_ray

        check_address(cluster)
        with open_run(run, lambda path: "/" not in path):
            pass  # it is there
        service = Service(location(run), engine, limits, token, address, not no_similar)
        return serve_on_ray(service, cluster, 1 if replicas is None else replicas, display, tell)
    if replicas is not None:
        raise ArgumentError(f"--replicas {replicas}: needs a cluster; add --cluster ray")
    with address.bind() as bound, open_run(run) as found:
        ensemble = Ensemble.load(found, engine=engine)
        app = application_of(found, ensemble, limits, token, address, not no_similar, display)
        run_server(app, bound, timeout, tell)
