"""`bestiary serve` in a process of its own, with clients in another, each with one open request."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from harness.paired import Worker


class ServingWorker(Worker):
    """A worker whose server ends with it."""

    server: "subprocess.Popen[str]"

    def leave(self) -> NoReturn:
        self.server.terminate()
        self.server.wait()
        super().leave()


def main() -> None:
    worker = ServingWorker()
    job = worker.job
    command = [sys.executable, "-m", "bestiary", "serve", job["run"], "--port", "0"]
    worker.server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert worker.server.stderr
    port = next(
        int(line.split("127.0.0.1:")[1].split("/")[0])
        for line in worker.server.stderr
        if "127.0.0.1:" in line
    )

    def turn(limit: int | None) -> int:
        """Let the clients send requests; returns the number of answers, and notes the rest."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        args = {**job, "port": port, "seconds": 2 if limit else job["seconds"]}
        clients = [sys.executable, "-m", "contenders.serve_clients", json.dumps(args)]
        result = json.loads(
            subprocess.run(clients, capture_output=True, text=True, check=True).stdout
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if not limit:
            with Path(job["notes"]).open("a") as notes:
                print(json.dumps({**result, "client_cores": used / result["seconds"]}), file=notes)
        return int(result["statuses"].get("200", 0))

    worker.serve(turn)


if __name__ == "__main__":
    main()
