"""The text transformer of PE-Core as a text tower."""

from mmaction.registry import MODELS

from .clip_text import CLIPText

SMALL = dict(embed_dims=512, num_layers=12, num_heads=8, output_dims=512, context_length=32)
LARGE = dict(embed_dims=1024, num_layers=24, num_heads=16, output_dims=1024, context_length=32)
ARCHS: dict[str, dict] = {
    'pe-core-t': SMALL,
    'pe-core-s': SMALL,
    'pe-core-b': LARGE,
    'pe-core-l': LARGE,
    'pe-core-g': LARGE | dict(embed_dims=1280, num_heads=20, output_dims=1280, context_length=72),
}


@MODELS.register_module()
class PEText(CLIPText):
    """PE-Core's text encoder (Bolya et al., 2025): CLIP's with the exact (erf) GELU.

    It reads captions as CLIP does, with CLIP's vocabulary, in at most 32 tokens (72 in the
    largest model).

    Args:
        arch: ``'pe-core-t'``, ``'-s'``, ``'-b'``, ``'-l'``, ``'-g'``, or a dict as in `CLIPText`.
        checkpoint: path of a PE-Core file, the authors' or open_clip's; the trunk's will do.
        tune, dtype, lora: see `CLIPText`.
    """

    archs = ARCHS

    def __init__(
        self,
        arch: str | dict = 'pe-core-b',
        checkpoint: str | None = None,
        tune: str = 'all',
        dtype: str | None = None,
        lora: dict | None = None,
    ) -> None:
        super().__init__(arch, checkpoint, tune, dtype, activation='gelu', lora=lora)
