"""`publish --validation` calibrates "none of these" on the predictions of the validation set."""

import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import dump

from mmstadapter import Predictor
from mmstadapter.apis.building import build_model
from mmstadapter.apis.none_of_these import NONE
from mmstadapter.commands import publish
from mmstadapter.engine.tuned_checkpoint import read_adapter
from mmstadapter.testing import tiny_recipe, write_clip_file, write_noise_video


@pytest.fixture
def words(tmp_path):
    """The command's words, of a tiny trained model."""
    config = Config(tiny_recipe(write_clip_file(tmp_path / 'clip.safetensors')))
    config.model.cls_head.in_channels = 32
    dump(config.to_dict(), tmp_path / 'mine.json')
    model = build_model(config.model, pretrained=True)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'last.pth')
    return [str(tmp_path / name) for name in ('mine.json', 'last.pth', 'out.safetensors')]


def predictions(path, best: list[float], labels: list[int]) -> str:
    """A file as `mmstadapter test --dump` writes it, of three classes."""
    scores = [torch.tensor([x, 1 - x, 0.0]) for x in best]
    pairs = zip(scores, labels, strict=True)
    dump([dict(pred_score=s, gt_label=torch.tensor([n])) for s, n in pairs], path)
    return str(path)


@pytest.mark.slow
def test_at_most_the_share_of_the_clips_lies_below(words, tmp_path):
    best = [0.5 + 0.01 * n for n in range(40)] + [0.99]
    file = predictions(tmp_path / 'val.pkl', best, [0] * 40 + [-1])  # the last was not decoded
    publish.main([*words, '--validation', file, '--none-fraction', '0.1'])
    _, header = read_adapter(words[2])
    assert header['none_of_these'] == dict(below=pytest.approx(0.53), fraction=0.1, clips=40)
    video = write_noise_video(tmp_path / 'a.mp4')
    (found,) = Predictor(words[2], device='cpu')(video)
    assert found['label'] == NONE and found['scores'][0] < 0.53


def test_without_it_there_is_no_threshold(words):
    publish.main(words)
    assert 'none_of_these' not in read_adapter(words[2])[1]


def test_another_file_is_refused_and_nothing_is_written(words, tmp_path, capsys):
    (other := tmp_path / 'other.pkl').write_bytes(b'no pickle')
    with pytest.raises(SystemExit):
        publish.main([*words, '--validation', str(other)])
    assert 'holds no predictions of a classifier' in capsys.readouterr().err
    assert not (tmp_path / 'out.safetensors').exists()


def test_a_share_that_cannot_be_is_refused(words, tmp_path, capsys):
    file = predictions(tmp_path / 'val.pkl', [0.5], [0])
    with pytest.raises(SystemExit):
        publish.main([*words, '--validation', file, '--none-fraction', '1'])
    assert 'the fraction must lie in [0, 1), got 1.0' in capsys.readouterr().err
