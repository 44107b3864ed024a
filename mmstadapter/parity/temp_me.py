"""Certificates of LunarShen/TempMe: TempMeViT and TempMeText, what merges, and the similarity."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models import MeanPoolSimilarity, Retriever, TempMeText, score
from ..models.backbones import TempMeViT
from ..weights import SOURCES
from .case import Line, ModelCase, compare
from .recording import recorded
from .st_adapter import clip_trunk

GIVEN = ('video_mask', 'text_ids', 'text_mask')


class TempMeCase(ModelCase):
    """A retriever of both towers; the same in both modes, since nothing in it is random."""

    def __init__(self, info: dict, tensors: dict[str, Tensor]) -> None:
        self.given = {name: tensors.pop(name) for name in GIVEN}
        super().__init__(info, tensors, SOURCES['tempme'])
        c = info['constructor']
        text = dict(
            vocab_size=c['vocab'],
            context_length=c['context'],
            embed_dims=c['text_width'],
            num_layers=c['text_layers'],
            num_heads=c['text_heads'],
            output_dims=c['embed_dim'],
        )
        self.model = Retriever(
            backbone=tower(c),
            text_tower=TempMeText(text, lora_dims=c['lora_dim']),
            # Never asked: the ids are stored.
            tokenizer=dict(type='mmstadapter.WordTokenizer', words=['-'], context_length=3),
            similarity=MeanPoolSimilarity(),
            train_scale=False,
        )

    def forward(self) -> Tensor:
        """(texts, B), the scaled cosines."""
        model, mask = self.model, self.given['video_mask']
        (frames,) = model.encode_frames(self.video)
        sentences, _ = model.text_tower(self.given['text_ids'])
        pooled = (F.normalize(frames, dim=-1) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        self.features = dict(text_feature=sentences, video_feature=pooled)
        text = model.similarity.encode_text(sentences, None, self.given['text_mask'])
        video = model.similarity.encode_video(frames, mask)
        return model.logit_scale.exp() * score(text, video)

    @property
    def video(self) -> Tensor:
        """(B, 3, T, H, W), stored frame by frame."""
        return self.tensors['input'].float().transpose(1, 2)

    def outputs(self, out: Tensor) -> dict[str, Tensor]:
        """The logits, and the features before they are normalised."""
        return dict(logits=out) | self.features

    def activations(self) -> dict[str, Tensor]:
        """Blocks of the first video, sizes of all."""
        backbone = self.model.backbone
        steps = dict(backbone.trace(self.video))
        found = dict(embed=steps['embed'][:2])
        plan = backbone.steps(self.video, steps['embed'])
        for i, step in enumerate(plan):
            found |= {f'block{i}': steps[str(i)][: step.clips], f'size{i}': steps[f'{i}.size']}
        return found

    def comparisons(self) -> Iterator[Line]:
        """All of `ModelCase`, then counts, and which token went where."""
        yield from super().comparisons()
        yield self._count_line()
        backbone = self.model.backbone
        with torch.no_grad(), recorded(dict(match=backbone.merge.match)) as found:
            list(backbone.trace(self.video))
        for j, (go, target) in enumerate(found['match']):
            source = go.nonzero()[:, 1].view(len(go), -1)
            for name, ours in (('src', source), ('dst', target[go].view(len(go), -1))):
                key = f'merge/{j}/{name}'
                yield compare(key, 'weights', ours, self.tensors[key])

    def _count_line(self) -> Line:
        """Clips, class tokens and tokens behind every block."""
        backbone = self.model.backbone
        patches = backbone.trunk.grid[0] * backbone.trunk.grid[1]
        ours = backbone.schedule.steps(self.info['T'], 1 + patches, 1)
        names = ('clips_per_video', 'tokens_per_clip', 'cls_per_clip')
        theirs = [tuple(count[name] for name in names) for count in self.info['token_counts']]
        odd = [(s.clips, s.tokens, s.prefix) for s in ours] != theirs
        return Line('clips and tokens behind every block: unequal', float(odd), 0.0)


def tower(constructor: dict) -> TempMeViT:
    """The video tower of official arguments."""
    c = constructor
    size = c['grid'] * c['patch_size']
    names = ('merge_layer', 'merge_frame_num', 'merge_token_proportion')
    layers, frames, percents = ([int(x) for x in str(c[name]).split('-')] for name in names)
    return TempMeViT(
        clip_trunk(c | dict(input_resolution=size, output_dim=c['embed_dim']), with_proj=True),
        num_frames=c['max_frames'],
        merge_layers=layers,
        merge_frames=frames,
        proportions=[percent / 100 for percent in percents],
        tome_r=c['tome_r'],
        frame_pos=bool(c['frame_pos']),
        prop_attn=bool(c['tome_propattn']),
        lora_dims=c['lora_dim'],
        output='frames',
    )
