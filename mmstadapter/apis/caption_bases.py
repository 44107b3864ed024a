"""The retrieval config that a recipe for captions inherits: by method and trunk, or by name."""

from dataclasses import dataclass, field
from typing import Any, Self

from .bases import Base

OF_CLIP = ('vit-b-p16', 'vit-b-p32', 'vit-l-p14')
# method -> arch -> config to inherit
METHODS = {
    'stadapter': dict.fromkeys(OF_CLIP, 'stadapter_vit-b_msrvtt.py'),
    'side4video': dict.fromkeys(OF_CLIP, 'side4video_vit-b_msrvtt.py'),
    'clip4clip': dict.fromkeys(OF_CLIP, 'clip4clip_vit-b_msrvtt.py'),
    'tempme': dict.fromkeys(('vit-b-p16', 'vit-b-p32'), 'tempme_vit-b32_msrvtt.py'),
    'lora': dict.fromkeys(OF_CLIP, 'lora_vit-b_msrvtt.py'),
    'dora': dict.fromkeys(OF_CLIP, 'dora_vit-b_msrvtt.py'),
}
TEXT_ARCHS = {'vit-l-p14': ('clip-l', 768)}  # and width of the joint space
B_TEXT = ('clip-b', 512)


@dataclass
class CaptionBase(Base):
    """A retrieval config to inherit and what to change of its model.

    Attributes:
        tower: fields of ``model.text_tower`` to change.
        similarity: fields of ``model.similarity`` to change.
    """

    METHODS = METHODS
    tower: dict[str, Any] = field(default_factory=dict)
    similarity: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def choose(
        cls,
        arch: str | None = None,
        method: str | None = None,
        checkpoint: str | None = None,
        base: str | None = None,
    ) -> Self:
        """As `Base.choose`; a text tower that reads the trunk's file reads the new one too."""
        chosen = super().choose(arch, method, checkpoint, base)
        model = chosen.config.model
        own = model.backbone.get('trunk', {}).get('checkpoint')
        if 'checkpoint' in chosen.trunk and model.text_tower.get('checkpoint') == own:
            chosen.tower['checkpoint'] = chosen.trunk['checkpoint']
        return chosen

    def _fit_width(self, method: str, arch: str) -> None:
        """Let text tower and similarity have the width of the trunk's joint space."""
        name, width = TEXT_ARCHS.get(arch, B_TEXT)
        self.tower = dict(arch=name)
        if 'embed_dims' in self.config.model.similarity:
            self.similarity = dict(embed_dims=width)

    def _check(self) -> None:
        if 'text_tower' not in self.config.get('model', {}):
            raise ValueError(
                f'mmstadapter fit: {self.name} has no model.text_tower, so it is no recipe for '
                'captions. Take one of `mmstadapter configs` for text-video retrieval, such as '
                'stadapter_vit-b_msrvtt.py.'
            )
