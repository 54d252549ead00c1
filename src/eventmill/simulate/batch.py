"""A batch of records: written to its dataset, or failed and tried again; then audiences are evaluated anew."""

from __future__ import annotations

from random import Random

from eventmill.simulate.moment import DATASET_INGESTION, SEGMENT_EVALUATION, Moment, Story, wait_s

_FAILS = 0.12
_TRIES_MAX = 3
_EVALUATION_FAILS = 0.06

_DATASETS = {"5f1e0ad2c3b4": 1200, "5f1e0ad2c3c7": 40_000, "62a9d1e07f10": 300, "641b3c55e9aa": 9000}
"""Dataset id and how many records its batches bring, roughly."""
_SEGMENTS = {"seg-lapsed-30d": 5200, "seg-loyal": 880, "seg-cart-open": 240, "seg-newsletter": 31_000}
"""Segment id and how many profiles qualify, roughly."""


def tell_batch(dice: Random, number: int) -> Story:
    dataset = dice.choice(tuple(_DATASETS))
    records = dice.randint(_DATASETS[dataset] // 2, _DATASETS[dataset] * 2)
    for attempt in range(_TRIES_MAX):
        is_written = dice.random() >= _FAILS
        body = {
            "datasetId": dataset,
            "batchId": f"01HBATCH{number:06d}{chr(ord('A') + attempt)}",
            "status": "success" if is_written else "failed",
            "recordCount": records if is_written else dice.randrange(records),
        }
        yield Moment(0 if attempt == 0 else 60 + wait_s(dice, 60), DATASET_INGESTION, body)
        if is_written:
            yield from _tell_evaluations(dice, number)
            return


def _tell_evaluations(dice: Random, number: int) -> Story:
    segments = dice.sample(tuple(_SEGMENTS), dice.choice((1, 1, 2)))
    for at, segment in enumerate(segments):
        is_done = dice.random() >= _EVALUATION_FAILS
        usual = _SEGMENTS[segment]
        body = {
            "segmentId": segment,
            "jobId": f"job-{number}-{at + 1}",
            "status": "succeeded" if is_done else "failed",
            "profileCount": dice.randint(usual * 9 // 10, usual * 11 // 10) if is_done else 0,
        }
        yield Moment(4 + wait_s(dice, 10), SEGMENT_EVALUATION, body)
