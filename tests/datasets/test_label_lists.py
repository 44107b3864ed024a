"""The label lists that come with the data sets' scripts."""

import pytest

from mmstadapter import shipped

CLASSES = dict(kinetics400=400, sthv2=174, ucf101=101, hmdb51=51)


def labels(name: str) -> list[str]:
    return (shipped.root() / 'tools/data' / name / 'labels.txt').read_text().splitlines()


@pytest.mark.parametrize('name', CLASSES)
def test_every_class_has_one_name_in_alphabetical_order(name):
    found = labels(name)
    assert len(found) == len(set(found)) == CLASSES[name]
    assert all(label == label.strip() != '' for label in found)
    assert found == sorted(found, key=str.lower)


def test_left_and_right_of_something_something_stand_where_the_released_flip_expects_them():
    """The exchanged labels of the released Side4Video code: 86-87, 93-94, 166-167."""
    found = labels('sthv2')
    for left, right in ((86, 87), (93, 94), (166, 167)):
        assert 'left' in found[left] and 'right' in found[right]
    assert found[86] == 'Pulling something from left to right'
