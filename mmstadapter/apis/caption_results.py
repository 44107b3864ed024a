"""What a test of retrieval shows: recall with its interval, and the captions that miss."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import pages
from ..evaluation.feature_metrics import feature_metrics
from ..evaluation.features import RetrievalFeatures
from ..evaluation.similarity import similarity_matrix
from ..pages import picture
from .results import write_json

REPLICATES = 1000  # of the bootstrap
PREFIX = 'retrieval/'  # of the figures, as `mmstadapter test` names them


def summary(features: RetrievalFeatures, sim: Tensor) -> dict[str, Any]:
    """The figures as written to retrieval.json, per cent unless a rank.

    Args:
        features: of the test.
        sim: (A, B), their similarity.
    """
    figures = feature_metrics(features, sim=sim.clone(), bootstrap=REPLICATES)
    videos = len(features.video_ids)
    bad = 0 if features.lost is None else int(features.lost.sum())
    return dict(
        videos=videos,
        captions=len(features.captions),
        r1=round(figures['t2v/R1'], 2),
        r1_interval=[round(figures[f't2v/R1_{end}'], 2) for end in ('low', 'high')],
        chance=round(100 / videos, 2),
        undecodable=bad,
    ) | {PREFIX + name: round(value, 4) for name, value in figures.items()}


def mistakes(features: RetrievalFeatures, sim: Tensor) -> list[dict[str, Any]]:
    """The captions that find another video first, the most certain mistakes first.

    Args:
        features: of the test.
        sim: (A, B), their similarity.
    """
    if features.lost is not None:
        sim = sim.masked_fill(features.lost.bool(), float('-inf'))
    own = sim.gather(1, features.owner[:, None])[:, 0]
    best, first = sim.max(1)
    wrong = (best > own).nonzero()[:, 0].tolist()
    wrong.sort(key=lambda i: float(own[i] - best[i]))
    return [
        dict(
            caption=features.captions[i],
            video=features.video_ids[int(features.owner[i])],
            score=_score(own[i]),
            found=features.video_ids[int(first[i])],
            found_score=_score(best[i]),
        )
        for i in wrong
    ]


def write_results(file: Path, root: Path, folder: Path) -> dict[str, Any]:
    """Write retrieval.json and mistakes.{json,html}; give the summary.

    Args:
        file: the features that the test kept.
        root: folder of the videos.
        folder: where to write.
    """
    features = RetrievalFeatures.load(file)
    sim = similarity_matrix(features.text, features.video)
    result, found = summary(features, sim), mistakes(features, sim)
    write_json(result, folder / 'retrieval.json')
    write_json(found, folder / 'mistakes.json')
    write_page(found, root, folder / 'mistakes.html')
    return result


def write_page(found: list[dict[str, Any]], root: Path, path: Path, limit: int = 50) -> None:
    """One self-contained page: what each caption found, and what it should have."""
    heading = '1 caption' if len(found) == 1 else f'{len(found)} captions'
    heading += ' found another video first' + (f', {limit} of them' if len(found) > limit else '')
    figures = []
    for entry in found[:limit]:
        file, own = root / entry['found'], root / entry['video']
        figures.append(dict(entry, file=file, own=own, **picture(file)))
    note = 'The most certain first: frames of the video that was found.'
    pages.write_page(path, 'missed.html', figures, title='Mistakes', heading=heading, note=note)


def _score(value: Tensor) -> float | None:
    """A cosine; None of a video that could not be decoded."""
    return round(float(value), 4) if torch.isfinite(value) else None
