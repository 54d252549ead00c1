"""The machine's own limit of single delivery: two RSA-2048 signatures per event, a process per core, nothing else.

python bench/signing.py SECONDS BODY
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa


def sign(seconds: float, body: bytes, ready: Barrier, results: Queue[float]) -> None:
    keys = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
    scheme, digest = padding.PKCS1v15(), hashes.SHA256()
    ready.wait()
    started_s, events = time.perf_counter(), 0
    while (spent_s := time.perf_counter() - started_s) < seconds:
        for key in keys:
            key.sign(body, scheme, digest)
        events += 1
    results.put(events / spent_s)


def signed_events_per_s(seconds: float, body: bytes, processes: int) -> float:
    """Of all processes together."""
    ready = multiprocessing.Barrier(processes)
    results: Queue[float] = multiprocessing.Queue()
    workers = [multiprocessing.Process(target=sign, args=(seconds, body, ready, results)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    total = sum(float(results.get()) for _ in workers)
    for worker in workers:
        worker.join()
    return total


if __name__ == "__main__":
    cores = os.cpu_count() or 1
    print(signed_events_per_s(float(sys.argv[1]), Path(sys.argv[2]).read_bytes(), cores))
