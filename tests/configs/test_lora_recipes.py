"""LoRA's recipes: counts of what is trained, which are those of their headers."""

import ast

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config

from mmstadapter import shipped

pytest.importorskip('peft', reason='peft is not installed')
LAYERS, RANK, CLASSES = 12, 8, dict(k400=768 * 400 + 400, ssv2=768 * 174 + 174)
IMAGE, TEXT = (2 * LAYERS * RANK * 2 * width for width in (768, 512))  # A and B of q and v
LENGTHS = {768: 2 * LAYERS * 768, 512: 2 * LAYERS * 512}  # DoRA's
STADAPTER = 14_354_094
COUNTS = {
    'lora_vit-b_k400': IMAGE + CLASSES['k400'],
    'lora_vit-b_ssv2': IMAGE + CLASSES['ssv2'],
    'dora_vit-b_k400': IMAGE + LENGTHS[768] + CLASSES['k400'],
    'dora_vit-b_ssv2': IMAGE + LENGTHS[768] + CLASSES['ssv2'],
    'lora_vit-b-stadapter_ssv2': IMAGE + STADAPTER,
    'lora_vit-b_msrvtt': IMAGE + TEXT + 1,
    'dora_vit-b_msrvtt': IMAGE + TEXT + LENGTHS[768] + LENGTHS[512] + 1,
}


def test_every_recipe_on_a_large_trunk_is_counted():
    names = [name.removesuffix('.py') for name in shipped.configs()]
    stems = {n for n in names if n.startswith(('lora_', 'dora_'))}
    others = {
        n
        for n in stems
        if {'pe', 'siglip2', 'tiny'} & {*n.partition('_')[2].replace('_', '-').split('-')}
    }
    assert stems - others == COUNTS.keys()  # with CLIP's towers


@pytest.mark.parametrize('stem', COUNTS)
@pytest.mark.sweep
def test_what_is_trained_is_lora_the_classifier_and_what_the_header_counts(stem):
    path = shipped.config(f'{stem}.py')
    with torch.device('meta'):
        model = MODELS.build(Config.fromfile(path).model)
    trained = {n: p.numel() for n, p in model.named_parameters() if p.requires_grad}
    assert sum(trained.values()) == COUNTS[stem]
    assert f'{COUNTS[stem]:,}' in ' '.join(ast.get_docstring(ast.parse(path.read_text())).split())
    others = {n.split('.')[0] for n in trained if '.lora_' not in n}
    assert others <= {'cls_head', 'logit_scale', *(['backbone'] if 'stadapter' in stem else [])}
    encoders = {n.partition('.transformer')[0] for n in trained if '.lora_' in n}
    assert encoders == {'backbone.trunk', *(['text_tower'] if 'msrvtt' in stem else [])}
