"""Clients of a service in one process: each sends a prebuilt request, reads the answer, repeats.

Only the status is read, so that the clients take little of the service's cores. Prints a line of
JSON: number of answers by status, seconds, percentiles of the time to an answer, memory of the
server.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

MEMORY = b"process_resident_memory_bytes "
CPU = b"process_cpu_seconds_total "


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of the next answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line[15:])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    )
    return int(head[9:12]), await reader.readexactly(length)


async def ask(
    job: dict[str, Any], requests: list[bytes], turn: "count[int]", until: float
) -> list[tuple[int, float]]:
    """One client's statuses and seconds to an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", job["port"])
    answers = []
    while (started := time.perf_counter()) < until:
        writer.write(requests[next(turn) % len(requests)])
        status, _ = await read_answer(reader)
        answers.append((status, time.perf_counter() - started))
    writer.close()
    return answers


async def numbers(port: int) -> tuple[float, float]:
    """The server's resident memory in MB, and its CPU seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    _, body = await read_answer(reader)
    writer.close()
    memory, cpu = (
        next(float(line.split()[1]) for line in body.splitlines() if line.startswith(name))
        for name in (MEMORY, CPU)
    )
    return memory / 1e6, cpu


async def watch(port: int, until: float) -> list[float]:
    """The server's resident memory in MB, every five seconds."""
    sizes = []
    while time.perf_counter() < until:
        sizes.append((await numbers(port))[0])
        await asyncio.sleep(5)
    return sizes


async def run(job: dict[str, Any]) -> dict[str, Any]:
    """Let the clients send requests for the time of the job."""
    requests = []
    for file in job["files"]:
        body = Path(file).read_bytes()
        head = [
            "POST /v1/predict HTTP/1.1",
            "Host: localhost",
            "Content-Type: image/jpeg",
            f"Content-Length: {len(body)}",
        ]
        requests.append("\r\n".join([*head, "", ""]).encode() + body)
    _, cpu = await numbers(job["port"])
    started = time.perf_counter()
    turn = count()
    until = started + job["seconds"]
    sizes, *clients = await asyncio.gather(
        watch(job["port"], until), *(ask(job, requests, turn, until) for _ in range(job["clients"]))
    )
    answers = [one for client in clients for one in client]
    seconds = sorted(taken for _, taken in answers)
    return {
        "statuses": Counter(str(status) for status, _ in answers),
        "seconds": time.perf_counter() - started,
        "cpu": (await numbers(job["port"]))[1] - cpu,
        "p50": seconds[len(seconds) // 2],
        "p99": seconds[len(seconds) * 99 // 100],
        "memory_mb": sizes,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(json.loads(sys.argv[1])))))
