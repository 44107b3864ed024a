"""The page: a tab that searches an index, a tab that labels a dropped video."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..datasets.packets import VideoReadError
from ..search.asking import Query
from ..search.choosing import Hit
from ..search.video_search import VideoSearch
from ..streams.picture import picture
from . import showing
from .door import Door
from .excerpts import Excerpts, NotShownError
from .labelling import Labeller

ABSENT = "serve: the page needs gradio: pip install 'mmstadapter[app]'"
SHOWN = 12  # hits
KEPT = (600, 3600)  # seconds between clearings of dropped files, and how long one stays
LARGEST = '2gb'


class Page:
    """What the page's events do; no event takes a path, an upload's aside.

    Args:
        search: of the index.
        labeller: behind ``--adapter``, or None.
    """

    def __init__(self, search: VideoSearch, labeller: Labeller | None = None) -> None:
        self.search, self.labeller = search, labeller
        self.excerpts = Excerpts(search.index)
        self.uploads = TemporaryDirectory(prefix='mmstadapter-')  # gone with the page

    def dropped(self, path: str | None) -> Path | None:
        """A dropped file, or None: an event that names any other file is a forged one."""
        if not path:
            return None
        found = Path(path).resolve()
        return found if found.is_relative_to(Path(self.uploads.name).resolve()) else None

    def find(self, words: str, minus: str, like: str | None, by_video: bool, dedupe: bool
             ) -> Iterator[tuple[list[Hit], str, list[str]]]:  # fmt: skip
        """Hits, a sentence about them, and a piece of HTML each: at once, then with previews."""
        try:
            example = self.dropped(like)
            likes = (str(example),) if example else ()
            query = Query(words or '', likes, (minus,) if minus else ())
            hits = self.search(query, SHOWN, by_video=by_video, dedupe=dedupe)
        except (KeyError, OSError, RuntimeError, ValueError) as error:
            yield [], showing.note(str(error.args[0] if error.args else error)), []
            return
        said = showing.text(f'{len(hits)} hits for {query.words or "the example"}')
        yield hits, said, [showing.hit(hit, None) for hit in hits]
        yield hits, said, [self._with_preview(hit) for hit in hits]

    def _with_preview(self, hit: Hit) -> str:
        try:
            return showing.hit(hit, self.excerpts.preview(hit))
        except NotShownError as error:
            return showing.hit(hit, None, f'No picture: the file {error}.')

    def play(self, hits: list[Hit], number: int) -> str:
        """The moment of the hit of that number."""
        if not 0 <= number < len(hits):
            return showing.note('There is no such hit.')
        try:
            return showing.player(hits[number], self.excerpts.moment(hits[number]))
        except NotShownError as error:
            return showing.note(f'Cannot be played: the file {error}.')

    def label(self, path: str | None) -> Iterator[tuple[str, str]]:
        """The labels of a dropped video as a whole, and over its time."""
        assert self.labeller is not None
        file = self.dropped(path)
        if file is None:
            yield showing.note('Drop a video first.'), ''
            return
        entry = self.labeller.whole(file)
        if 'error' in entry:
            yield showing.note(f'The file {entry["error"]}.'), ''
            return
        labels = showing.labels(entry)
        yield labels, showing.note('labelling window by window ...')
        try:
            found = self.labeller.timeline(file)
        except VideoReadError as error:
            yield labels, showing.note(f'The file {error.reason}.')
            return
        yield labels, showing.timeline(found, picture(found, 'png'))

    def look(self, path: str | None) -> str:
        """Where the model looks in a dropped video."""
        assert self.labeller is not None
        file = self.dropped(path)
        if file is None:
            return showing.note('Drop a video first.')
        try:
            return showing.image(self.labeller.attention(file))
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            return showing.note(str(error))


def build(page: Page) -> Any:
    """The page as Gradio's blocks.

    Raises:
        ImportError: without gradio.
    """
    gr = gradio()
    theme = gr.themes.Base(font=['system-ui', 'sans-serif'], font_mono=['monospace'])
    with gr.Blocks(title='mmstadapter', analytics_enabled=False, delete_cache=KEPT) as blocks:
        with gr.Tab('Search'):
            _search_tab(gr, page)
        if page.labeller is not None:
            with gr.Tab('Label'):
                _label_tab(gr, page)
    blocks.theme_of_page = theme
    return blocks


def gradio() -> Any:
    """The library, told to call nobody.

    Raises:
        ImportError: with what to install.
    """
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
    os.environ['HF_HUB_DISABLE_TELEMETRY'] = '1'
    try:
        import gradio as gr
    except ImportError as error:
        raise ImportError(ABSENT) from error
    return gr


def _search_tab(gr: Any, page: Page) -> None:
    with gr.Row():
        words = gr.Textbox(label='Look for', placeholder='a dog jumps into water', scale=3)
        minus = gr.Textbox(label='but not', scale=1)
    with gr.Row():
        like = gr.File(label='like this picture or video', type='filepath', height=110,
                       file_types=['image', 'video'], scale=2)  # fmt: skip
        with gr.Column(scale=1):
            by_video = gr.Checkbox(label='the best of each video')
            dedupe = gr.Checkbox(label='neighbours as one hit')
            go = gr.Button('Search', variant='primary')
    said, player, hits = gr.HTML(), gr.HTML(), gr.State([])
    columns, pieces, buttons = [], [], []
    for row in range(SHOWN // 4):
        with gr.Row():
            for place in range(4):
                with gr.Column(visible=False, min_width=180) as column:
                    pieces.append(gr.HTML())
                    buttons.append(gr.Button(f'Play {4 * row + place + 1}', size='sm'))
                columns.append(column)

    def find(*given: Any) -> Iterator[list[Any]]:
        for found, sentence, texts in page.find(*given):
            texts = texts + [''] * (SHOWN - len(texts))
            there = [gr.Column(visible=bool(text)) for text in texts]
            yield [found, sentence, '', *there, *texts]

    given = [words, minus, like, by_video, dedupe]
    for event in (words.submit, minus.submit, go.click):
        event(find, given, [hits, said, player, *columns, *pieces], api_visibility='private')
    for number, button in enumerate(buttons):
        button.click(lambda found, n=number: page.play(found, n), hits, player,
                     api_visibility='private')  # fmt: skip


def _label_tab(gr: Any, page: Page) -> None:
    video = gr.File(label='Drop a video', type='filepath', file_types=['video'])
    with gr.Row():
        go, look = gr.Button('Label', variant='primary'), gr.Button('Where does it look?')
    labels, timeline, picture = gr.HTML(), gr.HTML(), gr.HTML()
    for event in (video.upload, go.click):
        event(page.label, video, [labels, timeline], api_visibility='private')
    look.click(page.look, video, picture, api_visibility='private')


def application(page: Page, token: str | None = None) -> Any:
    """The whole as an ASGI application.

    Raises:
        ImportError: without gradio.
    """
    os.environ['GRADIO_TEMP_DIR'] = page.uploads.name
    gr = gradio()
    import fastapi

    blocks = build(page)
    app = gr.mount_gradio_app(
        fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None), blocks, path='/',
        theme=blocks.theme_of_page, ssr_mode=False, allowed_paths=[], max_file_size=LARGEST,
        footer_links=[])  # fmt: skip
    # Else Gradio takes whatever file an event names for an upload, and copies it to where it looks.
    blocks.has_launched = True
    return Door(app, token)
