"""Official TempMe: CLIP for retrieval, what is trained named TVPt."""

from dataclasses import dataclass

from torch import Tensor

from ..clip_names import BLOCK, TRUNK_NAMES, same
from ..tables import Rule
from .clip4clip import retriever, text_rules


@dataclass(frozen=True)
class ClipRule(Rule):
    """A table of clips (f, D), which is (1, f, 1, D) elsewhere."""

    def join(self, parts: list[Tensor]) -> Tensor:
        """(1, f, 1, D) -> (f, D)."""
        (table,) = parts
        if table.ndim != 4 or table.shape[0] != 1 or table.shape[2] != 1:
            raise ValueError(
                f'{self.theirs[0]}: positions of clips must be (1, clips, 1, width), got '
                f'{tuple(table.shape)}. The file is damaged, or of another model.'
            )
        return table[0, :, 0]

    def split(self, whole: Tensor) -> list[Tensor]:
        """(f, D) -> (1, f, 1, D)."""
        return [whole[None, :, None]]


def low_rank_rules(tower: str, theirs: str) -> tuple[Rule, ...]:
    """A and B beside a tower's attentions."""
    ours, theirs = f'{tower}.low_rank.{{}}.', f'{theirs}{BLOCK}attn.TVPt_LoRA_'
    return tuple(Rule(f'{ours}{x}.weight', (theirs + x,)) for x in 'ab')


VISUAL = 'clip.visual.'
SOURCES = (
    retriever(
        'tempme',
        *same((*TRUNK_NAMES, 'proj'), 'backbone.trunk.', VISUAL),
        *low_rank_rules('backbone', VISUAL),
        ClipRule('backbone.clip_embed.{}', (f'{VISUAL}{BLOCK}TVPt_Video_Positional_embedding',)),
        *text_rules('clip.'),
        *low_rank_rules('text_tower', 'clip.'),
    ),
)
