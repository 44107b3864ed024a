"""Certificates of taoyang1122/adapt-image-models: AIMViT with VideoHead."""

from functools import partial

from einops import rearrange
from torch import Tensor, nn

from ..models import VideoHead
from ..models.backbones import AIMViT
from ..weights import SOURCES
from .case import ModelCase
from .imagenet import imagenet_trunk
from .recording import recorded
from .st_adapter import clip_trunk

FIRST = 'blocks.0.MLP_Adapter.D_fc1.weight'


class AIMCase(ModelCase):
    """A case on CLIP's trunk or on an ImageNet transformer."""

    def __init__(self, info: dict, tensors: dict[str, Tensor]) -> None:
        c = info['constructor']
        imagenet = 'embed_dim' in c
        super().__init__(info, tensors, SOURCES['aim-imagenet' if imagenet else 'aim'])
        dims = c['embed_dim'] if imagenet else c['width']
        inside = next(
            len(tensors[n]) for n in tensors if n.startswith('param/') and n.endswith(FIRST)
        )
        backbone = AIMViT(
            trunk=imagenet_trunk(c) if imagenet else clip_trunk(c, tune='after_blocks'),
            num_frames=c['num_frames'],
            ratio=(inside + 0.5) / dims,  # a constant of the code, so not in the constructor
            scale=c.get('adapter_scale', 0.5),
            time_in=c.get('num_tadapter', 1) == 2,
            drop_path_over='frame' if imagenet else 'place',
        )
        head = VideoHead(dims, info['num_classes'], dropout_ratio=0.0)
        self.model = nn.ModuleDict(dict(backbone=backbone, cls_head=head))

    def forward(self) -> Tensor:
        """(B, num_classes)."""
        return self.model['cls_head'](self.model['backbone'](self.tensors['input'].float()))

    def activations(self) -> dict[str, Tensor]:
        """What the adapters give, the stream between, blocks and the last norm."""
        model, layers = self.model['backbone'], {}
        for i in range(len(model.trunk.blocks)):
            layers[f'block{i}.temporal'] = model.time_out[i]
            layers[f'block{i}.spatial'] = model.space_out[i]
            layers[f'block{i}.joint_unscaled'] = model.beside_mlp[i].fc2
        with recorded(layers) as found:
            steps = dict(model.trace(self.tensors['input'].float()))
        named = {name: out[0] for name, out in found.items()}
        places = partial(rearrange, pattern='(b n) t d -> (b t) n d', b=self.info['B'])
        named |= {n: places(x) for n, x in named.items() if n.endswith('.temporal')}
        for name, x in steps.items():
            middle = name.replace('.space', '.mid')
            named[f'block{middle}' if middle[0].isdigit() else name] = x
        return named | last_norm(model.trunk, steps, self.info['T'])


def last_norm(trunk: nn.Module, steps: dict[str, Tensor], num_frames: int) -> dict[str, Tensor]:
    """The frames' class tokens after the last norm, (B, T, D)."""
    frames = trunk.final_norm(trunk.readout(steps[str(len(trunk.blocks) - 1)]))
    return dict(ln_post=rearrange(frames, '(b t) d -> b t d', t=num_frames))
