"""A retriever as an encoder of mteb, so that it runs MVEB's video tasks (extra ``mteb``)."""

import os
import tempfile
from collections.abc import Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from .apis.clips import ClipTransform
from .evaluation import similarity_matrix
from .models import Retriever
from .models.retrieval.checks import check_numbers
from .search.building import fingerprints

READS = ('text', 'video')
# Tasks that compare captions with videos and nothing else: there, words may meet frames.
TOKEN_WISE = ('t2v', 'v2t')


class MTEBEncoder:
    """What ``mteb.evaluate`` takes: a retriever with the frames of its own recipe.

        model = mmstadapter.create_model('side4video_vit-b_msrvtt', checkpoint='mine.safetensors')
        encoder = MTEBEncoder(model, 'me/side4video')
        mteb.evaluate(encoder, mteb.get_benchmark('MVEB(text, video, v1)').tasks)

    Videos are read from their files by the recipe's test pipeline, so frames and pixels are those
    of ``mmstadapter test``; torchcodec is not needed. Tasks that compare captions with videos are
    scored by the model's own similarity, words against frames where it does that. Elsewhere
    (classes, clusters, pairs, questions about a video) an item is one vector of unit length: of
    words or frames the sum by their weights, of text and video together their sum. Sound and
    pictures are not read.

    Args:
        model: from `mmstadapter.create_model`; it stays on its device.
        name: under which mteb keeps results, ``'owner/name'`` or a name alone.
        revision: of the results; if None a hash of weights, frames and similarity, so that mteb's
            cache never takes one model's results for another's.

    Raises:
        ImportError: if mteb is not installed.
        TypeError: for another kind of model, or one without `transform`.
    """

    def __init__(self, model: Retriever, name: str, revision: str | None = None) -> None:
        if not isinstance(model, Retriever) or getattr(model, 'transform', None) is None:
            raise TypeError(
                'MTEBEncoder: model must be a retriever that has the pipeline of its recipe, got '
                f'{type(model).__name__}. mmstadapter.create_model of a retrieval recipe makes one.'
            )
        self.model = model
        self.mteb_model_meta = _meta(model, name, revision or _revision(model))

    @torch.inference_mode()
    def encode(
        self,
        inputs: DataLoader,
        *,
        task_metadata: Any,
        hf_split: str | None = None,
        hf_subset: str | None = None,
        prompt_type: Any = None,
        **_: Any,
    ) -> Tensor:
        """Rows with ``text``, ``video`` or both to what `similarity` compares, on the CPU.

        Returns:
            (n, E), or where words meet frames (n, L, E + 2): tokens, their weights, their mask.

        Raises:
            ValueError: if the rows have neither text nor video, or a feature is NaN.
            mmstadapter.VideoReadError: for a video that cannot be decoded, with its name.
        """
        columns, batches = _undecoded(inputs, self.model.transform, task_metadata)
        token_wise = len(columns) == 1 and task_metadata.category in TOKEN_WISE
        return torch.cat([self._encode(batch, token_wise) for batch in batches])

    def _encode(self, batch: Mapping[str, Any], token_wise: bool) -> Tensor:
        """Features of a batch, in float32."""
        features = []
        if 'text' in batch:
            features.append(self.model.encode_captions(batch['text']))
        if 'video' in batch:
            video = batch['video'].to(self.model.logit_scale.device)
            features.append(self.model.encode_videos(video))
        check_numbers(*(tensor for side in features for tensor in side.values()))
        if token_wise and 'tokens' in features[0]:
            return _packed(features[0]).float().cpu()
        total = torch.stack([_vector(x) for x in features]).sum(dim=0)
        return F.normalize(total, dim=-1).float().cpu()

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Tensor:
        """Of all pairs, (n, m) from -1 to 1."""
        one, two = (_unpacked(x) for x in (embeddings1, embeddings2))
        return similarity_matrix(one, two)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Tensor:
        """Of items at the same place, (n,)."""
        pairs = zip(embeddings1, embeddings2, strict=True)
        return torch.cat([self.similarity(a[None], b[None])[0] for a, b in pairs])


# ------------------------------------------------------------------------ rows


def _undecoded(
    loader: DataLoader, transform: ClipTransform, task: Any
) -> tuple[list[str], DataLoader]:
    """The columns we read of mteb's rows, and a loader over them that reads videos itself."""
    from datasets import Video

    rows: Any = loader.dataset
    columns = [name for name in READS if name in rows.column_names]
    if not columns:
        raise ValueError(
            f'MTEBEncoder: {task.name} has {", ".join(rows.column_names)}; a retriever reads '
            f'{" and ".join(READS)}. Choose tasks of those, as MVEB(text, video, v1) has them.'
        )
    rows = rows.select_columns(columns)
    if 'video' in columns and isinstance(rows.features['video'], Video):
        rows = rows.cast_column('video', Video(decode=False))
    read = partial(_read, transform=transform)
    return columns, DataLoader(
        rows, loader.batch_size, collate_fn=read, num_workers=loader.num_workers
    )


def _read(rows: list[dict[str, Any]], transform: ClipTransform) -> dict[str, Any]:
    """Rows -> lists of texts, and clips (n, 3, T, H, W)."""
    batch: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    if 'video' in batch:
        batch['video'] = torch.cat([_clip(video, transform) for video in batch['video']])
    return batch


def _clip(video: Any, transform: ClipTransform) -> Tensor:
    """A file's path or bytes, or decoded frames (L, 3, H, W), to a clip (1, 3, T, H, W)."""
    if isinstance(video, Tensor | np.ndarray):
        return _one_view(transform(torch.as_tensor(video).permute(0, 2, 3, 1)))
    if isinstance(video, str | Path):
        video = dict(path=video)
    if not isinstance(video, Mapping) or not (video.get('path') or video.get('bytes')):
        raise ValueError(
            f'MTEBEncoder: a video must be a file, its bytes or frames (L, 3, H, W), got '
            f'{type(video).__name__}. Leave rows without a video out.'
        )
    if video.get('bytes') is None:
        return _one_view(transform(video['path']))
    with tempfile.TemporaryDirectory() as folder:  # decoders want a file
        path = Path(folder, os.path.basename(video.get('path') or 'video.mp4'))
        path.write_bytes(video['bytes'])
        return _one_view(transform(path))


def _one_view(clips: Tensor) -> Tensor:
    if len(clips) != 1:
        raise ValueError(
            f'MTEBEncoder: the recipe tests {len(clips)} views of a video; a retriever reads one. '
            'Set num_views and num_crops to 1.'
        )
    return clips


# -------------------------------------------------------------------- features


def _vector(features: Mapping[str, Tensor]) -> Tensor:
    """(n, E) of unit length; of tokens the sum by their weights."""
    if 'vector' in features:
        return features['vector']
    weighted = features['tokens'] * features['weights'].unsqueeze(-1)
    return F.normalize(weighted.sum(dim=1), dim=-1)


def _packed(features: Mapping[str, Tensor]) -> Tensor:
    """Tokens (n, L, E), weights and mask as one tensor (n, L, E + 2)."""
    tokens, weights = features['tokens'], features['weights'].unsqueeze(-1)
    mask = features.get('mask')
    seen = torch.ones_like(weights) if mask is None else mask.unsqueeze(-1).to(weights)
    return torch.cat([tokens, weights, seen], dim=-1)


def _unpacked(embeddings: Any) -> dict[str, Tensor]:
    """What `encode` gave, as `mmstadapter.score` takes it."""
    x = torch.as_tensor(embeddings).float().cpu()
    if x.ndim < 3:
        return dict(vector=F.normalize(torch.atleast_2d(x), dim=-1))
    return dict(tokens=x[..., :-2], weights=x[..., -2], mask=x[..., -1] > 0)


# ------------------------------------------------------------------------ meta


def _revision(model: Retriever) -> str:
    """Forty digits that change with the weights, the frames and how both sides are compared."""
    plain = (bool, int, float, str)
    compared = {k: v for k, v in vars(model.similarity).items() if isinstance(v, plain)}
    parts = [*sorted(fingerprints(model).items()), repr(model.transform), sorted(compared.items())]
    return sha256(repr(parts).encode()).hexdigest()[:40]


def _meta(model: Retriever, name: str, revision: str) -> Any:
    """What mteb writes beside results."""
    try:
        from mteb.models import ModelMeta
    except ImportError as error:
        raise ImportError(
            f'MTEBEncoder: mteb is needed and cannot be imported ({error}). '
            "Install it with pip install 'mmstadapter[mteb]'."
        ) from error
    return ModelMeta.create_empty(
        dict(
            name=name if '/' in name else f'mmstadapter/{name}',
            revision=revision,
            n_parameters=sum(p.numel() for p in model.parameters()),
            embed_dim=model.text_tower.joint_dims,
            modalities=list(READS),
            framework=['PyTorch'],
            use_instructions=False,
        )
    )
