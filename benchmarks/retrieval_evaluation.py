"""Time and memory of a token-wise text-video evaluation, from features to figures.

    python benchmarks/retrieval_evaluation.py [--sizes 1000 10000] [--out FILE.md]

Captions of 32 words, videos of 12 frames, 512 dims, random. Two kinds of captions: 6 to 20
words as in MSR-VTT and zeros behind them, and 32 words without padding. The reference is the
authors' form (``wti_interaction``: an einsum over all pairs, masks multiplied in, maxima,
weighted sums), in blocks of 100 captions and 100 videos so that it fits; it runs at the first
size only. On a busy machine compare processor seconds.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

WORDS, FRAMES, DIMS = 32, 12, 512
CAPTIONS = dict(padded=(6, 20), full=(WORDS, WORDS))
BLOCK = 100


def features(items: int, length: int, valid: tuple[int, int], seed: int) -> dict[str, Tensor]:
    """Random token features with some tokens valid and the others zero."""
    draw = torch.Generator().manual_seed(seed)
    tokens = torch.empty(items, length, DIMS)
    for part in tokens.split(1000):
        part.copy_(normalize(torch.randn(part.shape, generator=draw), dim=-1))
    lengths = torch.randint(valid[0], valid[1] + 1, (items, 1), generator=draw)
    mask = torch.arange(length) < lengths
    tokens.mul_(mask[..., None])
    logits = torch.randn(items, length, generator=draw).masked_fill(~mask, -torch.inf)
    return dict(tokens=tokens, weights=logits.softmax(1))


def einsum_form(text: dict[str, Tensor], video: dict[str, Tensor]) -> Tensor:
    """The authors' form, block by block."""
    rows = []
    for a in range(0, len(text['tokens']), BLOCK):
        words, word_weights = (text[k][a : a + BLOCK] for k in ('tokens', 'weights'))
        word_mask = (word_weights > 0).float()
        blocks = []
        for b in range(0, len(video['tokens']), BLOCK):
            frames, frame_weights = (video[k][b : b + BLOCK] for k in ('tokens', 'weights'))
            cosines = torch.einsum('atd,bvd->abtv', words, frames)
            cosines = torch.einsum('abtv,at->abtv', cosines, word_mask)
            cosines = torch.einsum('abtv,bv->abtv', cosines, (frame_weights > 0).float())
            by_word = torch.einsum('abt,at->ab', cosines.max(dim=-1).values, word_weights)
            by_frame = torch.einsum('abv,bv->ab', cosines.max(dim=-2).values, frame_weights)
            blocks.append((by_word + by_frame) / 2)
        rows.append(torch.cat(blocks, dim=1))
    return torch.cat(rows)


def memory(key: str) -> int:
    """VmRSS or VmHWM (its peak) of this process in bytes."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))


def timed(function, *arguments) -> tuple[dict[str, float], Tensor]:
    """Seconds, processor seconds and bytes above those held before; and the result."""
    Path('/proc/self/clear_refs').write_text('5')  # the peak starts anew
    held, wall, processor = memory('VmRSS'), time.perf_counter(), time.process_time()
    result = function(*arguments)
    found = dict(wall=time.perf_counter() - wall, processor=time.process_time() - processor)
    return found | dict(bytes=memory('VmHWM') - held), result


def measure(size: int, kind: str, reference: bool, device: str) -> dict:
    """Everything of one size and kind of caption."""
    from mmstadapter import retrieval_metrics, similarity_matrix

    text = features(size, WORDS, CAPTIONS[kind], 0)
    video = features(size, FRAMES, (FRAMES, FRAMES), 1)
    few = {k: v[:64] for k, v in text.items()}, {k: v[:64] for k, v in video.items()}
    similarity_matrix(*few, device=device)  # warm up
    found: dict = dict(size=size, kind=kind)
    found['ours'], sim = timed(lambda: similarity_matrix(text, video, device=device))
    if reference:
        einsum_form(*few)
        found['einsum'], expected = timed(einsum_form, text, video)
        found['apart'] = (sim - expected).abs().max().item()
    found['figures'], _ = timed(retrieval_metrics, sim)
    held = (*text.values(), *video.values())
    found['features'] = sum(value.numel() * value.element_size() for value in held)
    return found


def describe(found: dict) -> list[str]:
    """Rows of the table."""
    rows = []
    for name, title in (('einsum', 'einsum form'), ('ours', 'ours'), ('figures', 'ranks, recall')):
        if name in found:
            own = found[name]
            base = found.get('einsum', {}).get('processor')
            ratio = f'{own["processor"] / base:.2f}' if base and name == 'ours' else ''
            rows.append(
                f'| {found["size"]:,} x {found["size"]:,} | {found["kind"]} | {title} | '
                f'{own["wall"]:.1f} | {own["processor"]:.1f} | {ratio} | '
                f'{own["bytes"] / 2**20:.0f} |'
            )
    return rows


def main() -> None:
    """Measure every size and kind in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--sizes', type=int, nargs='+', default=[1000, 10_000])
    parser.add_argument('--kinds', nargs='+', choices=CAPTIONS, default=list(CAPTIONS))
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--out', type=Path)
    parser.add_argument('--one', nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.one:
        size, kind, reference = args.one
        print(json.dumps(measure(int(size), kind, reference == 'True', args.device)))
        return
    name = torch.cuda.get_device_name() if args.device != 'cpu' else platform.processor()
    lines = [
        '# Token-wise evaluation: the similarity matrix and its figures',
        '',
        f'{name or "x86-64"}, {args.threads} thread(s), torch {torch.__version__}, '
        f'{time.strftime("%Y-%m-%d")}; `python benchmarks/retrieval_evaluation.py`',
        '',
        f'{WORDS} words, {FRAMES} frames, {DIMS} dims, float32. Captions: padded = 6 to 20 words '
        'and zeros, full = 32 words. Ratio of processor seconds to the einsum form. Memory: peak '
        'beside the features, the matrix itself (4 bytes a pair) included.',
        '',
        '| captions x videos | captions | | wall, s | processor, s | ratio | memory, MiB |',
        '|---|---|---|---:|---:|---:|---:|',
    ]
    for size in args.sizes:
        for kind in args.kinds:
            command = [sys.executable, __file__, '--one', str(size), kind]
            command += [str(size == args.sizes[0]), '--threads', str(args.threads)]
            done = subprocess.run(
                [*command, '--device', args.device], capture_output=True, text=True, check=True
            )
            found = json.loads(done.stdout.splitlines()[-1])
            lines += describe(found)
            print('\n'.join(describe(found)), found, flush=True)
            if args.out:
                args.out.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
