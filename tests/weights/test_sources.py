"""The tables rename everything, there and back, or say what they do not know."""

import sys

import pytest
import torch
from torch.testing import assert_close

from mmstadapter.weights import SOURCES, from_ours, sources, to_ours


def same(actual, expected):
    assert_close(dict(sorted(actual.items())), dict(sorted(expected.items())), rtol=0, atol=0)


class TestClipFiles:
    def test_give_the_trunk(self, clip_file, trunk):
        source, theirs = clip_file
        ours = to_ours(source, theirs)
        same(ours, {name: tensor for name, tensor in trunk.items() if name in ours})
        assert trunk.keys() - ours.keys() <= {'proj'}

    def test_there_and_back_gives_every_tensor_that_is_not_ignored(self, clip_file):
        source, theirs = clip_file
        table = SOURCES[source]
        full = table.full_names(theirs)
        kept = {full[name]: theirs[name] for name in table.known(theirs)}
        same(from_ours(source, to_ours(source, theirs)), kept)

    def test_names_are_known_or_ignored_and_counted(self, clip_file):
        source, theirs = clip_file
        table = SOURCES[source]
        assert not table.unknown(theirs)
        assert len(table.known(theirs)) + table.left_out(theirs).total() == len(theirs)

    def test_a_name_without_rule_is_an_error_with_the_known_prefixes(self, clip_file):
        source, theirs = clip_file
        theirs['visual.layer1.0.conv1.weight'] = torch.ones(1)
        with pytest.raises(KeyError, match=rf"{source}: no rule for 'vis.*Known prefixes: .*vis"):
            to_ours(source, theirs)


@pytest.mark.parametrize('source', [s.name for s in SOURCES.values() if s.kind == 'trunk'])
def test_ours_there_and_back(source, trunk):
    same(to_ours(source, from_ours(source, trunk)), trunk)


def test_tensors_split_from_one_share_no_memory(trunk):
    theirs = from_ours('hf-clip', trunk)
    layer = 'vision_model.encoder.layers.0.self_attn'
    parts = [theirs[f'{layer}.{p}_proj.weight'].untyped_storage().data_ptr() for p in 'qkv']
    assert len(set(parts)) == 3


def test_a_missing_part_of_a_fused_tensor_is_an_error(trunk):
    theirs = from_ours('hf-clip', trunk)
    del theirs['vision_model.encoder.layers.10.self_attn.k_proj.weight']
    with pytest.raises(KeyError, match='resblocks.10.attn.in_proj_weight.*k_proj.weight'):
        to_ours('hf-clip', theirs)


class TestOfficialSTAdapter:
    def test_the_trained_part_gets_our_names(self, official_adapters):
        ours = to_ours('st-adapter', official_adapters)
        places = dict(adapter_pre_attn='before_attn', adapter_pre_mlp='after_attn')
        for official, position in places.items():
            theirs = f'transformer.resblocks.10.{official}.conv.weight'
            here = f'backbone.{position}.10.conv.weight'
            assert (theirs in official_adapters) == (here in ours)
            if here in ours:
                assert ours[here] is official_adapters[theirs]
        assert ours['cls_head.fc_cls.bias'] is official_adapters['fc.bias']

    def test_there_and_back(self, official_adapters):
        same(from_ours('st-adapter', to_ours('st-adapter', official_adapters)), official_adapters)

    def test_a_whole_model_there_and_back(self, official_adapters, trunk):
        del trunk['proj']  # the official model drops it
        whole = official_adapters | trunk
        ours = to_ours('st-adapter', whole)
        assert ours['backbone.trunk.ln_pre.bias'] is trunk['ln_pre.bias']
        same(from_ours('st-adapter', ours), whole)

    def test_our_fingerprint_stays_behind(self, official_adapters):
        ours = to_ours('st-adapter', official_adapters)
        ours['backbone.trunk.fingerprint'] = torch.zeros(32, dtype=torch.uint8)
        same(from_ours('st-adapter', ours), official_adapters)

    def test_an_adapter_that_the_official_model_cannot_have_is_an_error(self):
        with pytest.raises(KeyError, match='from ours: no rule for .backbone.after_mlp'):
            from_ours('st-adapter', {'backbone.after_mlp.0.fc1.bias': torch.ones(1)})


def test_an_unknown_source_is_an_error_with_the_choices():
    with pytest.raises(ValueError, match="'timm'; choose from openai-clip, open_clip, hf-clip"):
        to_ours('timm', {})


def test_a_source_is_one_file(tmp_path, monkeypatch):
    (tmp_path / 'mine.py').write_text(
        'from ..clip_names import renamed\n'
        'from ..tables import Source\n'
        "SOURCES = (Source('mine', 'model', renamed({'cls_head.fc_cls': 'classifier'})),)\n"
    )
    monkeypatch.setattr(sources, '__path__', [*sources.__path__, str(tmp_path)])
    monkeypatch.setattr(sources, 'SOURCES', sources.gather())
    del sys.modules[f'{sources.__name__}.mine']
    assert sources.SOURCES.keys() - SOURCES.keys() == {'mine'}
    bias = torch.ones(2)
    assert to_ours('mine', {'classifier.bias': bias}) == {'cls_head.fc_cls.bias': bias}
    assert from_ours('mine', {'cls_head.fc_cls.bias': bias}) == {'classifier.bias': bias}
