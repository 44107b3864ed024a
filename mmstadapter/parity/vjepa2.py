"""Certificates of facebookresearch/vjepa2: an attentive probe on the tokens of some encoder."""

from torch import Tensor, nn

from ..models import VideoHead
from ..models.backbones.attentive_pooler import AttentivePooler
from ..weights import SOURCES
from .case import ModelCase
from .recording import recorded


class ProbeCase(ModelCase):
    """A case of ``AttentiveClassifier``; its input are the tokens of an encoder."""

    def __init__(self, info: dict, tensors: dict[str, Tensor]) -> None:
        super().__init__(info, tensors, SOURCES['vjepa2-probe'])
        c = info['constructor']
        dims = c['embed_dim']
        self.probe = AttentivePooler(
            dims,
            depth=c.get('depth', 1),
            num_heads=c.get('num_heads', 12),
            mlp_ratio=c.get('mlp_ratio', 4.0),
            complete_block=c.get('complete_block', True),
        )
        backbone = nn.ModuleDict(dict(probes=nn.ModuleList([self.probe])))
        self.head = VideoHead(dims, info['num_classes'], dropout_ratio=0.0, init_std=None)
        self.model = nn.ModuleDict(dict(backbone=backbone, cls_head=self.head))

    def forward(self) -> Tensor:
        """(B, num_classes)."""
        return self.head(self.probe(self.tensors['input'].float())[:, 0])

    def activations(self) -> dict[str, Tensor]:
        """The blocks, what the query reads, and what the classifier is given."""
        layers = {f'block{i}': block for i, block in enumerate(self.probe.blocks)}
        layers['cross'] = getattr(self.probe.pool, 'attn', self.probe.pool)
        with recorded(layers) as found:
            pooled = self.probe(self.tensors['input'].float())
        return {name: out[0] for name, out in found.items()} | dict(pooled=pooled)
