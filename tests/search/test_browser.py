"""The page of `mmstadapter serve` in a real browser, and its server's doors."""

import json
import os
import shutil
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

import mmstadapter
from mmstadapter.serving.labelling import Labeller
from mmstadapter.serving.page import Page, application
from mmstadapter.testing import write_tiny_adapter

pytestmark = [pytest.mark.slow, pytest.mark.processes]
NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'chrome', 'headless_shell')
PATIENCE = 120_000  # milliseconds


@pytest.fixture(scope='module')
def address(library, model, tmp_path_factory):
    """Where the page is served, by this process."""
    pytest.importorskip('gradio', reason='the extra `app` is not installed')
    uvicorn = pytest.importorskip('uvicorn')
    folder = tmp_path_factory.mktemp('page')
    mmstadapter.index_videos(library, folder / 'index', model, 4, say=lambda line: None)
    search = mmstadapter.VideoSearch(folder / 'index', device='cpu')
    app = application(Page(search, Labeller(write_tiny_adapter(folder), 'cpu')))
    door = socket.socket()
    door.bind(('127.0.0.1', 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level='warning'))
    thread = threading.Thread(target=server.run, kwargs=dict(sockets=[door]), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.05)
    yield f'http://127.0.0.1:{door.getsockname()[1]}'
    server.should_exit = True
    thread.join(30)


@pytest.fixture
def tab(monkeypatch):
    """A browser's tab; ``MMSTADAPTER_BROWSER`` names the program where it is not on the path."""
    browser = os.environ.get('MMSTADAPTER_BROWSER') or next(
        filter(None, map(shutil.which, NAMES)), ''
    )
    if not browser or find_spec('playwright') is None:
        pytest.skip('no browser: install Chromium (or name one in MMSTADAPTER_BROWSER), playwright')
    from playwright import sync_api as playwright

    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=browser, args=['--no-sandbox', '--disable-gpu'], timeout=PATIENCE
        )
        page = chromium.new_page(viewport=dict(width=1100, height=900))
        page.set_default_timeout(PATIENCE)
        yield page
        chromium.close()


def test_one_types_sees_plays_and_drops(address, tab, library):
    asked, errors = [], []
    tab.on('request', lambda request: asked.append(request.url))
    tab.on('pageerror', lambda error: errors.append(str(error)))
    tab.goto(address)
    tab.get_by_label('Look for').fill('a dark video')
    tab.get_by_role('button', name='Search', exact=True).click()
    tab.wait_for_function("document.querySelectorAll('img[alt=preview]').length == 5")
    assert tab.locator('img[alt=preview]').first.evaluate('image => image.naturalHeight') == 112
    assert '0:04.0 to 0:08.0' in tab.content() and 'holidays/dark sea.mp4' in tab.content()
    tab.get_by_role('button', name='Play 2', exact=True).click()
    video = tab.locator('video[src^="data:video/mp4"]')
    video.wait_for(state='attached')
    if folder := os.environ.get('MMSTADAPTER_SCREENSHOTS'):
        tab.screenshot(path=str(Path(folder) / 'search.png'))

    tab.get_by_role('tab', name='Label').click()
    tab.locator('input[type=file]').last.set_input_files(str(library / 'bright.mp4'))
    tab.locator('img[alt="scores over time"]').wait_for(state='attached')
    assert 'segments' in tab.content() or 'No score reaches' in tab.content()
    if folder := os.environ.get('MMSTADAPTER_SCREENSHOTS'):
        tab.screenshot(path=str(Path(folder) / 'label.png'))
    elsewhere = {url for url in asked if not url.startswith((address, 'data:', 'blob:'))}
    assert not elsewhere and not errors


class TestServer:
    @pytest.mark.parametrize('name', ['{}', '../{}', '/etc/passwd', '../../../../etc/passwd'])
    @pytest.mark.parametrize(
        'way', ['/file=', '/gradio_api/file=', '/gradio_api//file=', '/gradio_api/file/', '/',
                '/static/', '/assets/', '/gradio_api/upload_progress?upload_id='])  # fmt: skip
    def test_no_file_is_given_by_its_path(self, address, library, way, name):
        content = (library / 'short.mp4').read_bytes()
        for path in (name, urllib.parse.quote(name, safe=''), name.replace('/', '%2f')):
            place = way + path.format(library / 'short.mp4')
            try:
                with urllib.request.urlopen(address + place, timeout=5) as answer:
                    given = answer.read(len(content) + 9)
            except urllib.error.HTTPError as error:
                assert error.code in (400, 403, 404, 405, 422)
            except (TimeoutError, urllib.error.URLError):
                continue
            else:
                assert given != content and b'root:' not in given

    def test_an_event_takes_no_file_that_was_not_uploaded(self, address, library):
        with urllib.request.urlopen(f'{address}/config', timeout=60) as answer:
            events = json.load(answer)['dependencies']
        label = next(e['id'] for e in events if any(t[1] == 'upload' for t in e['targets']))
        file = dict(path=str(library / 'bright.mp4'), meta={'_type': 'gradio.FileData'})
        join = dict(data=[file], fn_index=label, session_hash='x')
        request = urllib.request.Request(
            f'{address}/gradio_api/queue/join', json.dumps(join).encode(),
            {'content-type': 'application/json'})  # fmt: skip
        urllib.request.urlopen(request, timeout=60).read()
        place, said = f'{address}/gradio_api/queue/data?session_hash=x', b''
        with urllib.request.urlopen(place, timeout=120) as stream:
            while b'process_completed' not in said:
                said += stream.readline()
        assert b'<table' not in said and (b'Drop a video' in said or b'"success":false' in said)
