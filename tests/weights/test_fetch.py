"""Known names are fetched once, checked and never half there."""

import hashlib
import multiprocessing
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mmstadapter.weights import fetch, locate

CONTENT = b'weights' * 100_000


class Server(SimpleHTTPRequestHandler):
    """Serves a folder and remembers what was asked for."""

    requests: list[str] = []

    def do_GET(self):
        self.requests.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A known name 'toy' on a local server; yields the list of requests."""
    (tmp_path / 'served').mkdir()
    (tmp_path / 'served' / 'toy.pt').write_bytes(CONTENT)
    handler = partial(Server, directory=str(tmp_path / 'served'))
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f'http://127.0.0.1:{server.server_port}/toy.pt'
    known = fetch.Known(url, hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(fetch, 'KNOWN', {'toy': known})
    monkeypatch.setenv('MMSTADAPTER_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    Server.requests.clear()
    yield Server.requests
    server.shutdown()
    server.server_close()


def leftovers(tmp_path):
    return [path.name for path in (tmp_path / 'cache').glob('*.part')]


def test_a_known_name_is_fetched_once(published, tmp_path):
    path = locate('toy')
    assert path == tmp_path / 'cache' / 'toy.pt' and path.read_bytes() == CONTENT
    assert locate('toy') == path and len(published) == 1
    assert not leftovers(tmp_path)


@pytest.mark.processes
def test_four_processes_at_once_fetch_it_once(published):
    context = multiprocessing.get_context('fork')
    workers = [context.Process(target=locate, args=('toy',)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert locate('toy').read_bytes() == CONTENT and len(published) == 1


def test_a_file_with_another_digest_is_an_error_that_says_so(published, tmp_path):
    locate('toy').write_bytes(b'something else')
    with pytest.raises(RuntimeError, match='toy.pt is not the published file.*Remove it'):
        locate('toy')


def test_a_download_with_another_digest_is_not_kept(published, tmp_path):
    (tmp_path / 'served' / 'toy.pt').write_bytes(CONTENT[:-1])
    with pytest.raises(RuntimeError, match=f'{len(CONTENT) - 1} of {len(CONTENT) - 1} bytes'):
        locate('toy')
    assert not (tmp_path / 'cache' / 'toy.pt').exists() and not leftovers(tmp_path)


def test_a_failed_fetch_says_which_file_to_put_where(published, tmp_path):
    (tmp_path / 'served' / 'toy.pt').unlink()
    with pytest.raises(RuntimeError) as error:
        locate('toy')
    url, sha256 = fetch.KNOWN['toy']
    for needed in (url, sha256, str(tmp_path / 'cache' / 'toy.pt'), '404'):
        assert needed in str(error.value)


def test_a_file_put_there_by_hand_is_used(published, tmp_path):
    (tmp_path / 'cache').mkdir()
    (tmp_path / 'cache' / 'toy.pt').write_bytes(CONTENT)
    assert locate('toy').read_bytes() == CONTENT and not published


def test_a_path_is_itself(tmp_path):
    (tmp_path / 'x.pt').touch()
    assert locate(tmp_path / 'x.pt') == tmp_path / 'x.pt'


def test_neither_path_nor_known_name(tmp_path):
    with pytest.raises(FileNotFoundError, match='ViT-B-17.*one of openai/ViT-B-32'):
        locate('openai/ViT-B-17')


def test_every_known_url_carries_its_digest():
    assert len(fetch.KNOWN) == 4
    for known in fetch.KNOWN.values():
        assert len(known.sha256) == 64 and f'/{known.sha256}/' in known.url


def test_the_cache_is_in_the_users_cache_folder_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv('MMSTADAPTER_CACHE', raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert fetch.cache_dir() == tmp_path / 'mmstadapter'
