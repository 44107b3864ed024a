"""A trained model as one file that runs without us: ONNX, or PyTorch's own archive, pt2."""

from .write import Exported, export

__all__ = ['Exported', 'export']
