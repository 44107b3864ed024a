"""Encoders that read their own pretrained file, freeze themselves and identify themselves."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmstadapter import weights

from . import lora as low_rank
from . import quantizing


class Pretrained(BaseModule):
    """A pretrained image or text encoder, whose frozen part need not be in a checkpoint.

    A subclass builds its modules, says in `chosen_parameters` what ``tune`` trains, reads
    its pretrained file in `read_pretrained`, and calls `freeze` at the end of its
    constructor.

    Args:
        checkpoint: path or known name of the pretrained file. It is read when the
            runner initialises weights or when a tuned-only checkpoint is loaded,
            never in the constructor.
        tune: which pretrained parameters are trained; the subclass has the choices.
        dtype: storage type of the frozen parameters, e.g. ``'float16'``; tuned
            ones stay float32. ``None`` stores float32.
        lora: trains low-rank maps beside the linear maps of the blocks, whatever ``tune``
            says of the rest: a dict of `lora.OPTIONS`, see `lora.insert`.
        quantize: how the frozen linear maps are stored, one of `quantizing.FORMS`: ``'int8'``,
            a scale a row; ``'nf4'``, four bits; ``'float8'``, on Hopper. They are rounded when
            the pretrained file has been read. ``None``: as ``dtype`` says.
    """

    role = 'encoder'  # what messages call it
    setting = 'model'  # where a config has it

    def __init__(
        self,
        checkpoint: str | None = None,
        tune: str = 'none',
        dtype: str | None = None,
        lora: dict | None = None,
        quantize: str | None = None,
    ) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.tune = tune
        self.dtype = dtype
        self.lora = lora
        self.quantize = quantizing.check_form(quantize, lora, type(self).__name__)
        self.source: str | None = None  # None (random), 'pretrained' or 'state_dict'
        self.fingerprint: Tensor | None = None
        self._register_state_dict_hook(low_rank.keep_names)
        self._register_state_dict_hook(quantizing.write_in_full)
        self.register_load_state_dict_post_hook(_quantize_again)

    def read_pretrained(self, checkpoint: str) -> Mapping[str, Tensor]:
        """Tensors of the pretrained file under this encoder's names."""
        raise TypeError(f'{type(self).__name__} must provide `read_pretrained`.')

    def fit_pretrained(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The same tensors fitted to this encoder's input size and parts."""
        return tensors

    def chosen_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that ``tune`` trains."""
        raise TypeError(f'{type(self).__name__} must provide `chosen_parameters`.')

    # --------------------------------------------------------------- freezing

    def freeze(self) -> None:
        """Apply ``tune`` and ``dtype``; called once, at the end of a constructor.

        A parameter built on the meta device gets its memory here, in the type it is kept in
        and without values: for encoders of which there must never be a second copy.
        """
        tuned = {id(p) for p in self.chosen_parameters()}
        kept = None if self.dtype is None else _floating_type(self.dtype)
        for module in self.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                is_tuned = id(parameter) in tuned
                dtype = parameter.dtype if kept is None or is_tuned else kept
                if parameter.is_meta:
                    parameter = nn.Parameter(torch.empty(parameter.shape, dtype=dtype))
                    setattr(module, name, parameter)
                parameter.data = parameter.data.to(dtype)
                parameter.requires_grad_(is_tuned)
        if self.lora is not None:
            low_rank.insert(self, self.lora)
        if self.quantize is not None:
            quantizing.require_frozen(self, self.tune)
        self.train(self.training)

    def train(self, mode: bool = True) -> 'Pretrained':
        """Stay in eval mode while frozen, whatever the mode asked for."""
        super().train(mode and self.tune != 'none')
        for dropout in low_rank.dropouts(self):
            dropout.train(mode)
        return self

    # ---------------------------------------------------------------- weights

    def init_weights(self) -> None:
        """Read the pretrained file, if one is named; a random encoder stays as built."""
        if self.checkpoint is not None and self.source is None:
            self.load_pretrained()
        quantizing.quantize(self, self.quantize)

    @torch.no_grad()
    def load_pretrained(self) -> None:
        """Fill every tensor from ``checkpoint``, strictly."""
        quantizing.require_device(self.quantize, next(self.parameters()).device)
        quantizing.make_all_plain(self)
        tensors = self.read_pretrained(self.checkpoint)
        fitted = self.fit_pretrained(tensors)
        own = self._own_parameters() | self._saved_buffers()
        _check_names_and_shapes(self, own, fitted)
        identity = weights.Fingerprint()
        for name in sorted(tensors.keys() | own.keys()):  # one at a time, for the memory's sake
            if name in tensors:
                tensor = tensors[name]
                weights.require_numbers({name: tensor}, self.checkpoint)
                identity.add(name, tensor)
                del tensor  # before the fitted one is made
            if name in own:
                own[name].copy_(fitted[name])
        low_rank.take_lengths(self)
        self.source, self.fingerprint = 'pretrained', identity.result()
        print_log(
            f'{type(self).__name__}: loaded {len(own)} tensors of {self.checkpoint}', 'current'
        )

    def frozen_names(self) -> list[str]:
        """Names of the frozen tensors, relative to the encoder."""
        frozen = [n for n, p in self._own_parameters().items() if not p.requires_grad]
        return frozen + list(self._saved_buffers()) if self.tune == 'none' else frozen

    def _own_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters that the pretrained file has, LoRA's left out."""
        named = self.named_parameters()
        return {low_rank.own_name(n): p for n, p in named if not low_rank.is_added(n)}

    def _saved_buffers(self) -> dict[str, Tensor]:
        """The buffers that a state dict holds; others, such as tables of angles, are computed."""
        saved = self.state_dict().keys()
        return {n: b for n, b in self.named_buffers() if n in saved}

    def frozen_keys(self) -> list[str]:
        """Names of the tensors that the pretrained file can supply again.

        Empty while the encoder is random or its tensors came from elsewhere, so that
        nothing is ever left out of a checkpoint that cannot be restored.
        """
        return self.frozen_names() if self.source == 'pretrained' else []

    def require_weights(self) -> None:
        """Raise if a pretrained file is named and was not read."""
        if self.checkpoint is not None and self.source is None:
            raise RuntimeError(
                f'{type(self).__name__}: the pretrained weights of {self.checkpoint!r} have not '
                'been read, so the features would be random. Call init_weights() on the model or '
                f'load a checkpoint first; set checkpoint=None for a random {self.role}.'
            )

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Accept a tuned-only state dict by filling in the frozen tensors."""
        mark = state_dict.pop(prefix + 'fingerprint', None)
        given = [name for name in state_dict if name.startswith(prefix)]
        if mark is None and given and all(map(low_rank.is_added, given)):  # as peft loads its files
            super()._load_from_state_dict(state_dict, prefix, *args)
            return
        frozen = self.frozen_names()
        absent = [n for n in frozen if prefix + n not in state_dict]
        if absent:
            self._refuse_foreign(state_dict, prefix)
        if frozen and len(absent) == len(frozen):
            self._fill_in(state_dict, prefix, mark)
        elif absent:
            raise RuntimeError(
                f'{_name(self, prefix)}: the checkpoint holds some frozen tensors and lacks '
                f'{len(absent)}: {", ".join(absent[:8])}{" ..." if len(absent) > 8 else ""}. '
                'It must hold all of them or none.'
            )
        elif any(prefix + n in state_dict for n in self._own_parameters()):
            self._note_foreign(state_dict, prefix, frozen)
        low_rank.take_names(self, state_dict, prefix)
        if self.quantize is not None:
            quantizing.make_room(self, state_dict, prefix, self.quantize)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _refuse_foreign(self, state_dict: dict, prefix: str) -> None:
        """Raise if tensors of another kind of encoder are where the frozen ones should be."""
        given = (name.removeprefix(prefix) for name in state_dict if name.startswith(prefix))
        foreign = sorted(set(given) - self.state_dict().keys())
        if foreign:
            raise RuntimeError(
                f'{_name(self, prefix)}: this checkpoint is of another {self.role} than this '
                f'{type(self).__name__}, which has no {", ".join(foreign[:3])} (of '
                f'{len(foreign)} such tensors). Set {self.setting} to the one it was trained with.'
            )

    def _fill_in(self, state_dict: dict, prefix: str, mark: Tensor | None) -> None:
        """Add the frozen tensors of the pretrained file to a tuned-only state dict."""
        name = _name(self, prefix)
        if self.checkpoint is None:
            raise RuntimeError(
                f'{name}: this checkpoint holds tuned weights only and the {self.role} has no '
                f'pretrained file to supply its {len(self.frozen_names())} frozen tensors. Set '
                f'{self.setting}.checkpoint to the file the checkpoint was trained on.'
            )
        if self.source != 'pretrained':
            self.load_pretrained()
        if mark is None:
            print_log(
                f'{name}: the checkpoint does not say which {self.role} it was trained on; '
                f'using {self.checkpoint}.',
                'current',
                level=30,
            )
        elif not torch.equal(mark.cpu(), self.fingerprint):
            raise RuntimeError(
                f'{name}: this checkpoint was trained on another {self.role} (fingerprint '
                f'{_short(mark)}) than {self.checkpoint} ({_short(self.fingerprint)}). '
                f'Set {self.setting}.checkpoint to the file it was trained on.'
            )
        own = self.state_dict()
        state_dict.update({prefix + n: own[n] for n in self.frozen_names()})

    def _note_foreign(self, state_dict: dict, prefix: str, frozen: list[str]) -> None:
        """Remember when frozen tensors come from elsewhere than the pretrained file."""
        own, rounded = self.state_dict(), quantizing.quantized_weights(self)

        def same(name: str) -> bool:
            given = state_dict[prefix + name]
            if name in rounded:
                return quantizing.holds(rounded[name], given, self.quantize)
            return own[name].shape == given.shape and torch.equal(own[name], given.to(own[name]))

        if self.source == 'pretrained' and all(map(same, frozen)):
            return
        self.source, self.fingerprint = 'state_dict', None


def _quantize_again(encoder: Pretrained, _: Any) -> None:
    """Hook after a state dict was loaded: what came with it is in full."""
    quantizing.quantize(encoder, encoder.quantize)


def _name(encoder: Pretrained, prefix: str) -> str:
    """What messages call an encoder: its place in the model, or its class."""
    return prefix.rstrip('.') or type(encoder).__name__


def _floating_type(name: str) -> torch.dtype:
    """'float16' -> torch.float16, for the floating types."""
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(f"dtype must be 'float32', 'float16' or 'bfloat16', got {name!r}.")
    return dtype


def _short(fingerprint: Tensor) -> str:
    return bytes(fingerprint.cpu().tolist()).hex()[:12]


def _check_names_and_shapes(
    encoder: Pretrained, own: Mapping[str, Tensor], given: Mapping[str, Tensor]
) -> None:
    """Raise with both sides' names or shapes when a pretrained file does not fit."""
    who = f'{type(encoder).__name__}: {encoder.checkpoint}'
    missing, surplus = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    if missing or surplus:
        raise RuntimeError(
            f'{who} is not a file of this size: it lacks {missing[:5] or "nothing"} and has '
            f'{surplus[:5] or "nothing"} besides. Check that arch and checkpoint belong together.'
        )
    shapes = ((n, tuple(given[n].shape), tuple(t.shape)) for n, t in own.items())
    wrong = [f'{n}: file {theirs}, model {ours}' for n, theirs, ours in shapes if theirs != ours]
    if wrong:
        raise RuntimeError(
            f'{who} has other sizes than the model ({len(wrong)} tensors): {"; ".join(wrong[:4])}. '
            'Check that arch and checkpoint belong together.'
        )
