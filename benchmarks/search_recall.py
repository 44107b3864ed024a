"""Recall and time of the search's first stage against exact search, on a made-up large index.

Writes Markdown. The index is a real one, written by the package; its features are synthetic,
see :func:`describe`. A million vectors take 1.1 GB on the disk, the approximate stage as much
again, and about 3 GB of memory while it is built; 60,000 segments of tokens take 0.8 GB.

    python benchmarks/search_recall.py [--part re-ranking] [--folder DIR] > benchmarks/...md
"""

import argparse
import datetime
import platform
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from mmstadapter.search.first_stage import LISTS_LOOKED_AT, load_faiss
from mmstadapter.search.storage import VideoStamp
from mmstadapter.search.video_index import Hit, VideoIndex
from mmstadapter.search.writer import writing

WIDTH, WINDOWS, FRAMES, WORDS = 512, 10, 12, 16
FIELDS, TOPICS = 300, 20_000
LISTS = (8, 16, 32, 64, 128, 256, 512)
CANDIDATES = (50, 100, 200, 500, 1000)
DEPTHS = (1, 10, 100)


class World:
    """Videos and captions about topics, in a joint space shaped as CLIP's.

    Everything random has a covariance that falls as 1/i along the axes, so that the local
    dimension is far below 512. Topics lie around fields; how often each occurs falls as
    1/rank^0.7. A video is its topic and something of its own, each of its 10 segments the video
    and something of its own.
    """

    def __init__(self, seed: int = 0) -> None:
        self.random = torch.Generator().manual_seed(seed)
        self.spread = torch.arange(1, WIDTH + 1).float() ** -0.5
        self.rotation = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=self.random))[0]
        fields = self.noise(FIELDS)
        of_field = torch.randint(FIELDS, (TOPICS,), generator=self.random)
        self.topics = F.normalize(fields[of_field] + 0.8 * self.noise(TOPICS), dim=-1)
        self.often = torch.arange(1, TOPICS + 1).float() ** -0.7
        self.video_side, self.text_side = F.normalize(torch.randn(2, WIDTH, generator=self.random))

    def noise(self, *shape: int) -> Tensor:
        """Unit vectors (*shape, 512)."""
        x = torch.randn(*shape, WIDTH, generator=self.random) * self.spread
        return F.normalize(x @ self.rotation, dim=-1)

    def contents(self, videos: int) -> Tensor:
        """What is to be seen in the segments of so many videos, (10 videos, 512)."""
        topic = torch.multinomial(self.often, videos, replacement=True, generator=self.random)
        video = F.normalize(self.topics[topic] + 0.7 * self.noise(videos), dim=-1)
        segments = video[:, None] + 0.35 * self.noise(videos, WINDOWS)
        return F.normalize(segments, dim=-1).flatten(0, 1)

    def seen(self, contents: Tensor) -> Tensor:
        """Video vectors: contents, and what all videos share."""
        return F.normalize(contents + self.video_side, dim=-1)

    def told(self, contents: Tensor) -> Tensor:
        """Caption vectors: content, more that is not in the video, and what captions share."""
        said = F.normalize(0.5 * contents + 0.87 * self.noise(len(contents)), dim=-1)
        return F.normalize(said + 0.9 * self.text_side + 0.3 * self.video_side, dim=-1)

    def frames(self, contents: Tensor) -> dict[str, Tensor]:
        """Token features of segments: frames differ from each other, some weigh more."""
        tokens = contents[:, None] + 0.6 * self.noise(len(contents), FRAMES)
        return self._tokens(F.normalize(tokens + self.video_side, dim=-1), 0.5)

    def words(self, contents: Tensor) -> dict[str, Tensor]:
        """Token features of captions: each word tells a part of the content, some nothing."""
        share = torch.rand(len(contents), WORDS, 1, generator=self.random)
        said = F.normalize(share * contents[:, None] + self.noise(len(contents), WORDS), dim=-1)
        tokens = F.normalize(said + 0.9 * self.text_side + 0.3 * self.video_side, dim=-1)
        return self._tokens(tokens, 1.0)

    def _tokens(self, tokens: Tensor, uneven: float) -> dict[str, Tensor]:
        logits = uneven * torch.randn(tokens.shape[:2], generator=self.random)
        return dict(tokens=tokens, weights=logits.softmax(dim=1))


def fill(folder: Path, world: World, rows: int, tokens: bool, queries: int) -> dict[str, Tensor]:
    """Write an index of so many segments; gives the captions of some, chosen at random."""
    asked, per_commit = [], 8_000 if tokens else 50_000
    with writing(folder, dict(synthetic=True), folder, 10.0, say=_note) as writer:
        for start in range(0, rows, per_commit):
            count = min(per_commit, rows - start) // WINDOWS
            contents = world.contents(count)
            features = world.frames(contents) if tokens else dict(vector=world.seen(contents))
            for number in range(count):
                part = slice(number * WINDOWS, (number + 1) * WINDOWS)
                stamp = VideoStamp(f'{start // WINDOWS + number:07d}.mp4', 1, 1)
                spans = [(10.0 * w, 10.0 * w + 10) for w in range(WINDOWS)]
                writer.add(stamp, {name: t[part] for name, t in features.items()}, spans)
            writer.commit()
            share = -(-queries * per_commit // rows)
            chosen = torch.randperm(len(contents), generator=world.random)[:share]
            asked.append(contents[chosen])
        _measure('building the approximate stage', writer.build_first_stage)
    about = torch.cat(asked)[:queries]
    return world.words(about) if tokens else dict(vector=world.told(about))


def recall(found: list[list[Hit]] | Tensor, truth: list[list[Hit]] | Tensor, k: int) -> float:
    """Share of the true best k that are among the found ones (k of them), per cent."""
    shares = []
    for ours, right in zip(found, truth, strict=True):
        pair = [_keys(ours, k), _keys(right, k)]
        shares.append(len(pair[0] & pair[1]) / len(pair[1]))
    return 100 * statistics.fmean(shares)


def one_by_one(index: VideoIndex, text: dict[str, Tensor], **options) -> tuple[list, list[float]]:
    """Hits of each caption, asked alone, and the seconds each took."""
    found, times = [], []
    for number in range(len(next(iter(text.values())))):
        query = {name: tensor[number : number + 1] for name, tensor in text.items()}
        begun = time.perf_counter()
        found += index.search(query, **options)
        times.append(time.perf_counter() - begun)
    return found, times


def first(text: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    """Some of the captions."""
    return {name: tensor[:count] for name, tensor in text.items()}


def pooled_part(folder: Path, rows: int, queries: int) -> None:
    """One vector a segment: the approximate stage against all."""
    world = World()
    begun = time.perf_counter()
    text = fill(folder, world, rows, tokens=False, queries=queries)
    _note(f'written and built in {time.perf_counter() - begun:.0f} s')
    begun = time.perf_counter()
    index = VideoIndex(folder)
    opened = time.perf_counter() - begun
    truth = index.search(text, topk=max(DEPTHS), exact=True)
    _, exact_times = one_by_one(index, first(text, 20), topk=10, exact=True)
    cosines = world_statistics(index, text, truth)
    sizes = {p.name: p.stat().st_size for p in folder.iterdir()}
    lists_size = sum(size for name, size in sizes.items() if name.startswith('approximate'))
    print(f'# First stage: {rows:,} segments, one vector of {WIDTH} each\n')
    print(machine())
    print(cosines)
    built = TIMES['building the approximate stage']
    print(
        f'\nfaiss `IVF,SQfp16`, {index.approximate.lists.nlist} lists: built in {built:.0f} s, '
        f'{lists_size / 1e9:.2f} GB; columns {(sum(sizes.values()) - lists_size) / 1e9:.2f} GB. '
        f'Index opened in {1000 * opened:.0f} ms. {queries} captions, one at a time.\n'
    )
    print('| lists looked into | ' + ' | '.join(f'recall@{k}' for k in DEPTHS) + ' | median ms |')
    print('|---|' + '---|' * (len(DEPTHS) + 1))
    right = torch.tensor([[_row(hit) for hit in hits] for hits in truth])
    for lists in LISTS:
        rows_found, times = sweep(index, text['vector'], lists)
        cells = [f'{recall(rows_found, right, k):.1f}' for k in DEPTHS]
        name = f'{lists} (default)' if lists == LISTS_LOOKED_AT else str(lists)
        print(f'| {name} | {" | ".join(cells)} | {1000 * statistics.median(times):.1f} |')
    found, times = one_by_one(index, text, topk=max(DEPTHS))
    cells = [f'{recall(found, truth, k):.1f}' for k in DEPTHS]
    print(f'| `VideoIndex.search` | {" | ".join(cells)} | {1000 * statistics.median(times):.1f} |')
    exact = 1000 * statistics.median(exact_times)
    print(f'| `search(exact=True)` | 100 | 100 | 100 | {exact:.0f} |\n')


def sweep(index: VideoIndex, vectors: Tensor, lists: int) -> tuple[Tensor, list[float]]:
    """Rows found by the approximate stage alone, and seconds a caption."""
    rows, times = [], []
    for vector in vectors:
        begun = time.perf_counter()
        rows.append(index.approximate.search(vector[None], max(DEPTHS), lists=lists)[1])
        times.append(time.perf_counter() - begun)
    return torch.cat(rows), times


def tokens_part(folder: Path, rows: int, queries: int) -> None:
    """Token features: a shortlist by pooled vectors, re-ranked, against all by the full score."""
    begun = time.perf_counter()
    text = fill(folder, World(1), rows, tokens=True, queries=queries)
    _note(f'written in {time.perf_counter() - begun:.0f} s')
    index = VideoIndex(folder)
    approximate, index.approximate = index.approximate, None
    truth = index.search(text, topk=10, exact=True)  # together: each segment is read once
    _, exact_times = one_by_one(index, first(text, 20), topk=10, exact=True)
    print(f'# Re-ranking: {rows:,} segments of {FRAMES} tokens, captions of {WORDS}\n')
    print(machine())
    print(
        'Recall of the shortlist that pooled vectors give and `mmstadapter.score` re-ranks, '
        f'against that score on every segment; {queries} captions, one at a time.\n'
    )
    print('| candidates | first stage | recall@1 | recall@10 | median ms |')
    print('|---|---|---|---|---|')

    def line(count: int, stage: str) -> None:
        found, times = one_by_one(index, text, topk=10, candidates=count)
        cells = [f'{recall(found, truth, k):.1f}' for k in (1, 10)]
        name = f'{count} (default)' if count == 200 else str(count)
        median = 1000 * statistics.median(times)
        print(f'| {name} | {stage} | {" | ".join(cells)} | {median:.1f} |', flush=True)

    for count in CANDIDATES:
        line(count, 'all compared')
    if approximate is not None:
        index.approximate = approximate
        for count in CANDIDATES:
            line(count, f'{LISTS_LOOKED_AT} of {approximate.lists.nlist} lists')
    exact = 1000 * statistics.median(exact_times)
    print(f'| all, `exact=True` | none | 100 | 100 | {exact:.0f} |\n')


def world_statistics(index: VideoIndex, text: dict[str, Tensor], truth: list[list[Hit]]) -> str:
    """How near things are to each other, to compare with a real model's features."""
    sample = index.features(torch.arange(0, len(index), max(1, len(index) // 2000)))['vector']
    sample = sample.float()
    between = (sample @ sample.T).fill_diagonal_(torch.nan).flatten()
    across = (text['vector'] @ sample.T).flatten()
    best, tenth = ([hits[k].score for hits in truth] for k in (0, 9))
    return (
        f'{describe()}\n\nCosines: two segments {between.nanmean():.2f} on average, a caption and '
        f'any segment {across.mean():.2f} (deviation {across.std():.2f}), a caption and its best '
        f'segment {statistics.fmean(best):.2f}, its tenth {statistics.fmean(tenth):.2f}.'
    )


def describe() -> str:
    """How the data are made, for the record."""
    return (
        f'Synthetic features, seed 0: {TOPICS:,} topics around {FIELDS} fields, frequency '
        f'1/rank^0.7; a video is its topic and a part of its own, its {WINDOWS} segments again '
        '(near-duplicates, as neighbouring windows are); all noise has variance 1/i along rotated '
        'axes. Videos and captions are shifted apart by a constant each, as in CLIP, and what a '
        'caption says has a cosine of 0.5 with what its segment shows. No real videos: the recall '
        'on yours may differ; `search(exact=True)` tells.'
    )


TIMES: dict[str, float] = {}


def _measure(name: str, function) -> None:
    begun = time.perf_counter()
    function()
    TIMES[name] = time.perf_counter() - begun


def machine() -> str:
    """Processor kind, threads, versions, date, memory used, command."""
    faiss = load_faiss()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return (
        f'{platform.machine()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}, '
        f'faiss-cpu {faiss.__version__}, {datetime.date.today()}, peak memory {peak:.1f} GB '
        f'(mapped files included); `python {" ".join(sys.argv)}`\n'
    )


def _row(hit: Hit) -> int:
    return int(hit.video.removesuffix('.mp4')) * WINDOWS + int(hit.start) // 10


def _keys(found, k: int) -> set:
    if isinstance(found, Tensor):
        return set(found[:k].tolist())
    return {(hit.video, hit.start) for hit in found[:k]}


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Both parts, each in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    add = parser.add_argument
    add('--rows', type=int, default=1_000_000)
    add('--token-rows', type=int, default=60_000, help='segments of the re-ranking part')
    add('--queries', type=int, default=500, help='captions; at most 100 in re-ranking')
    add('--part', choices=('first-stage', 're-ranking'), help='one of the two alone')
    add('--folder', type=Path, help='where to write the indexes [a temporary folder]')
    args = parser.parse_args()
    if load_faiss() is None:
        sys.exit("search_recall: needs faiss; pip install 'mmstadapter[search]'.")
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        if args.part != 're-ranking':
            pooled_part(Path(folder) / 'vectors', args.rows, args.queries)
        if args.part != 'first-stage':
            tokens_part(Path(folder) / 'tokens', args.token_rows, min(100, args.queries))


if __name__ == '__main__':
    main()
