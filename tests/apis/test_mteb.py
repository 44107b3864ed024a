"""A retriever runs mteb's video tasks, with the frames and scores of its own test."""

import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch

import mmstadapter
from mmstadapter.mteb import MTEBEncoder
from mmstadapter.testing import fill

from ..datasets.conftest import write_video

CAPTIONS = [f'the digit {n} moves to the {w}' for n in ('one', 'two') for w in ('left', 'right')]
TOKENS = dict(type='mmstadapter.TokenSimilarity', embed_dims=64)


def retriever(similarity: dict):
    return fill(
        mmstadapter.create_model(
            'stadapter_vit-tiny_demo-captions',
            pretrained=False,
            options={'model.similarity': similarity},
        )
    ).eval()


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp('videos')
    lengths = enumerate((8, 19, 31, 52))
    return [str(write_video(folder / f'{i}.mp4', frames=n, size=(32, 32))) for i, n in lengths]


@pytest.fixture(scope='module')
def models():
    return dict(
        vectors=retriever(dict(type='mmstadapter.MeanPoolSimilarity')),
        words=retriever(TOKENS),
        corrected=retriever(TOKENS | dict(mask='corrected')),
    )


@pytest.mark.slow
def test_without_mteb_it_says_what_to_install(models, monkeypatch):
    monkeypatch.setitem(sys.modules, 'mteb', None)
    with pytest.raises(ImportError, match=r"pip install 'mmstadapter\[mteb\]'"):
        MTEBEncoder(models['vectors'], 'me/tiny')


def test_another_model_is_refused():
    with pytest.raises(TypeError, match='must be a retriever .*got Linear.*create_model'):
        MTEBEncoder(torch.nn.Linear(3, 3), 'me/tiny')


@pytest.mark.slow
class TestInMTEB:
    """In mteb itself: tasks of MVEB whose data are ours."""

    @pytest.fixture(autouse=True)
    def mteb(self):
        return pytest.importorskip('mteb', reason='the extra `mteb` is not installed')

    @pytest.fixture(params=['vectors', 'words', 'corrected'])
    def model(self, models, request):
        return models[request.param]

    @pytest.fixture
    def encoder(self, model):
        return MTEBEncoder(model, 'tiny')

    def run(self, mteb, encoder, task):
        results = mteb.evaluate(encoder, task, cache=None, show_progress_bar=False)
        return results.task_results[0].scores['test'][0]

    def ranks(self, model, files, transpose=False):
        """Of the right items among the others, from what the model itself gives."""
        with torch.inference_mode():
            videos = model.encode_videos(torch.cat([model.transform(f) for f in files]))
            scores = mmstadapter.score(model.encode_captions(CAPTIONS), videos)
        scores = scores.T if transpose else scores
        return (scores > scores.diag()[:, None]).sum(dim=1)

    def table(self, files):
        from datasets import Dataset, Video

        columns = dict(id=[str(i) for i in range(len(files))], text=CAPTIONS, video=files)
        return Dataset.from_dict(columns).cast_column('video', Video())

    def classes(self, files):
        from datasets import ClassLabel

        rows = self.table(files).select_columns(['video'])
        labels = list(range(len(files)))
        return rows.add_column('label', labels).cast_column('label', ClassLabel(names=CAPTIONS))

    def rows(self, files, queries, corpus):
        from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData

        data = self.table(files)
        return RetrievalSplitData(
            queries=data.select_columns(['id', queries]),
            corpus=data.select_columns(['id', corpus]),
            relevant_docs={str(i): {str(i): 1} for i in range(len(files))},
            top_ranked=None,
        )

    @pytest.mark.parametrize('direction', ['t2v', 'v2t'])
    def test_a_retrieval_task_has_the_ranks_of_the_model(
        self, mteb, model, encoder, files, direction
    ):
        task = mteb.get_task(f'MSVD{direction.upper()}Retrieval')
        sides = ('text', 'video') if direction == 't2v' else ('video', 'text')
        task.dataset = dict(default=dict(test=self.rows(files, *sides)))
        task.data_loaded = True
        found = self.run(mteb, encoder, task)
        ranks = self.ranks(model, files, direction == 'v2t')
        for k in (1, 3):
            assert found[f'recall_at_{k}'] == pytest.approx((ranks < k).float().mean().item())

    def test_a_question_about_a_video_is_one_vector(self, mteb, encoder, files):
        task = mteb.get_task('EgoSchemaVideoCentricQA')
        rows = self.rows(files, 'text', 'text')
        rows['queries'] = self.table(files).select_columns(['id', 'text', 'video'])
        rows['top_ranked'] = {str(i): ['0', '1', '2', '3'] for i in range(len(files))}
        task.dataset = dict(default=dict(test=rows))
        task.data_loaded = True
        assert self.run(mteb, encoder, task)['accuracy'] in (0.0, 0.25, 0.5, 0.75, 1.0)

    def test_classes_by_their_names(self, mteb, model, encoder, files, monkeypatch):
        task = mteb.get_task('HMDB51ZeroShot')
        monkeypatch.setattr(type(task), 'get_candidate_labels', lambda _: CAPTIONS)
        task.dataset, task.data_loaded = dict(default=dict(test=self.classes(files))), True
        right = (self.ranks(model, files, transpose=True) == 0).float().mean().item()
        assert self.run(mteb, encoder, task)['accuracy'] == pytest.approx(right)

    def test_classes_from_examples(self, mteb, encoder, files):
        task = mteb.get_task('HMDB51Classification')
        task.dataset = dict(default=dict(train=self.classes(files), test=self.classes(files)))
        task.data_loaded = True
        assert self.run(mteb, encoder, task)['accuracy'] > 0.25  # they are its own examples

    def test_what_a_retriever_does_not_read_is_named(self, mteb, encoder):
        from datasets import Dataset

        task = mteb.get_task('MSVDT2VRetrieval').metadata
        loader = torch.utils.data.DataLoader(Dataset.from_dict(dict(audio=[1.0])))
        with pytest.raises(ValueError, match='MSVDT2VRetrieval has audio; a retriever reads text'):
            encoder.encode(loader, task_metadata=task)

    @pytest.mark.parametrize('kind', ['bytes', 'frames'])
    def test_videos_in_memory_are_those_of_files(self, encoder, files, kind):
        from mmstadapter.mteb import _clip

        transform = encoder.model.transform
        if kind == 'bytes':
            video = dict(path='0.mp4', bytes=Path(files[0]).read_bytes())
        else:
            with av.open(files[0]) as container:
                pictures = [f.to_ndarray(format='rgb24') for f in container.decode(video=0)]
            video = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
        torch.testing.assert_close(_clip(video, transform), transform(files[0]), atol=0.1, rtol=0)

    def test_pairs_of_videos(self, mteb, encoder, files):
        from datasets import Video

        task = mteb.get_task('HumanAnimalCartoonVPairClassification')
        rows = self.table(files).select_columns(['video']).rename_column('video', 'video1')
        rows = rows.add_column('video2', [files[i] for i in (0, 1, 3, 2)])
        rows = rows.cast_column('video2', Video()).add_column('label', [1, 1, 0, 0])
        task.dataset, task.data_loaded = dict(default=dict(test=rows)), True
        assert self.run(mteb, encoder, task)['max_ap'] == 1.0  # a video is most like itself

    def test_other_weights_or_masks_are_another_revision(self, models):
        revisions = {k: MTEBEncoder(m, 'tiny').mteb_model_meta.revision for k, m in models.items()}
        assert len(set(revisions.values())) == 3
        again = MTEBEncoder(retriever(TOKENS), 'tiny').mteb_model_meta.revision
        assert again == revisions['words']
