"""What can be looked for: words, examples, words minus words; and which hits are given."""

import csv
import json
import re
import shutil

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import mmstadapter
from mmstadapter.commands import search as command
from mmstadapter.search.asking import Asked, Example, Query
from mmstadapter.search.choosing import Hit, Wanted
from mmstadapter.search.first_stage import pooled
from mmstadapter.search.storage import VideoStamp
from mmstadapter.search.writer import writing

from .conftest import write_video
from .test_video_index import tokens, vectors, write

DARK = 'a dark video'


@pytest.fixture(scope='module')
def index(library, model, tmp_path_factory):
    """An index of the library in segments of 4 seconds: its folder."""
    folder = tmp_path_factory.mktemp('search') / 'index'
    mmstadapter.index_videos(library, folder, model, 4, say=lambda line: None)
    return folder


@pytest.fixture(scope='module')
def search(index):
    """A search in it that has been asked for an example before."""
    return mmstadapter.VideoSearch(index, device='cpu', examples=True)


class TestExamples:
    @pytest.mark.parametrize(
        ('part', 'start', 'end'),
        [('', 0.0, None), ('@1-2.5', 1.0, 2.5), ('@0:01-1:02.5', 1.0, 62.5)],
    )
    def test_a_part_is_written_behind_the_name(self, tmp_path, part, start, end):
        (tmp_path / 'a@b.mp4').touch()
        assert Example.of(f'{tmp_path}/a@b.mp4{part}') == (f'{tmp_path}/a@b.mp4', start, end)

    def test_a_file_that_is_called_like_a_part_is_that_file(self, tmp_path):
        (tmp_path / 'a@1-2').touch()
        assert Example.of(tmp_path / 'a@1-2') == (f'{tmp_path}/a@1-2', 0.0, None)

    def test_no_file_and_no_length_are_refused(self, tmp_path):
        (tmp_path / 'a.mp4').touch()
        with pytest.raises(FileNotFoundError, match=r'FILE@12.5-15'):
            Example.of(tmp_path / 'b.mp4@1-2')
        with pytest.raises(ValueError, match='ends before it begins'):
            Example.of(f'{tmp_path}/a.mp4@2-2')

    def test_a_segment_finds_itself_first_with_a_cosine_of_one(self, search, library):
        hits = search(like=f'{library}/bright.mp4@4-8')
        assert (hits[0].video, hits[0].start) == ('bright.mp4', 4.0)
        assert hits[0].score == pytest.approx(1, abs=1e-3)

    def test_the_score_is_the_cosine_of_pooled_vectors(self, search, library):
        example = search.model.encode_clips([search.model.clip(library / 'short.mp4')])
        found = search.index.search(Asked.like(example), topk=9)[0]
        assert found == search(like=library / 'short.mp4', topk=9)
        own = {h.start: h.score for h in found if h.video == 'bright.mp4'}
        segments = search.model.segments(library / 'bright.mp4', 4)
        clips = {s.start: search.model.encode_clips([s.clip]) for s in segments}
        for start, features in clips.items():
            cosine = F.cosine_similarity(pooled(features), pooled(example)).item()
            assert own[start] == pytest.approx(cosine, abs=1e-3)

    @pytest.mark.parametrize('suffix', ['jpg', 'png', 'webp'])
    def test_a_picture_is_a_video_of_one_frame(self, search, tmp_path, suffix):
        path, still = tmp_path / f'p.{suffix}', write_video(tmp_path / 'a.mp4', 180, seconds=0.2)
        frame = mmstadapter.open_video(str(still)).read([0])[0]
        Image.fromarray(frame).save(path, quality=95, lossless=True)
        own, its = (
            search.model.encode_clips([search.model.clip(file)])['vector'] for file in (path, still)
        )
        torch.testing.assert_close(own, its, atol=0.05, rtol=0)
        assert len(search(like=path)) == 5

    def test_frames_are_those_of_the_part(self, search, library):
        path = library / 'bright.mp4'
        parts = {s.start: s.clip for s in search.model.segments(path, 4)}
        assert torch.equal(search.model.clip(path, 4, 8), parts[4.0])
        assert not torch.equal(search.model.clip(path), parts[0.0])
        assert search.model.clip(path, 11.95, 99).unique(dim=1).shape[1] == 1  # the last frame

    def test_what_lies_behind_the_end_is_refused(self, search, library):
        with pytest.raises(ValueError, match=r'is 12\.00 s long.*from 13 s'):
            search(like=f'{library}/bright.mp4@13-14')

    def test_what_cannot_be_decoded_is_named(self, search, library):
        with pytest.raises(mmstadapter.VideoReadError, match='broken.mp4'):
            search(like=library / 'broken.mp4')

    def test_the_video_side_is_built_for_the_first_example(self, index, library):
        search = mmstadapter.VideoSearch(index, device='cpu')
        assert search.model.captions_only
        assert search(DARK) and search.model.captions_only
        assert search(like=library / 'short.mp4') and not search.model.captions_only

    def test_examples_of_another_width_are_refused(self, search):
        with pytest.raises(ValueError, match='8 numbers, the segments 16'):
            search.index.search(Asked.like(dict(vector=torch.ones(1, 8))))


class TestMixtures:
    def test_words_minus_words_is_the_difference_of_their_scores(self, search):
        first, second = ({(h.video, h.start): h.score for h in search(words, 9)} for words in (
            DARK, 'a bright video'))  # fmt: skip
        hits = search(DARK, 9, minus='a bright video')
        assert len(hits) == 5 and hits == sorted(hits, key=lambda hit: -hit.score)
        for hit in hits:
            key = hit.video, hit.start
            assert hit.score == pytest.approx(first[key] - second[key], abs=1e-4)

    def test_words_and_examples_count_alike(self, search, library):
        path, other = str(library / 'short.mp4'), f'{library}/bright.mp4@0-4'
        parts = [search(DARK, 9), search(like=path, topk=9), search(like=other, topk=9)]
        scores = [{(h.video, h.start): h.score for h in hits} for hits in parts]
        for hit in search(Query(DARK, (path, other)), 9):
            mean = sum(own[hit.video, hit.start] for own in scores) / 3
            assert hit.score == pytest.approx(mean, abs=1e-4)

    def test_several_queries_find_what_each_finds(self, search, library):
        queries = [DARK, {'words': DARK, 'minus': ['a bright video']}]
        queries += [Query(like=(str(library / 'short.mp4'),)), 'a grey video']
        one = [search(Query.of(query), 4) for query in queries]
        assert search.many(queries, 4) == one

    def test_token_wise_models_compare_words_their_own_way(self, tmp_path):
        videos, text, clips = tokens(12), tokens(2, length=7, seed=9), tokens(1, seed=5)
        found = mmstadapter.VideoIndex(write(tmp_path / 'i', ('a.mp4', videos)))
        shares = torch.tensor([[0.5, -1.0], [1.0, 0.0]])
        examples = torch.tensor([[0.5], [0.0]])
        asked = Asked(text, shares, pooled(clips), examples)
        cosines = pooled(clips) @ pooled(videos).T
        expected = shares @ mmstadapter.score(text, videos) + examples @ cosines
        for options in (dict(exact=True), dict(candidates=12)):
            for row, hits in zip(expected, found.search(asked, 12, **options), strict=True):
                at = [round(hit.start / 2) for hit in hits]
                scores = torch.tensor([hit.score for hit in hits])
                torch.testing.assert_close(scores, row[at], atol=1e-3, rtol=0)
                assert len(hits) == 12 and (scores.diff() <= 0).all()

    @pytest.mark.parametrize(
        'asked',
        [dict(), dict(minus='a video'), dict(caption=' '), dict(caption=DARK, minus=' '),
         dict(caption=DARK, minus=DARK)],
    )  # fmt: skip
    def test_what_finds_nothing_is_refused(self, search, asked):
        with pytest.raises(ValueError, match='captions with words|minus itself'):
            search(**asked)

    @pytest.mark.parametrize('asked', [3, ['a'], {'word': 'a'}, {'words': 3}])
    def test_what_is_no_query_is_refused(self, search, asked):
        with pytest.raises(ValueError, match='a query'):
            search.many([asked])


def ranked(*segments: tuple[str, float, float]) -> list[Hit]:
    """Hits of 2 seconds: video, start, score."""
    return [Hit(video, start, start + 2, score) for video, start, score in segments]


HITS = ranked(('a', 4, 0.9), ('a', 2, 0.8), ('b', 0, 0.7), ('a', 8, 0.6), ('a', 6, 0.5))


class TestWanted:
    @pytest.mark.parametrize(
        ('wanted', 'found', 'more'),
        [
            (Wanted(2), [('a', 4, 6), ('a', 2, 4)], False),
            (Wanted(9), [('a', 4, 6), ('a', 2, 4), ('b', 0, 2), ('a', 8, 10), ('a', 6, 8)], True),
            (Wanted(9, min_score=0.75), [('a', 4, 6), ('a', 2, 4)], False),
            (Wanted(2, by_video=True), [('a', 4, 6), ('b', 0, 2)], False),
            (Wanted(3, by_video=True), [('a', 4, 6), ('b', 0, 2)], True),
            (Wanted(2, dedupe=True), [('a', 2, 6), ('b', 0, 2)], False),
            (Wanted(3, dedupe=True), [('a', 2, 10), ('b', 0, 2)], True),
            (Wanted(3, min_score=0.55, dedupe=True), [('a', 2, 6), ('b', 0, 2), ('a', 8, 10)],
             False),
            (Wanted(3, by_video=True, dedupe=True), [('a', 2, 8), ('b', 0, 2)], True),
        ],
    )  # fmt: skip
    def test_it_chooses(self, wanted, found, more):
        hits, ended = wanted.choose(HITS)
        assert ([(h.video, h.start, h.end) for h in hits], ended) == (found, more)
        assert hits[0].score == 0.9

    def test_a_segment_between_two_hits_makes_them_one(self):
        hits, _ = Wanted(5, dedupe=True).choose(
            ranked(('a', 0, 0.9), ('a', 4, 0.8), ('b', 2, 0.7), ('a', 2, 0.6))
        )
        assert [(h.video, h.start, h.end) for h in hits] == [('a', 0, 6), ('b', 2, 4)]

    @pytest.mark.parametrize('options', [dict(topk=0), dict(min_score=float('nan'))])
    def test_numbers_that_are_none_are_refused(self, options):
        with pytest.raises(ValueError, match='topk must be at least 1 and min_score a number'):
            Wanted(**options)

    @pytest.mark.parametrize('exact', [False, True])
    @pytest.mark.parametrize('make', [vectors, tokens])
    def test_it_goes_on_until_there_are_enough_videos(self, tmp_path, exact, make):
        """The 60 segments nearest to the query are of one video."""
        near = make(1)
        with writing(tmp_path / 'i', {}, '/videos', 2.0) as out:
            same = {name: tensor.expand(60, *tensor.shape[1:]) for name, tensor in near.items()}
            spans = [(2.0 * i, 2.0 * i + 2) for i in range(60)]
            out.add(VideoStamp('near.mp4', 1, 0), same, spans)
            for seed in range(1, 4):
                out.add(VideoStamp(f'{seed}.mp4', 1, 0), make(1, seed=seed), spans[:1])
            out.commit()
        index = mmstadapter.VideoIndex(tmp_path / 'i')
        options = dict(exact=exact, candidates=5)
        hits = index.search(near, 3, by_video=True, **options)[0]
        assert len({hit.video for hit in hits}) == 3 and hits[0].video == 'near.mp4'
        assert len(index.search(near, 9, by_video=True, **options)[0]) == 4

    def test_it_goes_on_until_neighbours_are_one(self, tmp_path):
        """The first 30 segments of one video are like the query, each less than the one before."""
        near, other = vectors(2)['vector']
        alike = torch.stack([F.normalize(near + 0.01 * i * other, dim=0) for i in range(30)])
        found = mmstadapter.VideoIndex(
            write(tmp_path / 'i', ('a.mp4', dict(vector=alike)), ('b.mp4', vectors(3, seed=4)))
        ).search(dict(vector=near[None]), 2, dedupe=True)[0]
        assert [hit.video for hit in found] == ['a.mp4', 'b.mp4']
        assert (found[0].start, found[0].end) == (0.0, 60.0)
        assert found[0].score == pytest.approx(1, abs=1e-3)


class TestCommand:
    @pytest.fixture
    def run(self, index, capsys, monkeypatch, tmp_path):
        """``run(...)``: what was printed, or the sentence it ended with."""
        monkeypatch.chdir(tmp_path)

        def run(*arguments) -> str:
            try:
                command.main([*map(str, arguments), '--index', str(index), '--device', 'cpu'])
            except SystemExit as end:
                return f'{end.code} {capsys.readouterr().err}'
            return capsys.readouterr().out

        return run

    def test_examples_minus_and_choices(self, run, library):
        like, minus = f'{library}/bright.mp4@4-8', 'a dark video'
        found = json.loads(run('--like', like, '--minus', minus, '--json', '-', '--by-video'))
        assert (found['query'], found['like'], found['minus']) == ('', [like], [minus])
        assert found['hits'][0]['video'] == 'bright.mp4'
        assert len({hit['video'] for hit in found['hits']}) == len(found['hits']) == 3
        assert len(json.loads(run(DARK, '--dedupe', '--json', '-'))['hits']) == 3
        assert 'No segment has a score of 2 or more.' in run(DARK, '--min-score', 2)

    def test_a_file_of_queries_is_answered_as_a_table(self, run, tmp_path):
        lines = [DARK, '', '{"words": "a video", "minus": ["a grey video"]}']
        (tmp_path / 'q.txt').write_text('\n'.join(lines))
        printed = run('--queries', 'q.txt', '--topk', 2, '--csv', '-')
        rows = list(csv.DictReader(printed.splitlines()))
        assert [(row['query'], row['rank']) for row in rows] == [
            (DARK, '1'), (DARK, '2'), ('a video minus a grey video', '1'),
            ('a video minus a grey video', '2')]  # fmt: skip
        run('--queries', 'q.txt', '--topk', 2, '--csv', 'new/o.csv', '--html', 'o.html')
        assert (tmp_path / 'new/o.csv').read_text() == printed
        assert (tmp_path / 'o.html').read_text().count('<figure>') == 4
        printed = run('--queries', 'q.txt', '--topk', 2)
        assert 'a video minus a grey video\n' in printed and printed.startswith(f'{DARK}\n')

    @pytest.mark.parametrize(
        ('line', 'message'),
        [('{"word": "a"}', 'line 2: .*a query has words'), ('{"words', 'line 2: '),
         ('{"minus": ["a"]}', 'line 2: .*minus alone')],
    )  # fmt: skip
    def test_a_line_that_is_no_query_is_named(self, run, tmp_path, line, message):
        (tmp_path / 'q.txt').write_text(f'{DARK}\n{line}\n')
        assert re.search(message, run('--queries', 'q.txt'))

    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [((), 'captions with words'), (('--queries', 'none.txt'), 'none.txt'),
         (('a', '--queries', 'q'), 'leave the other queries out'),
         (('a', '--json', '-', '--csv', '-'), 'cannot both'),
         (('--like', 'none.mp4'), 'no file none.mp4')],
    )  # fmt: skip
    def test_bad_input_ends_with_a_sentence(self, run, arguments, message):
        assert message in run(*arguments)

    def test_names_that_are_no_text_keep_their_bytes(self, model, library, tmp_path, monkeypatch):
        (tmp_path / 'v').mkdir()
        shutil.copy(library / 'short.mp4', tmp_path / 'v/caf\udce9.mp4')
        mmstadapter.index_videos(tmp_path / 'v', tmp_path / 'i', model, 4, say=lambda line: None)
        arguments = ['--index', f'{tmp_path}/i', '--device', 'cpu', '--csv', f'{tmp_path}/o.csv']
        command.main([DARK, *arguments])
        assert b'caf\xe9.mp4' in (tmp_path / 'o.csv').read_bytes()
