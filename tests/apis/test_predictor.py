"""What a predictor takes for a video, what it says of it, and what it writes."""

import csv
import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from mmstadapter import Predictor
from mmstadapter.apis.none_of_these import NONE, calibrated
from mmstadapter.commands import predict as command
from mmstadapter.testing import write_noise_video, write_tiny_adapter


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('predictor')
    write_noise_video(path / 'a.mp4')
    write_noise_video(path / 'b.mp4', frames=17)
    (path / 'broken.mp4').write_bytes((path / 'a.mp4').read_bytes()[:200])
    write_tiny_adapter(path, labels=['cat', 'dog', '=cow'])
    return path


@pytest.fixture(scope='module')
def predictor(folder) -> Predictor:
    return Predictor(folder / 'adapter.safetensors', device='cpu')


@pytest.fixture(scope='module')
def frames(folder) -> np.ndarray:
    """What is in a.mp4, (24, 40, 48, 3)."""
    with av.open(str(folder / 'a.mp4')) as container:
        return np.stack([f.to_ndarray(format='rgb24') for f in container.decode(video=0)])


class TestInputs:
    @pytest.mark.parametrize(
        'given',
        [
            lambda x: x,
            lambda x: torch.from_numpy(x),
            lambda x: list(x),
            lambda x: [torch.from_numpy(frame) for frame in x],
            lambda x: [Image.fromarray(frame) for frame in x],
            lambda x: iter(x),
            lambda x: (frame for frame in x),
            lambda x: [x],
            lambda x: [list(x)],
            lambda x: iter([x]),
        ],
        ids='array tensor frames tensors pictures iterator generator several lists arrays'.split(),
    )
    def test_frames_in_memory_give_what_their_file_gives(self, predictor, folder, frames, given):
        (of_file,), (found,) = predictor(folder / 'a.mp4'), predictor(given(frames), fps=8)
        assert found['video'] == 'video 0'
        assert found['labels'] == of_file['labels']
        assert found['scores'] == pytest.approx(of_file['scores'], abs=1e-5)

    def test_open_files_and_their_bytes_are_read(self, predictor, folder):
        path = folder / 'a.mp4'
        expected = predictor(path)
        with path.open('rb') as file:
            assert predictor([file, path.read_bytes()]) == [
                expected[0],
                expected[0] | dict(video='video 1'),
            ]

    def test_kinds_may_stand_beside_each_other_in_order(self, predictor, folder, frames):
        found = predictor([folder / 'b.mp4', frames, folder / 'broken.mp4', frames[:3]])
        names = ['b.mp4', 'video 1', 'broken.mp4', 'video 3']
        assert [Path(entry['video']).name for entry in found] == names
        assert ['error' in entry for entry in found] == [False, False, True, False]

    def test_features_come_of_frames_as_well(self, predictor, folder, frames):
        (of_file,), (found,) = predictor.embed(folder / 'a.mp4'), predictor.embed(frames)
        torch.testing.assert_close(found['feature'], of_file['feature'])

    def test_frames_are_left_as_they_are(self, predictor, frames):
        before = frames.copy()
        predictor(frames)
        assert (frames == before).all()

    @pytest.mark.parametrize(
        ('given', 'words'),
        [
            (np.zeros((4, 40, 48, 3), np.float32), r'uint8 RGB \(L, H, W, 3\), got float32'),
            (np.full((4, 40, 48, 3), 300), 'int64 .*values from 300 to 300'),
            (np.zeros((4, 3, 40, 48), np.uint8), r'permute\(0, 2, 3, 1\)'),
            (np.zeros((0, 40, 48, 3), np.uint8), r'got uint8 \(0, 40, 48, 3\)'),
            (np.zeros((40, 48, 3), np.uint8), 'got uint8'),
            (np.zeros((2, 4, 40, 48, 3), np.uint8), 'got uint8'),
            ([], 'the list is empty'),
            ([[]], 'the list is empty'),
            (iter(()), 'the iterator is empty'),
            ([np.zeros((4, 4, 3), np.uint8), np.zeros((5, 4, 3), np.uint8)], 'must have one size'),
            ([np.zeros((4, 4), np.uint8)], r'a frame must be uint8 RGB'),
            ([np.zeros((4, 4, 3), np.uint8), 'a.mp4'], 'a frame must be .* got str'),
            (Image.new('RGB', (4, 4)), r'\[image\] is'),
            (7, 'got int'),
            ([7], 'got int'),
            (None, 'got NoneType'),
        ],
        ids=lambda part: part if isinstance(part, str) else type(part).__name__,
    )
    def test_anything_else_is_refused_with_what_was_needed(self, predictor, given, words):
        with pytest.raises(ValueError, match=f'^Predictor: .*{words}'):
            predictor(given)

    def test_a_text_file_is_refused(self, predictor, folder):
        (folder / 'a.txt').write_text('x')
        with (folder / 'a.txt').open() as file, pytest.raises(ValueError, match='binary mode'):
            predictor(file)

    def test_a_wrong_one_is_refused_before_others_are_predicted(self, predictor, monkeypatch):
        monkeypatch.setattr(predictor.model, 'test_step', None)
        good, bad = np.zeros((9, 40, 48, 3), np.uint8), np.zeros((9, 40, 48, 3))
        with pytest.raises(ValueError, match='got float64'):
            predictor([good] * 9 + [bad])


class TestNotes:
    def test_a_video_much_longer_than_a_clip_is_told_of_the_timeline(self, predictor, folder):
        (short,) = predictor(folder / 'a.mp4')  # 3 s, a clip has 1 s
        (long,) = predictor(np.zeros((80, 40, 48, 3), np.uint8), fps=8)
        assert 'note' not in short
        assert long['note'] == 'one label for 10 s; `mmstadapter timeline` labels them over time'


class TestNoneOfThese:
    def test_a_stated_fraction_of_the_validation_clips_lies_below(self):
        best = np.random.default_rng(0).uniform(0.3, 1, 200)
        found = calibrated(best, 0.1)
        assert found['clips'] == 200 and found['fraction'] == 0.1
        assert (best < found['below']).mean() <= 0.1 < (best <= found['below']).mean() + 0.01

    @pytest.mark.parametrize('best', [[], [0.2, 1.5], [float('nan')]], ids=str)
    def test_scores_that_are_none_are_refused(self, best):
        with pytest.raises(ValueError, match=r'in \[0, 1\], of a validation clip'):
            calibrated(best)

    def test_the_adapter_files_threshold_is_used(self, folder, predictor, tmp_path):
        (plain,) = predictor(folder / 'a.mp4')
        assert plain['label'] == plain['labels'][0]
        path = write_tiny_adapter(tmp_path, none_of_these=dict(below=0.99))
        (found,) = Predictor(path, device='cpu')(folder / 'a.mp4')
        assert found['label'] == NONE and found['labels'] and found['scores'][0] < 0.99
        (found,) = Predictor(path, device='cpu', none_below=0.0)(folder / 'a.mp4')
        assert found['label'] == found['labels'][0]

    def test_a_threshold_that_is_none_is_refused(self, tmp_path):
        path = write_tiny_adapter(tmp_path, none_of_these=dict(below='x'))
        with pytest.raises(ValueError, match=r'none_of_these.below must lie in \[0, 1\]'):
            Predictor(path, device='cpu')


class TestTheCommand:
    @pytest.fixture
    def written(self, folder, tmp_path, capsys):
        """What the command writes and prints of a.mp4, and of one that is broken."""
        outs = [word for x in ('csv', 'jsonl', 'json') for word in ('--out', tmp_path / f'x.{x}')]
        words = [folder / 'adapter.safetensors', folder / 'a.mp4', folder / 'broken.mp4', *outs]
        with pytest.raises(SystemExit) as end:
            command.main([*map(str, words), '--topk', '2', '--device', 'cpu'])
        assert not end.value.code
        return tmp_path, capsys.readouterr().out

    def test_all_files_hold_the_same(self, written):
        out, said = written
        entries = json.loads((out / 'x.json').read_text())
        lines = (out / 'x.jsonl').read_text().splitlines()
        assert [json.loads(line) for line in lines] == entries and len(entries) == 2
        good, bad = csv.DictReader((out / 'x.csv').read_text().splitlines())
        assert good['label'] == good['best'] == entries[0]['labels'][0]
        assert float(good['score']) == entries[0]['scores'][0]
        assert good['best_2'] == entries[0]['labels'][1]
        assert bad['error'] == entries[1]['error'] and not bad['label']
        assert f'a.mp4: {good["label"]} ' in said
        assert sorted(path.name for path in out.iterdir()) == ['x.csv', 'x.json', 'x.jsonl']

    def test_another_suffix_is_refused_before_work(self, folder, capsys):
        with pytest.raises(SystemExit):
            command.main(['none', 'none', '--out', 'x.xlsx'])
        assert '--out writes .csv, .jsonl or .json' in capsys.readouterr().err
