"""The label lists that come with the data sets' scripts."""

import re

import pytest
from mmengine.config import Config

from mmstadapter import shipped

CLASSES = dict(kinetics400=400, sthv1=174, sthv2=174, ucf101=101, hmdb51=51)
SIDES = dict(left='right', right='left')


def labels(name: str) -> list[str]:
    return (shipped.root() / 'tools/data' / name / 'labels.txt').read_text().splitlines()


@pytest.mark.parametrize('name', CLASSES)
def test_every_class_has_one_name_in_alphabetical_order(name):
    found = labels(name)
    assert len(found) == len(set(found)) == CLASSES[name]
    assert all(label == label.strip() != '' for label in found)
    assert found == sorted(found, key=str.lower)


def mirrored(label: str) -> str:
    """The name of what a mirrored video shows."""
    return re.sub('left|right', lambda word: SIDES[word[0]], label)


@pytest.mark.parametrize('name', ['sthv1', 'sthv2'])
def test_the_flip_exchanges_exactly_the_classes_whose_names_are_mirror_images(name):
    """The released Side4Video code exchanges 86-87, 93-94 and 166-167."""
    found = labels(name)
    others = {n: mirrored(x) for n, x in enumerate(found) if mirrored(x) != x}
    pairs = {n: found.index(x) for n, x in others.items() if x in found}
    assert pairs == {86: 87, 87: 86, 93: 94, 94: 93, 166: 167, 167: 166}
    base = {'sthv1': 'ssv1', 'sthv2': 'ssv2_s4v'}[name]
    config = Config.fromfile(shipped.root() / f'configs/_base_/datasets/{base}.py')
    (flip,) = [s for s in config.train_dataloader.dataset.pipeline if s.type == 'Flip']
    assert flip.flip_label_map == pairs


def test_both_something_somethings_number_the_same_classes_alike():
    assert labels('sthv1') == labels('sthv2')
