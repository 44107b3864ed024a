"""The rows of docs/performance.md: a shipped config each, at the papers' clips a card."""

from dataclasses import dataclass, field
from typing import Any

BOTH = {'model.backbone.positions': ('before_attn', 'after_attn')}
LARGE = {
    'model.backbone.trunk.arch': 'vit-l-p14',
    'model.cls_head.in_channels': 1024,
}


@dataclass
class Row:
    """A method on a trunk.

    Attributes:
        method, trunk: for the table.
        config: a shipped config.
        clips: of a step on a card.
        options: changes of the config.
        paper: GB published, see the page.
        authors: of performance.AUTHORS, their form at the same size; '' for none.
        measured: of benchmarks/gpu/models.py, what a run on a GPU calls it; '' for none.
        processor: of benchmarks/step_time.py; '' for none.
    """

    method: str
    trunk: str
    config: str
    clips: int = 32
    options: dict[str, Any] = field(default_factory=dict)
    paper: float | None = None
    authors: str = ''
    measured: str = ''
    processor: str = ''

    def key(self, precision: str) -> str:
        """What its entry is called."""
        return f'{self.method}, {self.trunk}, {precision}'


B, L, E, B32 = 'CLIP B/16', 'CLIP L/14', 'EVA-CLIP E/14', 'CLIP B/32'
LEAN = {'model.backbone.recompute': 'block'}
E_SETTINGS = LEAN | {'model.backbone.frames_per_pass': 8}

ROWS = [
    Row('ST-Adapter 12x384', B, 'stadapter_vit-b_k400', authors='st-b-1',
        measured='ST-Adapter B/16 12x384', processor='ST-Adapter 12x384'),
    Row('ST-Adapter 24x384', B, 'stadapter_vit-b_k400', options=BOTH, paper=28.8,
        authors='st-b-2', measured='ST-Adapter B/16 24x384', processor='ST-Adapter 24x384'),
    Row('ST-Adapter 24x384', L, 'stadapter_vit-l_k400', 16, paper=51.4, authors='st-l-1',
        measured='ST-Adapter L/14 24x384'),
    Row('ST-Adapter 48x384', L, 'stadapter_vit-l_k400', 16, BOTH, authors='st-l-2',
        measured='ST-Adapter L/14 48x384'),
    Row("ST-Adapter 12x384, recompute='block'", B, 'stadapter_vit-b_k400', options=LEAN),
    Row('Side4Video light 6x192', B, 'side4video_vit-b-light_k400', paper=8.9, authors='s4v-b-6',
        measured='Side4Video B/16 light 6x192', processor='Side4Video 6x192'),
    Row('Side4Video 12x320', B, 'side4video_vit-b_k400', paper=18.8, authors='s4v-b-12',
        measured='Side4Video B/16 12x320', processor='Side4Video 12x320'),
    Row('Side4Video light 12x320', L, 'side4video_vit-l-light_k400', 16, paper=15.3,
        authors='s4v-l-12', measured='Side4Video L/14 light 12x320'),
    Row('Side4Video 24x512', L, 'side4video_vit-l_k400', 16, paper=37.0, authors='s4v-l-24',
        measured='Side4Video L/14 24x512'),
    Row("Side4Video light 6x192, recompute='block'", B, 'side4video_vit-b-light_k400',
        options=LEAN),
    Row('Side4Video 32x576', E, 'side4video_vit-e_k400', 16),
    Row("Side4Video 32x576, recompute='elementwise'", E, 'side4video_vit-e_k400', 8,
        {'model.backbone.recompute': 'elementwise'}, measured='Side4Video E/14 32x576'),
    Row('Side4Video 32x576, frames_per_pass=8', E, 'side4video_vit-e_k400', 1, E_SETTINGS),
    Row('AIM, one adapter over time', B, 'aim_vit-b_k400'),
    Row('AIM, two', B, 'aim_vit-b_ssv2', paper=35.2),
    Row('AIM, two', L, 'aim_vit-l_ssv2', 16, paper=64.3),
    Row('ZeroI2V', B, 'zeroi2v_vit-b_k400'),
    Row('ZeroI2V', L, 'zeroi2v_vit-l_k400', 16),
    Row('EVL, four layers', B, 'evl_vit-b_k400'),
    Row('EVL, every layer', B, 'evl_vit-b_k400', options={'model.backbone.blocks': 'all'},
        paper=17.9),
    Row('EVL, every layer', L, 'evl_vit-l_k400', 16, {'model.backbone.blocks': 'all'}, 33.0),
    Row('DiST, 8+16 frames', B, 'dist_vit-b_k400_16f', paper=12.7),
    Row('DiST, 32+64 frames', L, 'dist_vit-l_k400_64f', 4),
    Row('TDS-CLIP 12x320', B, 'tdsclip_vit-b_k400'),
    Row('TDS-CLIP 24x512', L, 'tdsclip_vit-l_k400', 16),
    Row('LoRA', B, 'lora_vit-b_k400'),
    Row('LoRA', L, 'lora_vit-b_k400', 16, LARGE),
    Row('DoRA', B, 'dora_vit-b_k400'),
    Row('LoRA beside ST-Adapter', B, 'lora_vit-b-stadapter_ssv2'),
    Row('attentive probe, one', B, 'probe_vit-b-one_k400'),
    Row('attentive probes, twenty', B, 'probe_vit-b_k400', 4),
    Row('attentive probes, twenty', 'V-JEPA 2 L/16', 'probe_vit-l16-vjepa2_k400_16f', 4),
    Row('linear classifier', B, 'linear_vit-b_k400'),
    Row('linear classifier', L, 'linear_vit-b_k400', 16, LARGE),
    Row('attention pooling', B, 'attnpool_vit-b_k400'),
    Row('prompts', B, 'prompt_vit-b_k400'),
    Row('BitFit', B, 'bitfit_vit-b_k400'),
    Row('last blocks', B, 'partial_vit-b_k400'),
    Row('all weights', B, 'full_vit-b_k400'),
    Row('temporal', B, 'temporal_vit-b_k400'),
    Row('TimeSformer', B, 'timesformer_vit-b_k400'),
    Row('TimeSformer, last blocks', B, 'partial_vit-b-timesformer_k400'),
    Row('XViT', B, 'xvit_vit-b_k400'),
    Row('retrieval: CLIP4Clip, mean', B32, 'clip4clip_vit-b32_msrvtt'),
    Row('retrieval: ST-Adapter', B, 'stadapter_vit-b_msrvtt'),
    Row('retrieval: Side4Video', B, 'side4video_vit-b_msrvtt'),
    Row('retrieval: LoRA', B, 'lora_vit-b_msrvtt'),
    Row('retrieval: TempMe', B32, 'tempme_vit-b32_msrvtt'),
    Row('retrieval: TempMe', B, 'tempme_vit-b_msrvtt'),
]  # fmt: skip
