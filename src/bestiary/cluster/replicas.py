"""A run -> the service of `bestiary.serving`, answered by replicas of it on a Ray cluster.

Ray Serve's proxy takes requests and hands each to a replica; a replica is the same application,
with a queue, an engine and metrics of its own. Ray replaces replicas that are lost. Knows nothing
of what a request holds.
"""

import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bestiary.cluster.connection import Connection, load_ray
from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import ArgumentError, RunError
from bestiary.model.engine import Engine
from bestiary.run.layout import needed_to_use
from bestiary.run.run import Run
from bestiary.serving.application import application_of
from bestiary.serving.limits import Limits
from bestiary.serving.server import Address, stopped_by
from bestiary.storage.mirror import working_folder

NAME = "bestiary"  # of the application on Ray Serve
QUIET = {"enable_access_log": False, "log_level": "ERROR"}


@dataclass(frozen=True, slots=True)
class Service:
    """What every replica answers with.

    Attributes:
        run: its path or address, the same on all machines.
        engine: as `Ensemble.load` takes it.
        limits: what a client may ask of one replica.
        token: that requests need; None: none.
        address: where the proxy listens.
        similar: whether training images may be shown.
    """

    run: str
    engine: Engine
    limits: Limits
    token: str | None
    address: Address
    similar: bool


def serve_on_ray(
    service: Service, on: str, replicas: int, display: Display, started: Callable[[str], object]
) -> None:
    """Serve until Ctrl-C or SIGTERM, then let requests under way be answered and take the
    application away.

    Args:
        service: what is served.
        on: ``ray`` or ``ray://HOST:PORT``, as `check_address` allows.
        replicas: processes that answer.
        display: told what the replicas report.
        started: told the address when all of them answer.

    Raises:
        ArgumentError: Ray Serve is not installed, the cluster has too little room, or the address
            is taken.
        RunError: a replica cannot open the run.
    """
    if replicas < 1:
        raise ArgumentError(f"--replicas {replicas}: choose 1 or more")
    here = not on.startswith("ray://")
    address = service.address.settled() if here else service.address
    ended, seconds = threading.Event(), service.limits.seconds
    with Connection(on) as cluster, stopped_by(ended.set):
        cluster.wait()
        serve, resources = _load_serve(), _share(replicas)
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        # The application's own limit of time comes first.
        http = {"host": address.host, "port": address.port, "request_timeout_s": 3 * seconds}
        serve.start(proxy_location="HeadOnly", http_options=http, logging_config=QUIET)
        deployment = serve.deployment(serve.ingress(_builder(service))()).options(
            name=NAME,
            num_replicas=replicas,
            # Beyond it Ray's proxy would hold requests back without a word; the application itself
            # says 503.
            max_ongoing_requests=2 * service.limits.waiting,
            graceful_shutdown_timeout_s=seconds + 1,
            ray_actor_options=resources,
        )
        try:
            serve.run(deployment.bind(), name=NAME, logging_config=QUIET)
            display.line(f"{replicas} replica{'s' * (replicas > 1)}, {_named(resources)} each")
            if here:
                _wait_for(address.url, ended)
            started(address.url)
            ended.wait()
        except RuntimeError as error:
            raise RunError(
                f"{service.run}: no replica could be started ({_last_line(error)})"
            ) from None
        finally:
            serve.delete(NAME)


def _wait_for(url: str, ended: threading.Event) -> None:
    """Wait until the proxy, which hears of an application a little after it runs, hands requests
    to it.
    """
    while not ended.wait(0.1):
        try:
            with urllib.request.urlopen(f"{url}readyz", timeout=5):
                return
        except urllib.error.HTTPError as error:
            if error.code not in (404, 503):
                return  # the application's own refusal: another name than it is called by
        except OSError:
            pass  # the proxy itself is not there yet


def _builder(service: Service) -> Callable[[], Any]:
    """A function that makes the application; Ray calls it in every replica."""

    def build() -> Any:
        with working_folder(service.run, needed_to_use) as folder:
            run = Run.open(folder)
            ensemble = Ensemble.load(run, engine=service.engine)
            return application_of(
                run,
                ensemble,
                service.limits,
                service.token,
                service.address,
                service.similar,
                Display(quiet=True),
            )

    return build


def _share(replicas: int) -> dict[str, float]:
    """Cores and GPUs of one replica: a GPU where there are some, else an even share of all cores.

    Raises:
        ArgumentError: there is no room for so many.
    """
    total = load_ray().cluster_resources()
    gpus, cores = int(total.get("GPU", 0)), int(total.get("CPU", 0))
    room = gpus or cores
    if replicas > room:
        kind = "GPUs" if gpus else "cores"
        raise ArgumentError(
            f"--replicas {replicas}: the cluster has {room} {kind}; choose {room} or fewer"
        )
    if gpus:
        return {"num_cpus": max(1, cores // gpus), "num_gpus": 1}
    widest = max(
        int(node["Resources"].get("CPU", 0)) for node in load_ray().nodes() if node["Alive"]
    )
    return {"num_cpus": max(1, min(cores // replicas, widest))}


def _named(resources: dict[str, float]) -> str:
    gpus = f" and {resources['num_gpus']} GPU" if "num_gpus" in resources else ""
    return f"{resources['num_cpus']} core{'s' * (resources['num_cpus'] > 1)}{gpus}"


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__


def _load_serve() -> Any:
    try:
        from ray import serve
    except ImportError:
        raise ArgumentError(
            "--cluster ray: Ray Serve is not installed; pip install 'bestiary[cluster]'"
        ) from None
    return serve
