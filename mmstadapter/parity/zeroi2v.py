"""Certificates of MCG-NJU/ZeroI2V: ZeroI2VViT with VideoHead, before and after merging."""

from collections.abc import Iterator

from torch import Tensor, nn

from ..models import VideoHead
from ..models.backbones import ZeroI2VViT
from ..models.merging import merged
from ..weights import SOURCES
from ..weights.sources.zeroi2v import ADAPTERS
from .aim import last_norm
from .case import Line, ModelCase, compare
from .recording import recorded
from .st_adapter import clip_trunk

OPS = dict(stdha='channels', tcs='each_head', token_shift='class_token')


class ZeroI2VCase(ModelCase):
    """A case of any of the three released backbones."""

    def __init__(self, info: dict, tensors: dict[str, Tensor]) -> None:
        super().__init__(info, tensors, SOURCES['zeroi2v'])
        c = info['constructor']
        options = c.get('stdha_cfg', {})
        over = OPS[options.get('ops_type') or 'stdha']
        width = c['width'] // (c['heads'] if over == 'each_head' else 1)
        pairs = shifts_of(options, long=info['task'].endswith('_long'))
        backbone = ZeroI2VViT(
            trunk=clip_trunk(c, tune='after_blocks'),
            num_frames=c['num_frames'],
            ratio=c.get('mlp_ratio', 0.25),
            shifts=in_width(pairs, width, c['width']),
            shift_over=over,
            adapters=adapters_of(c),
            scale=c.get('adapter_scale', 0.5),
            dropout=0.0,
            activation='gelu' if c.get('adapter_type') == 'gelu' else 'none',
        )
        head = VideoHead(c['width'], info['num_classes'], dropout_ratio=0.0)
        self.model = nn.ModuleDict(dict(backbone=backbone, cls_head=head))

    def forward(self) -> Tensor:
        """(B, num_classes)."""
        return self.model['cls_head'](self.model['backbone'](self.tensors['input'].float()))

    def comparisons(self) -> Iterator[Line]:
        """All of `ModelCase`, then the weights and the logits after merging."""
        yield from super().comparisons()
        changed = [key for key in self.tensors if key.startswith('merged/param/')]
        if changed:
            self.load()
            parts = dict(self.model)
            self.model = nn.ModuleDict(parts | dict(backbone=merged(parts['backbone']))).eval()
            state = self.theirs(self.model.state_dict())
            for key in sorted(changed):
                yield compare(
                    key, 'act', state[key.removeprefix('merged/param/')], self.tensors[key]
                )
            yield compare('merged/logits', 'logits', self.forward(), self.tensors['merged/logits'])

    def activations(self) -> dict[str, Tensor]:
        """Adapters, shifted keys and values, attention, blocks and the last norm."""
        model = self.model['backbone']
        layers = dict(shift=model.shift)
        for i, block in enumerate(model.trunk.blocks):
            layers[f'block{i}.attn'] = block.attn
            for ours, theirs in ADAPTERS.items():
                adapter = model.adapter(ours.removesuffix('.{}'), i)
                layers |= {} if adapter is None else {f'block{i}.{theirs}': adapter}
            for x, adapter in (model.adapter('attn_qkv', i) or {}).items():
                layers[f'block{i}.T_Adapter_in_{x}'] = adapter
        with recorded(layers) as found:
            steps = dict(model.trace(self.tensors['input'].float()))
        keys, values, *_ = found.pop('shift')
        named = {f'block{n}' if n.isdigit() else n: x for n, x in steps.items()}
        shifted = {'block0.k_shifted': keys, 'block0.v_shifted': values}
        first = {name: out[0] for name, out in found.items()}
        return named | shifted | first | last_norm(model.trunk, steps, self.info['T'])


def adapters_of(constructor: dict) -> list[str]:
    """Our names of the adapters that a released constructor makes."""
    number = constructor.get('num_tadapter', 1)
    apart = constructor.get('attn_adapter_type', 'share') == 'qkv'
    names = ['attn_qkv' if apart else 'attn_in', 'mlp_in']
    return names + ['attn_out'] * (number != -1) + ['mlp_out'] * (number == 2)


def shifts_of(options: dict, long: bool) -> list[tuple[int, int]]:
    """Pairs (offset, div) in the order of the released folds."""
    if not long:
        near, far = options.get('shift_stride', 1), options.get('long_shift_div', -1)
        if options.get('ops_type') == 'token_shift':  # which knows neither
            near, far = 1, -1
        pairs = [(-near, options.get('shift_div', 12)), (near, options.get('shift_div', 12))]
        pairs += [(-2, far)] * (far > 0)
        return pairs + [(2, far)] * (far > 0 and bool(options.get('long_shift_right')))
    first = options.get('shift1_div', 12)
    pairs = [(-1, first), (1, first)]
    for k in (2, 3, 4):
        div, right = options.get(f'shift{k}_div', -1), options.get(f'shift{k}_right', k == 2)
        pairs += ([(-k, div)] + [(k, div)] * bool(right)) if div > 0 else []
    return pairs


def in_width(pairs: list[tuple[int, int]], width: int, embed_dims: int) -> list[tuple[int, float]]:
    """The pairs with the released numbers of channels out of a width, D or a head's.

    Inside a head the first two are parts of the head, the others of D; all are cut at the end.
    """
    left, fitted = width, []
    for i, (offset, div) in enumerate(pairs):
        fold = min((width if i < 2 else embed_dims) // div, left)
        left -= fold
        if fold:
            fitted.append((offset, max(1.0, width / (fold + 0.5))))  # rounded down, the fold
    return fitted
