"""The config that a recipe inherits: by method and trunk, or any recognition config by name."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Self

from mmengine.config import Config

from .. import shipped
from ..weights.fetch import KNOWN, cache_dir, is_source, locate

# arch -> known name of the weights, width, most clips a step that 16 GB take
ARCHS = {
    'vit-b-p16': ('openai/ViT-B-16', 768, 32),
    'vit-b-p32': ('openai/ViT-B-32', 768, 32),
    'vit-l-p14': ('openai/ViT-L-14', 1024, 8),
    'vit-l-p14-336': ('openai/ViT-L-14-336', 1024, 4),
}
# method -> arch -> config to inherit
METHODS = {
    'stadapter': {
        'vit-b-p16': 'stadapter_vit-b_k400.py',
        'vit-b-p32': 'stadapter_vit-b_k400.py',
        'vit-l-p14': 'stadapter_vit-l_k400.py',
        'vit-l-p14-336': 'stadapter_vit-l336_k400.py',
    },
    'side4video': {
        'vit-b-p16': 'side4video_vit-b_k400.py',
        'vit-b-p32': 'side4video_vit-b32_k400.py',
        'vit-l-p14': 'side4video_vit-l_k400.py',
    },
    'tdsclip': {
        'vit-b-p16': 'tdsclip_vit-b_k400.py',
        'vit-b-p32': 'tdsclip_vit-b_k400.py',
        'vit-l-p14': 'tdsclip_vit-l_k400.py',
    },
    'aim': {
        'vit-b-p16': 'aim_vit-b_k400.py',
        'vit-b-p32': 'aim_vit-b_k400.py',
        'vit-l-p14': 'aim_vit-l_k400.py',
    },
    'zeroi2v': {
        'vit-b-p16': 'zeroi2v_vit-b_k400.py',
        'vit-b-p32': 'zeroi2v_vit-b_k400.py',
        'vit-l-p14': 'zeroi2v_vit-l_k400.py',
    },
    'evl': {
        'vit-b-p16': 'evl_vit-b_k400.py',
        'vit-b-p32': 'evl_vit-b_k400.py',
        'vit-l-p14': 'evl_vit-l_k400.py',
    },
    'dist': {'vit-b-p16': 'dist_vit-b_k400_16f.py'},  # and its text tower
    'probe': dict.fromkeys(('vit-b-p16', 'vit-b-p32', 'vit-l-p14'), 'probe_vit-b-one_k400.py'),
    'linear': dict.fromkeys(('vit-b-p16', 'vit-b-p32', 'vit-l-p14'), 'linear_vit-b_k400.py'),
    'attnpool': dict.fromkeys(('vit-b-p16', 'vit-b-p32', 'vit-l-p14'), 'attnpool_vit-b_k400.py'),
    'lora': dict.fromkeys(('vit-b-p16', 'vit-b-p32', 'vit-l-p14'), 'lora_vit-b_k400.py'),
    'dora': dict.fromkeys(('vit-b-p16', 'vit-b-p32', 'vit-l-p14'), 'dora_vit-b_k400.py'),
}
MEAN_OF_FRAMES = (
    'linear',
    'attnpool',
    'probe',
    'lora',
    'dora',
)  # one config for trunks of any width
DEFAULT_ARCH, DEFAULT_METHOD, MAX_BATCH = 'vit-b-p16', 'stadapter', 32


@dataclass
class Base:
    """A config to inherit and what to change of its model.

    Attributes:
        name: path or shipped name, as ``_base_`` takes it.
        config: the same, read.
        max_batch: most clips a step.
        trunk: fields of ``model.backbone.trunk`` to change.
        head: fields of ``model.cls_head`` to change.
        notes: a sentence for each thing that is left out of it.
    """

    METHODS: ClassVar[Mapping[str, Mapping[str, str]]] = METHODS
    name: str
    config: Config
    max_batch: int = MAX_BATCH
    trunk: dict[str, Any] = field(default_factory=dict)
    head: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def choose(
        cls,
        arch: str | None = None,
        method: str | None = None,
        checkpoint: str | None = None,
        base: str | None = None,
    ) -> Self:
        """The config for a method and a trunk, or the one named.

        Args:
            arch: a key of ``ARCHS``; ``'vit-b-p16'`` if None.
            method: a key of ``METHODS``; ``'stadapter'`` if None.
            checkpoint: the trunk's weights instead of those of ``arch`` or ``base``.
            base: path or shipped name of a config, instead of ``arch`` and ``method``.

        Raises:
            ValueError: options that do not go together, or no config for recognition.
            FileNotFoundError: no such config, or weights it starts from that are not there.
        """
        if checkpoint and (path := Path(checkpoint).expanduser()).exists():
            checkpoint = str(path.absolute())  # links are kept: a name may tell what a file is
        changed = dict(checkpoint=checkpoint) if checkpoint else {}
        if base is None:
            return cls._by_method(arch or DEFAULT_ARCH, method or DEFAULT_METHOD, changed)
        if arch is not None or method is not None:
            option = '--method' if arch is None else '--arch'
            raise ValueError(f'mmstadapter fit: {option} chooses a base config; give one of both.')
        is_path = not base.startswith(shipped.PREFIX)
        name = str(Path(shipped.find_config(base)).resolve()) if is_path else base
        chosen = cls(name, _read(name), trunk=changed)
        chosen._check()
        chosen._check_data()
        return chosen

    @classmethod
    def _by_method(cls, arch: str, method: str, changed: dict[str, Any]) -> Self:
        for option, value, known in (('arch', arch, ARCHS), ('method', method, cls.METHODS)):
            if value not in known:
                raise ValueError(
                    f'mmstadapter fit: {option} must be one of {list(known)}, got {value!r}.'
                )
        if arch not in cls.METHODS[method]:
            raise ValueError(
                f'mmstadapter fit: no {method} for {arch}, only for '
                f'{", ".join(cls.METHODS[method])}. Choose another --arch or --method.'
            )
        weights, _, max_batch = ARCHS[arch]
        name = shipped.PREFIX + cls.METHODS[method][arch]
        trunk = dict(arch=arch, checkpoint=weights) | changed
        chosen = cls(name, _read(name), max_batch, trunk)
        chosen._fit_width(method, arch)
        return chosen

    def _fit_width(self, method: str, arch: str) -> None:
        """Let the classifier read what the trunk gives."""
        if method in MEAN_OF_FRAMES:
            self.head = dict(in_channels=ARCHS[arch][1])

    def _check(self) -> None:
        config = self.config
        if 'cls_head' not in config.get('model', {}):
            raise ValueError(
                f'mmstadapter fit: {self.name} has no model.cls_head, so it is no recipe for '
                'classes. Take one of `mmstadapter configs` that is none for captions.'
            )
        if config.model.cls_head.get('base_classes') is not None:
            raise ValueError(
                f'mmstadapter fit: {self.name} trains on some of the classes and tests on others. '
                'Inherit a recipe for all classes.'
            )
        if 'lrs' in config.model.cls_head:
            raise ValueError(
                f'mmstadapter fit: {self.name} trains several probes at rates of their own, '
                'none of which is the classifier. Take --method probe, which trains one.'
            )
        if str(config.model.get('type')).endswith('SweepRecognizer'):
            raise ValueError(
                f'mmstadapter fit: {self.name} trains a grid of models, none of which is the '
                'classifier. Take a --method, which trains one.'
            )

    def _check_data(self) -> None:
        config = self.config
        for loader in ('train_dataloader', 'test_dataloader'):
            if 'pipeline' not in (config.get(loader) or {}).get('dataset', {}):
                raise ValueError(
                    f'mmstadapter fit: {self.name} has no {loader}.dataset.pipeline to take the '
                    'steps from. Inherit one of `mmstadapter configs`, or name the steps there.'
                )
        start = config.get('load_from')
        if start is None or '://' in start or Path(start).is_file():
            return
        if not self._is_shipped():
            raise FileNotFoundError(
                f'mmstadapter fit: {self.name} starts from {start}, which is not there. Correct '
                'its load_from, or set it to None.'
            )
        self.notes.append(f'starts from the image model: {start}, where the base starts, is absent')

    def require_weights(self, options: dict[str, Any], fetch: bool) -> None:
        """Refuse a trunk whose weights are not there, before any video is opened.

        Args:
            options: settings that change the config, dotted.
            fetch: download a known file now.

        Raises:
            FileNotFoundError: neither a file nor a known name.
            RuntimeError: a known file that cannot be fetched.
        """
        own = self.config.model.backbone.get('trunk', {}).get('checkpoint')
        name = self.trunk.get('checkpoint', own)
        name = options.get('model.backbone.trunk.checkpoint', name)
        if name is None or '://' in str(name) or (name is own and not fetch):
            return  # what a base names is missed when it is needed
        if fetch or not is_source(name):
            locate(name)

    def model(self, options: dict[str, Any]) -> Config:
        """Its model, as changed by these and by dotted settings."""
        config = copy.deepcopy(self.config)
        config.merge_from_dict(dict(model=dict(backbone=dict(trunk=self.trunk))))
        config.merge_from_dict(options)
        return config.model

    def require_libraries(self) -> None:
        """Refuse LoRA without peft before any video is opened.

        Raises:
            RuntimeError: with the way to install it.
        """
        if self.config.model.backbone.get('trunk', {}).get('lora') and find_spec('peft') is None:
            raise RuntimeError(
                f'mmstadapter fit: {self.name} has LoRA in its trunk, for which peft is needed. '
                "Install it with pip install 'mmstadapter[peft]', or choose another --method."
            )

    def _is_shipped(self) -> bool:
        return self.name.startswith(shipped.PREFIX) or (
            Path(self.name).parent == (shipped.root() / 'configs').resolve()
        )


def _read(name: str) -> Config:
    return Config.fromfile(shipped.config(name) if name.startswith(shipped.PREFIX) else name)


def at_hand(checkpoint: str | None) -> bool:
    """Whether weights can be read without a download; random ones can."""
    if checkpoint is None:
        return True
    if checkpoint in KNOWN:
        return (cache_dir() / KNOWN[checkpoint].url.rsplit('/', 1)[-1]).is_file()
    return Path(checkpoint).expanduser().exists()
