"""Replicas on Ray Serve: a run -> its HTTP service, answered by several processes of a cluster.

Ray Serve's proxy takes requests and hands each to a replica. A replica is the application of
`bestiary.serving`, with its own queue, engine and metrics. Ray replaces lost replicas. Knows
nothing of the content of requests.
"""

import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bestiary.cluster.connection import Connection, alive_nodes, is_remote, load_ray
from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import ArgumentError, RunError
from bestiary.evaluation.deciding import apply_decisions
from bestiary.recipe.choices import Engine
from bestiary.run.layout import needed_for_prediction
from bestiary.run.run import Run
from bestiary.serving.application import application_for_run
from bestiary.serving.limits import Limits
from bestiary.serving.server import STOPPING, Address, stop_on_signal
from bestiary.storage.mirror import working_folder

APPLICATION = "bestiary"  # name of the application and deployment on Ray Serve
LOGGING = {"enable_access_log": False, "log_level": "ERROR"}
READY_POLL_SECONDS = 0.1
MAX_ERROR_LENGTH = 200  # characters


@dataclass(frozen=True, slots=True)
class Service:
    """Settings of a service, the same in every replica.

    Attributes:
        run: path or address of the run, the same on all machines.
        data: folder or address of its images; empty: the user has not named it.
        engine: as `Ensemble.load` takes it.
        limits: of requests to one replica.
        token: that requests must carry; None: none.
        address: where the proxy listens.
        similar: whether training images may be shown.
        promise: precision to promise of each class's label; None: none.
        costs: file of costs that all machines see, or ``balanced``; None: none.
    """

    run: str
    data: str
    engine: Engine
    limits: Limits
    token: str | None
    address: Address
    similar: bool
    promise: float | None = None
    costs: str | None = None


def serve_on_ray(
    service: Service,
    cluster: str,
    replicas: int,
    display: Display,
    on_ready: Callable[[str], object],
) -> None:
    """Serve until Ctrl-C or SIGTERM, then finish the requests under way and stop.

    Args:
        service: settings.
        cluster: ``ray`` or ``ray://HOST:PORT``, as `check_address` allows.
        replicas: number of processes that answer.
        display: shows what is started.
        on_ready: is called with the URL when all replicas answer.

    Raises:
        ArgumentError: Ray Serve is not installed, the cluster has too little room, or the address
            is in use.
        RunError: a replica cannot open the run.
    """
    if replicas < 1:
        raise ArgumentError(f"--replicas {replicas}: choose 1 or more")
    is_local = not is_remote(cluster)
    address = service.address.settled() if is_local else service.address
    stopped = threading.Event()
    with Connection(cluster) as connection, stop_on_signal(stopped.set):
        connection.wait()
        serve = _load_serve()
        resources = _resources(replicas)
        _start_proxy(serve, address, service.limits)
        deployment = _deployment(serve, service, replicas, resources)
        try:
            serve.run(deployment.bind(), name=APPLICATION, logging_config=LOGGING)
            plural = "s" * (replicas > 1)
            display.line(f"{replicas} replica{plural}, {_describe(resources)} each")
            if is_local:
                _wait_until_ready(address.url, stopped)
            on_ready(address.url)
            stopped.wait()
            display.line(STOPPING)
        except RuntimeError as error:
            reason = _last_line(error)
            raise RunError(f"{service.run}: no replica could be started ({reason})") from None
        finally:
            serve.delete(APPLICATION)


def _start_proxy(serve: Any, address: Address, limits: Limits) -> None:
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    http_options = {
        "host": address.host,
        "port": address.port,
        # The application's own timeout comes first.
        "request_timeout_s": 3 * limits.timeout_seconds,
    }
    serve.start(
        proxy_location="HeadOnly",
        http_options=http_options,
        logging_config=LOGGING,
    )


def _deployment(serve: Any, service: Service, replicas: int, resources: dict[str, float]) -> Any:
    limits = service.limits
    ingress = serve.ingress(_application_factory(service))()
    return serve.deployment(ingress).options(
        name=APPLICATION,
        num_replicas=replicas,
        # Beyond this number Ray's proxy would delay requests silently. The application itself
        # answers 503.
        max_ongoing_requests=2 * limits.max_waiting,
        graceful_shutdown_timeout_s=limits.timeout_seconds + 1,
        ray_actor_options=resources,
    )


def _wait_until_ready(url: str, stopped: threading.Event) -> None:
    """Wait until the proxy routes requests to the application, a little after it runs."""
    while not stopped.wait(READY_POLL_SECONDS):
        try:
            with urllib.request.urlopen(f"{url}readyz", timeout=5):
                return
        except urllib.error.HTTPError as error:
            if error.code not in (404, 503):
                return  # the application refuses the host name, so it is there
        except OSError:
            pass  # the proxy does not listen yet


def _application_factory(service: Service) -> Callable[[], Any]:
    """Return a function that builds the application; Ray calls it in every replica."""

    def build() -> Any:
        with working_folder(service.run, needed_for_prediction) as folder:
            run = Run.open(folder, data=service.data)
            ensemble = Ensemble.load(run, engine=service.engine)
            apply_decisions(run, ensemble, service.promise, service.costs)
            return application_for_run(
                run,
                ensemble,
                service.limits,
                service.token,
                service.address,
                service.similar,
                Display(quiet=True),
            )

    return build


def _resources(replicas: int) -> dict[str, float]:
    """Choose the cores and GPUs of one replica: a GPU each, or an even share of all cores.

    Raises:
        ArgumentError: the cluster has fewer GPUs or cores than replicas.
    """
    total = load_ray().cluster_resources()
    gpus = int(total.get("GPU", 0))
    cores = int(total.get("CPU", 0))
    room = gpus or cores
    if replicas > room:
        unit = "GPUs" if gpus else "cores"
        raise ArgumentError(
            f"--replicas {replicas}: the cluster has {room} {unit}; choose {room} or fewer"
        )
    if gpus:
        return {"num_cpus": max(1, cores // gpus), "num_gpus": 1}
    nodes = alive_nodes()
    largest = max(int(node.get("CPU", 0)) for node in nodes)
    return {"num_cpus": max(1, min(cores // replicas, largest))}


def _describe(resources: dict[str, float]) -> str:
    cores = resources["num_cpus"]
    gpus = f" and {resources['num_gpus']} GPU" if "num_gpus" in resources else ""
    return f"{cores} core{'s' * (cores > 1)}{gpus}"


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:MAX_ERROR_LENGTH] if lines else type(error).__name__


def _load_serve() -> Any:
    try:
        from ray import serve
    except ImportError:
        raise ArgumentError(
            "--cluster ray: Ray Serve is not installed; pip install 'bestiary[cluster]'"
        ) from None
    return serve
