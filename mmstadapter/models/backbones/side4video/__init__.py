"""Side4Video: a light spatio-temporal network beside a frozen image transformer.

Yao et al., "Side4Video: Spatial-Temporal Side Network for Memory-Efficient Image-to-Video
Transfer Learning", arXiv 2311.15769. Operators, block and network as in its section 3; options
and initial values in a file of their own.
"""

from .block import SideBlock
from .network import Side4VideoViT, SideNetwork

__all__ = ['Side4VideoViT', 'SideBlock', 'SideNetwork']
