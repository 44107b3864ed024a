"""Cases of the text side: the tokenizer, CLIP's text tower and EVA-CLIP's."""

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from ..models.text_towers import CLIPText, CLIPTokenizer, EVAText, clip_tokenizer, text_mask
from ..weights import SOURCES
from .case import Line, compare, compare_statistics


class TokenizerCase:
    """Captions to pieces, rows and masks.

    Args:
        info: the case's description, from its json, with the captions and their pieces.
        tensors: the rows: ``ids<n>`` and ``mask<n>`` for context length n.
    """

    def __init__(self, info: dict, tensors: dict[str, Tensor]) -> None:
        self.info, self.tensors = info, tensors

    def lines(self) -> Iterator[Line]:
        """Every comparison of the case; all must be exact."""
        yield from self._vocabulary_lines()
        captions, tokenizer = self.info['captions'], CLIPTokenizer()
        odd = [
            caption
            for caption, pieces in zip(captions, self.info['tokens_raw'], strict=True)
            if tokenizer.pieces(caption) != pieces
        ]
        yield Line('pieces: captions that differ', float(len(odd)), 0.0)
        for key in sorted(k for k in self.tensors if k.startswith(('ids', 'mask'))):
            ids = CLIPTokenizer(int(key.lstrip('idsmak')))(captions)
            ours = text_mask(ids).long() if key.startswith('mask') else ids
            yield compare(key, 'weights', ours, self.tensors[key])
        for key in sorted(k for k in self.tensors if k.startswith('segment')):
            others = self.tensors[key].count_nonzero().item()  # we have no segments
            yield Line(f'{key}: other values than zero', float(others), 0.0)

    def _vocabulary_lines(self) -> Iterator[Line]:
        """The vocabulary file and the ids of its ends."""
        digest = hashlib.sha256(clip_tokenizer.VOCABULARY.read_bytes()).hexdigest()
        yield Line('vocabulary: another file', float(digest != self.info['bpe_sha256']), 0.0)
        ours = CLIPTokenizer.vocab_size, CLIPTokenizer.start, CLIPTokenizer.end
        theirs = tuple(self.info[name] for name in ('vocab_size', 'sot', 'eot'))
        yield Line('ids of start and end, size: unequal', float(ours != theirs), 0.0)


class CLIPTextCase:
    """CLIP's text tower: tokens, sentences, steps between, loss and gradients.

    Args:
        info: the case's description, from its json.
        tensors: official parameters, ids and numbers.
    """

    source = SOURCES['openai-clip-text']
    tower: type[CLIPText] = CLIPText
    sizes = dict(
        vocab_size='vocab_size',
        context_length='context_length',
        embed_dims='transformer_width',
        num_layers='transformer_layers',
        num_heads='transformer_heads',
        output_dims='embed_dim',
    )

    def __init__(self, info: dict, tensors: dict[str, Tensor]) -> None:
        self.info, self.tensors = info, tensors
        arch = {ours: info['constructor'][theirs] for ours, theirs in self.sizes.items()}
        self.model = self.tower(arch).to(tensors['ids'].device)

    def lines(self) -> Iterator[Line]:
        """Every comparison of the case."""
        yield self._weights_line()
        yield from self._activation_lines()
        sentences, words = self.model(self.tensors['ids'])
        yield compare('hidden', 'logits', words, self.tensors['hidden'])
        yield compare('pooled', 'logits', sentences, self.tensors['pooled'])
        loss = (words * self.tensors['loss_weight_hidden'].float()).sum()
        loss = loss + (sentences * self.tensors['loss_weight_pooled'].float()).sum()
        yield compare('loss', 'loss', loss, self.tensors['loss'])
        yield from self._end_lines()
        loss.backward()
        yield from self._gradient_lines()

    def _weights_line(self) -> Line:
        """The official state dict into the model and back, bit for bit."""
        official = {k[6:]: v.float() for k, v in self.tensors.items() if k.startswith('param/')}
        self.model.load_state_dict(self.source.to_ours(official), strict=True)
        back = self.source.from_ours(self.model.state_dict())
        unequal = [k for k in self.source.known(official) if not torch.equal(back[k], official[k])]
        return Line('weights, there and back: unequal tensors', float(len(unequal)), 0.0)

    def _end_lines(self) -> Iterator[Line]:
        """Where sentences are read, and what belongs to them; exact."""
        ids = self.tensors['ids']
        for name, ours in (('mask', text_mask(ids).long()), ('eot_index', ids.argmax(dim=-1))):
            if name in self.tensors:
                yield compare(name, 'weights', ours, self.tensors[name])

    @torch.no_grad()
    def _activation_lines(self) -> Iterator[Line]:
        """Steps between, which the official code has token-first up to the last norm."""
        x = self.model.embed(self.tensors['ids'])
        steps = {'embed': x.transpose(0, 1)}
        for i, block in enumerate(self.model.transformer.resblocks):
            x = block(x)
            steps[f'block{i}'] = x.transpose(0, 1)
        steps['ln_final'] = self.model.ln_final(x)
        for key in sorted(k for k in self.tensors if k.startswith('act/')):
            yield compare(key, 'act', steps[key.removeprefix('act/')], self.tensors[key])

    def _gradient_lines(self) -> Iterator[Line]:
        grads = self.source.from_ours({n: p.grad for n, p in self.model.named_parameters()})
        strides = self.info['grad_row_stride']
        for key in sorted(k for k in self.tensors if k.startswith('grad/')):
            name = key.removeprefix('grad/')
            yield compare(key, 'grad', grads[name][:: strides.get(name, 1)], self.tensors[key])
        for name, stat in self.info['gradstat'].items():
            yield from compare_statistics(f'gradstat/{name}', grads[name], stat)


class EVATextCase(CLIPTextCase):
    """EVA-CLIP's text tower."""

    source = SOURCES['eva-clip-text']
    tower = EVAText
    sizes = dict(
        vocab_size='vocab_size',
        context_length='context_length',
        embed_dims='width',
        num_layers='layers',
        num_heads='heads',
        output_dims='output_dim',
    )
