"""A list of captions becomes an adapter file by which videos are found."""

import json
import re
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmaction.registry import MODELS, TRANSFORMS
from mmengine.config import Config

import mmstadapter
from mmstadapter import shipped
from mmstadapter.apis import finished
from mmstadapter.apis.bases import ARCHS
from mmstadapter.apis.caption_bases import METHODS, CaptionBase
from mmstadapter.apis.caption_fitting import CaptionFit
from mmstadapter.apis.caption_list import read_rows
from mmstadapter.apis.caption_recipe import choose_recipe, config_text
from mmstadapter.apis.caption_results import mistakes, summary
from mmstadapter.apis.captioned_videos import CaptionedVideos
from mmstadapter.apis.own_videos import Video
from mmstadapter.commands import fit as fit_command
from mmstadapter.commands import index as index_command
from mmstadapter.commands import search as search_command
from mmstadapter.engine.tuned_checkpoint import read_adapter
from mmstadapter.evaluation.features import RetrievalFeatures
from mmstadapter.sharing.source import source_of
from mmstadapter.testing import TINY_ARCH, TINY_TEXT_ARCH, TINY_WORDS, write_clip_file

from .test_fit_and_predict import write_video

BASE = """
_base_ = 'mmstadapter::stadapter_vit-b_msrvtt.py'
tiny = dict(_delete_=True, type='mmstadapter.CLIPViT', arch={arch}, with_proj=True,
            tune='after_blocks')
model = dict(
    backbone=dict(trunk=tiny, bottleneck_dims=8),
    text_tower=dict(_delete_=True, type='mmstadapter.CLIPText', arch={text}),
    tokenizer=dict(
        _delete_=True, type='mmstadapter.WordTokenizer', words={words}, context_length=8),
    similarity=dict(embed_dims=16), num_frames=4)
small = dict(SampleSpread=dict(clip_len=4), PILResize=dict(size=32), SpatialViews=dict(size=32))
train_pipeline, test_pipeline = (
    [dict(step, **small.get(step['type'].partition('.')[2], dict())) for step in steps]
    for steps in (_base_.train_pipeline, _base_.test_pipeline))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
"""
VIDEOS = [Video(f'{i}.mp4', 0, 300, 30.0) for i in range(40)]


def listed(folder: Path, text: str, videos: str = 'abcdef', encoding: str = 'utf-8') -> Path:
    """A list of captions, and empty files for the videos it names."""
    for name in videos:
        (folder / f'{name}.mp4').touch()
    path = folder / 'captions.csv'
    path.write_text(text, encoding=encoding, newline='')
    return path


def sides(videos: CaptionedVideos, **options) -> dict[str, list[str]]:
    return {part: [v.path for v in found] for part, found in videos.split(**options).items()}


class TestTheList:
    @pytest.mark.parametrize(
        ('text', 'encoding'),
        [
            ('video,caption\na.mp4,"a dog, a cat"\nb.mp4,a dog jumps\n', 'utf-8'),
            ('Video;Caption\r\na.mp4;a dog, a cat\r\n\r\nb.mp4;a dog jumps\r\n', 'utf-8-sig'),
            ('caption\tvideo\na dog, a cat\ta.mp4\na dog jumps\tb.mp4', 'utf-8'),
            ('video, caption\na.mp4, "a dog, a cat"\n b.mp4 , a dog jumps ', 'utf-8-sig'),
        ],
    )
    def test_it_is_read_as_spreadsheets_write_it(self, text, encoding, tmp_path):
        rows, unread = read_rows(listed(tmp_path, text, encoding=encoding))
        pairs = [(row.video, row.caption) for row in rows]
        assert pairs == [('a.mp4', 'a dog, a cat'), ('b.mp4', 'a dog jumps')] and not unread

    def test_a_column_that_says_nothing_is_told(self, tmp_path):
        rows, unread = read_rows(listed(tmp_path, 'id,video,caption,\n7,a.mp4,a dog,\n'))
        assert rows[0].caption == 'a dog' and unread == ['id', '']

    @pytest.mark.parametrize(
        ('text', 'said'),
        [
            ('', 'its first line names none'),
            (
                'a.mp4,a dog\n',
                'one column video and one column caption, its first line names a.mp4',
            ),
            ('video,caption,caption\na.mp4,x,y\n', 'one column caption'),
            ('video,caption\n', 'holds no captions'),
            (
                'video,caption\na.mp4,a dog, a cat\n',
                '1 rows .* other than 2 columns: line 2.*quotes',
            ),
            ('video,caption\na.mp4,a dog\nb.mp4, \n', '1 rows .* have no caption: line 3'),
            ('video,caption\n,a dog\n', 'have no video: line 2'),
            ('video,caption\na.mp4,x\nb.mp4,x\n./a.mp4,x\n', 'more than once: line 2, 4'),
            ('video,caption\na.mp4,"a "dog" runs"\n', 'no CSV in UTF-8: line 2.*doubles them'),
            ('video,caption\na.mp4,"a dog\nb.mp4,a cat\n', 'no CSV in UTF-8'),
        ],
    )
    def test_what_is_wrong_in_it_is_named_by_line(self, text, said, tmp_path):
        with pytest.raises(ValueError, match=f'(?s)captions.csv.*{said}|{said}'):
            read_rows(listed(tmp_path, text))

    def test_another_encoding_is_refused(self, tmp_path):
        path = listed(tmp_path, 'video,caption\na.mp4,ein großer Hund\n', encoding='latin-1')
        with pytest.raises(ValueError, match='captions.csv is no CSV in UTF-8.*save it anew'):
            read_rows(path)


class TestTheVideos:
    def test_several_captions_are_of_one_video(self, tmp_path):
        path = listed(tmp_path, 'video,caption\na.mp4,x\nb.mp4,x\n./a.mp4,y\n')
        found = CaptionedVideos(path)
        assert dict(found.captions) == {'a.mp4': ['x', 'y'], 'b.mp4': ['x']}
        assert found.shared(found.parts['']) == 1

    def test_paths_start_from_the_list_or_from_the_folder_told(self, tmp_path):
        (tmp_path / 'clips').mkdir()
        listed(tmp_path / 'clips', '')
        path = listed(tmp_path, 'video,caption\na.mp4,x\ngone.mp4,y\n', videos='')
        with pytest.raises(FileNotFoundError, match=r'2 rows .*--videos(?s:.*)line 3: gone.mp4'):
            CaptionedVideos(path)
        path.write_text('video,caption\na.mp4,x\n')
        assert CaptionedVideos(path, tmp_path / 'clips').parts[''][0].path == 'a.mp4'
        with pytest.raises(FileNotFoundError, match='no folder .*nowhere for --videos'):
            CaptionedVideos(path, tmp_path / 'nowhere')

    def test_a_caption_in_the_place_of_the_path_is_a_video_that_is_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='name videos that are not in'):
            CaptionedVideos(listed(tmp_path, f'video,caption\n{"a dog " * 90},a.mp4\n'))

    def test_a_file_under_two_names_is_refused(self, tmp_path):
        path = listed(tmp_path, 'video,caption\na.mp4,x\nlink.mp4,y\n')
        (tmp_path / 'link.mp4').symlink_to('a.mp4')
        with pytest.raises(ValueError, match=r'a.mp4 and link.mp4 .* are the same file'):
            CaptionedVideos(path)

    def test_a_name_from_a_mac_is_found(self, tmp_path):
        name = 'café.mp4'
        (tmp_path / unicodedata.normalize('NFD', name)).touch()
        found = CaptionedVideos(listed(tmp_path, f'video,caption\n{name},x\n'))
        assert (tmp_path / found.parts[''][0].path).is_file()

    def test_the_share_to_test_on_hangs_on_names_and_seed_alone(self, tmp_path):
        rows = [f'{name}.mp4,{name}' for name in 'abcdef']
        one, other = (
            CaptionedVideos(listed(tmp_path, '\n'.join(['video,caption', *order])))
            for order in (rows, rows[::-1])
        )
        assert set(sides(one)['val']) == set(sides(other)['val'])
        assert len(sides(one)['val']) == 2 and len(sides(one, val_fraction=0.9)['train']) == 2
        assert any(sides(one, seed=s)['val'] != sides(one)['val'] for s in range(1, 9))
        with pytest.raises(ValueError, match='a share of the videos'):
            one.split(1.5)

    def test_a_split_of_ones_own_is_taken(self, tmp_path):
        text = (
            'video,caption,split\na.mp4,x,train\na.mp4,y,Train\nb.mp4,x,training\nc.mp4,x,valid\n'
        )
        found = CaptionedVideos(listed(tmp_path, text + 'd.mp4,x,test\n'))
        assert sides(found) == dict(train=['a.mp4', 'b.mp4'], val=['c.mp4'], test=['d.mp4'])

    @pytest.mark.parametrize(
        ('text', 'said'),
        [
            ('a.mp4,x,train\na.mp4,y,val\n', 'line 3 .* a.mp4 in two splits'),
            ('a.mp4,x,train\nb.mp4,y,vla\n', "line 3 .* split 'vla'"),
            ('a.mp4,x,train\nb.mp4,y,\n', "line 3 .* split ''"),
            ('a.mp4,x,train\nb.mp4,y,train\n', 'has the splits train; it needs train, and val'),
            ('a.mp4,x,test\nb.mp4,y,val\n', 'it needs train, and val'),
        ],
    )
    def test_a_split_that_cannot_be_is_named(self, text, said, tmp_path):
        with pytest.raises(ValueError, match=said):
            CaptionedVideos(listed(tmp_path, f'video,caption,split\n{text}'))

    def test_too_few_that_can_be_read_are_refused_with_the_reasons(self, tmp_path):
        text = ''.join(f'{name}.mp4,{name}\n' for name in 'abcdef')
        found = CaptionedVideos(listed(tmp_path, f'video,caption\n{text}'))
        with pytest.raises(ValueError, match=r'has 0 videos .* at least 4(?s:.*)\n  a.mp4: '):
            found.check()

    def test_a_folder_of_videos_and_a_list_is_told_to_give_the_list(self, tmp_path):
        listed(tmp_path, 'video,caption\na.mp4,x\n')
        with pytest.raises(ValueError, match='To learn captions, give their list itself: .*csv'):
            mmstadapter.VideoFolder(tmp_path)


def written(base: CaptionBase, folder: Path, **given) -> Config:
    recipe = choose_recipe(VIDEOS, base.config, base.max_batch, **given)
    return Config.fromstring(config_text(recipe, base, folder, folder, 0), '.py')


class TestTheRecipe:
    def test_steps_and_batch_follow_the_number_of_videos(self):
        base = CaptionBase.choose().config
        found = {n: choose_recipe(VIDEOS[:1] * n, base).batch_size for n in (2, 5, 40, 70, 900)}
        assert found == {2: 2, 5: 4, 40: 8, 70: 16, 900: 32}

    @pytest.mark.parametrize(
        ('given', 'said'),
        [
            (dict(batch_size=1), 'from 2, for contrast needs another video, to the 40'),
            (dict(batch_size=41), 'to the 40 videos to train on; got 41'),
            (dict(epochs=1), 'epochs must be at least 2'),
            (dict(sampling='stride'), "of a whole video; got 'stride'"),
        ],
    )
    def test_what_cannot_be_is_refused(self, given, said):
        with pytest.raises(ValueError, match=said):
            choose_recipe(VIDEOS, CaptionBase.choose().config, **given)

    def test_captions_of_a_video_never_meet_in_a_batch(self, tmp_path):
        loader = written(CaptionBase.choose(), tmp_path).train_dataloader
        assert loader.dataset.captions == 'random' and loader.drop_last

    def test_a_base_with_batches_and_galleries_of_its_own_loses_them(self, tmp_path):
        config = written(CaptionBase.choose(base='stadapter_vit-tiny_demo-captions.py'), tmp_path)
        assert config.train_dataloader.sampler.type == 'DefaultSampler'
        assert 'galleries' not in config.val_evaluator | config.test_evaluator

    def test_a_recipe_for_classes_is_none(self):
        with pytest.raises(
            ValueError, match='no model.text_tower, so it is no recipe for captions'
        ):
            CaptionBase.choose(base='stadapter_vit-b_k400.py')
        with pytest.raises(ValueError, match='method must be one of.*clip4clip'):
            CaptionBase.choose(method='evl')

    @pytest.mark.slow
    def test_one_file_supplies_both_towers(self, tmp_path):
        (tmp_path / 'mine.pt').touch()
        for base in (None, 'side4video_vit-b_msvd.py'):
            chosen = CaptionBase.choose(checkpoint=str(tmp_path / 'mine.pt'), base=base)
            model = written(chosen, tmp_path).model
            assert model.text_tower.checkpoint == str(tmp_path / 'mine.pt')
            assert model.backbone.trunk.checkpoint == str(tmp_path / 'mine.pt')

    def test_command_and_docstring_name_every_method(self):
        command = Path(fit_command.__file__).read_text().replace("'\n        '", '')
        (told,) = re.findall(r'with captions: ([a-z0-9, ]*)', command)
        assert {*told.strip(', ').split(', ')} == {*METHODS}
        listed = mmstadapter.fit.__doc__.partition('by the methods')[2].partition('fitted')[0]
        assert set(re.findall(r"``'(\w+)'``", listed)) == {*METHODS}

    @pytest.mark.slow
    @pytest.mark.parametrize('arch', ARCHS)
    @pytest.mark.parametrize('method', METHODS)
    def test_a_method_and_an_arch_say_it_all(self, method, arch, tmp_path):
        if arch not in METHODS[method]:
            with pytest.raises(ValueError, match=f'no {method} for {arch}, only for vit-b-p16'):
                CaptionBase.choose(arch, method)
            return
        if method in ('lora', 'dora'):
            pytest.importorskip('peft', reason='peft is not installed')
        config = written(CaptionBase.choose(arch, method), tmp_path)
        with torch.device('meta'):
            MODELS.build(config.model.to_dict())
        assert config.model.backbone.trunk.checkpoint == ARCHS[arch][0]
        for kind in ('train', 'val', 'test'):
            for step in config[f'{kind}_dataloader'].dataset.pipeline:
                TRANSFORMS.build(step)

    @pytest.mark.slow
    @pytest.mark.parametrize('method', ['side4video', 'clip4clip'])
    def test_another_arch_is_the_shipped_recipe_of_it(self, method, tmp_path):
        arch, name = ('vit-l-p14', '-l') if method == 'side4video' else ('vit-b-p32', '-b32')
        recipe = Config.fromfile(shipped.config(f'{method}_vit{name}_msrvtt.py'))
        assert written(CaptionBase.choose(arch, method), tmp_path).model == recipe.model


def features() -> RetrievalFeatures:
    """Three captions of two videos; the second one finds the wrong video, surely."""
    text = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    return RetrievalFeatures(
        text=dict(vector=text),
        video=dict(vector=torch.eye(2)),
        owner=torch.tensor([0, 1, 1]),
        video_ids=['a.mp4', 'b.mp4'],
        captions=['x', 'y', 'z'],
    )


def test_captions_that_are_cut_are_counted(tmp_path):
    captions = {'a.mp4': ['a dog', 'a dog and a cat ' * 9], 'b.mp4': ['a cat']}
    job = SimpleNamespace(
        folder=SimpleNamespace(captions=captions), recipe=SimpleNamespace(reasons=[])
    )
    CaptionFit.refuse_others(job, CaptionBase.choose().config)
    assert job.recipe.reasons == ['1 captions are longer than the 30 tokens that are read of one']


class TestTheResult:
    def test_recall_stands_with_its_interval_and_chance(self):
        found = features()
        result = summary(found, found.text['vector'] @ found.video['vector'].T)
        assert result['r1'] == 66.67 and result['chance'] == 50 and result['captions'] == 3
        low, high = result['r1_interval']
        assert low <= 66.67 <= high and result['retrieval/t2v/R5'] == 100

    def test_a_caption_that_finds_another_video_is_a_mistake(self):
        found = features()
        sim = found.text['vector'] @ found.video['vector'].T
        wrong = dict(caption='y', video='b.mp4', score=0.0, found='a.mp4', found_score=1.0)
        assert mistakes(found, sim) == [wrong]
        found.lost = torch.tensor([False, True])
        assert [entry['score'] for entry in mistakes(found, sim)] == [None, None]


def test_what_is_done_hangs_on_the_list_and_its_videos_alone(tmp_path):
    path = listed(tmp_path, 'video,caption\na.mp4,x\nb.mp4,y\n')
    before = finished.digest(path, {})
    (tmp_path / 'c.mp4').write_text('new')
    assert finished.digest(path, {}) == before
    (tmp_path / 'b.mp4').write_text('other')
    assert finished.digest(path, {}) != before
    assert finished.digest(tmp_path / 'gone.csv', {}) != before  # and no error


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['captions.csv', '--layout', 'classes'], '--layout is about class folders'),
        (['gone.csv'], 'no file .*gone.csv. Give a CSV with the columns video,caption'),
        (['.', '--videos', '.'], '--videos is the folder that the paths of a CSV'),
        (['captions.csv', '--base', 'linear_vit-b_k400.py'], 'no recipe for captions'),
    ],
)
def test_options_that_do_not_go_together_end_the_command(words, said, tmp_path, monkeypatch):
    listed(tmp_path, 'video,caption\na.mp4,x\nb.mp4,y\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=said):
        fit_command.main([*words, '--dry-run'])
    assert not (tmp_path / 'work_dirs').exists()


@pytest.fixture(scope='module')
def user(tmp_path_factory):
    """Eight videos with sixteen captions, and one that cannot be read; weights; a base."""
    folder = tmp_path_factory.mktemp('captions')
    rows = ['video;caption']
    for i, what in enumerate(('falls', 'jumps', 'sleeps', 'left') * 2):
        write_video(folder / f'clips/{i} x.mp4', 20 + 25 * i)
        who = 'cat' if i < 4 else 'dog'
        rows += [f'clips/{i} x.mp4;the {who} {what}', f'clips/{i} x.mp4;"a {who} {what}"']
    (folder / 'clips/broken.mp4').write_bytes(b'broken')
    text = '\r\n'.join([*rows, 'clips/broken.mp4;a cat'])
    (folder / 'mine.csv').write_text(text, encoding='utf-8-sig')
    write_clip_file(folder / 'clip.safetensors', seed=4)
    parts = dict(arch=TINY_ARCH, text=TINY_TEXT_ARCH, words=TINY_WORDS)
    (folder / 'base.py').write_text(BASE.format(**parts))
    return folder


OPTIONS = dict(base='base.py', checkpoint='clip.safetensors', num_workers=0, val_fraction=0.4)


@pytest.fixture(scope='module')
def fitted(user):
    """What `mmstadapter.fit` gives for the list, from the folder in which it lies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(user)
        patch.setenv('OMP_NUM_THREADS', '1')
        return mmstadapter.fit('mine.csv', epochs=2, lr=1e-3, **OPTIONS)


@pytest.mark.slow
@pytest.mark.processes
class TestFit:
    def test_it_says_what_is_there_and_leaves_out_what_cannot_be_read(
        self, user, monkeypatch, capsys
    ):
        monkeypatch.chdir(user)
        assert mmstadapter.fit('mine.csv', 'dry', dry_run=True, **OPTIONS) is None
        said = capsys.readouterr().out
        assert '17 captions: 5 videos to train on, 3 with 6 captions to test' in said
        assert '1 cannot be read' in said and 'clips/broken.mp4: ' in said
        assert 'chance: 33.3 %' in said and 'no mirroring' in said
        listed = [json.loads((user / f'dry/{part}.json').read_text()) for part in ('train', 'val')]
        assert len(listed[0] | listed[1]) == 8 and 'clips/broken.mp4' not in listed[0] | listed[1]
        assert 'the cat falls' in (listed[0] | listed[1])['clips/0 x.mp4']

    def test_it_writes_adapter_figures_and_mistakes(self, user, fitted):
        assert fitted.work_dir == user / 'work_dirs/fit_mine'
        stored = json.loads((fitted.work_dir / 'retrieval.json').read_text())
        assert stored == fitted.result and stored['captions'] == 6 and stored['videos'] == 3
        assert fitted.r1 == pytest.approx(stored['retrieval/t2v/R1'], abs=0.01)
        assert f'R@1 {fitted.r1:.1f} % of 6 captions of 3 videos' in str(fitted)
        assert 'found another video first' in (fitted.work_dir / 'mistakes.html').read_text()

    def test_the_adapter_holds_what_was_tuned_and_no_frozen_trunk(self, fitted):
        tensors, header = read_adapter(fitted.adapter)
        parts = {name.split('.')[0] for name in tensors}
        assert parts == {'backbone', 'text_tower', 'similarity', 'logit_scale'}
        assert not any('blocks' in name for name in tensors if 'trunk' in name)
        assert 'labels' not in header

    def test_called_again_it_is_done(self, user, fitted, monkeypatch, capsys):
        monkeypatch.chdir(user)
        again = mmstadapter.fit('mine.csv', epochs=2, lr=1e-3, **OPTIONS)
        assert again == fitted and 'Already done' in capsys.readouterr().out
        with pytest.raises(ValueError, match='holds a training on other videos or with other'):
            CaptionFit.prepare('mine.csv', epochs=3, **OPTIONS)

    def test_the_model_of_the_adapter_gives_the_features_of_the_test(self, user, fitted):
        model = mmstadapter.SearchModel(checkpoint=fitted.adapter, device='cpu')
        kept = RetrievalFeatures.load(fitted.work_dir / 'features.safetensors')
        clips = [model.clip(user / name) for name in kept.video_ids]
        for name, tensor in model.encode_clips(clips).items():
            torch.testing.assert_close(tensor, kept.video[name].float())
        for name, tensor in model.encode_captions(list(kept.captions)).items():
            width = tensor.shape[1]  # queries leave out the padding
            torch.testing.assert_close(tensor, kept.text[name][:, :width])

    def test_index_and_search_take_it_as_it_is(self, user, fitted, tmp_path, capsys):
        where = ['--index', str(tmp_path / 'index')]
        with pytest.raises(SystemExit) as end:
            index_command.main([str(user / 'clips'), '--checkpoint', str(fitted.work_dir), *where])
        assert not end.value.code and '8 segments of 8 videos' in capsys.readouterr().out
        search_command.main(['the cat sleeps', '--topk', '3', *where])
        assert len(re.findall(r' x.mp4', capsys.readouterr().out)) == 3

    def test_captions_that_cannot_be_read_are_missed_before_training(self, user, monkeypatch):
        monkeypatch.chdir(user)
        text = (user / 'mine.csv').read_text(encoding='utf-8-sig')
        (user / 'strange.csv').write_text(text.replace('the cat sleeps', 'der Kater'))
        with pytest.raises(ValueError, match=r"unknown: \['der', 'kater'\]"):
            CaptionFit.prepare('strange.csv', 'strange', **OPTIONS)
        assert not (user / 'strange').exists()

    def test_its_figures_go_onto_the_card(self, fitted):
        assert source_of(fitted).results['r1'] == fitted.r1


def test_a_model_needs_a_config_or_an_adapter(tmp_path):
    with pytest.raises(ValueError, match='needs a config, or an adapter file'):
        mmstadapter.SearchModel(device='cpu')
    torch.save(dict(state_dict={}), tmp_path / 'epoch_1.pth')
    with pytest.raises(ValueError, match='no safetensors file'):
        mmstadapter.SearchModel(checkpoint=tmp_path / 'epoch_1.pth', device='cpu')
