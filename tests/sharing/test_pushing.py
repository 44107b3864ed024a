"""What is sent to the hub is whole and data alone, and is read back by its name."""

import pickle
import sys

import pytest
import torch

from mmstadapter import from_pretrained, push_to_hub, save_pretrained
from mmstadapter.commands import push
from mmstadapter.testing import toy_clips

from .conftest import LABELS


def test_a_model_is_sent_and_comes_back_by_its_name(adapter, model, uploads, hub):
    address = push_to_hub(adapter, 'me/toy', include_trunk=True, license='mit', private=True)
    assert address.startswith('https://huggingface.co/me/toy/commit/')
    sent = uploads / 'me/toy'
    options = (sent / '.options').read_text()
    assert "'private': True" in options and "'exist_ok': True" in options
    (sent / '.options').unlink()
    assert sorted(p.name for p in sent.iterdir()) == [
        'README.md', 'adapter.safetensors', 'config.json',
    ]  # fmt: skip
    assert "from_pretrained('hf:me/toy')" in (sent / 'README.md').read_text()
    hub('me/toy', sent)
    again, clips = from_pretrained('hf:me/toy'), toy_clips(num_frames=8)
    assert torch.equal(again(clips), model(clips)) and again.labels == LABELS


def test_a_folder_is_sent_as_it_was_edited(adapter, uploads, tmp_path):
    folder = save_pretrained(adapter, tmp_path / 'out', include_trunk=True)
    card = (folder / 'README.md').read_text().replace('license: unknown', 'license: mit')
    (folder / 'README.md').write_text(card)
    (folder / 'pictures').mkdir()
    (folder / 'pictures/a.png').write_bytes(b'\x89PNG')
    push_to_hub(folder, 'hf:me/toy')
    assert (uploads / 'me/toy/README.md').read_text() == card
    assert (uploads / 'me/toy/pictures/a.png').is_file()
    with pytest.raises(ValueError, match='is saved already, so license cannot be set'):
        push_to_hub(folder, 'me/toy', license='mit')


@pytest.mark.parametrize('name', ['train.py', 'notes/x.bin', 'weights.json', 'link.txt'])
def test_a_folder_with_anything_but_data_is_not_sent(adapter, uploads, tmp_path, name):
    folder = save_pretrained(adapter, tmp_path / 'out', include_trunk=True)
    (folder / 'notes').mkdir()
    if name == 'link.txt':
        (folder / name).symlink_to('/etc/hostname')
    else:
        (folder / name).write_bytes(pickle.dumps(3))
    with pytest.raises(ValueError, match=rf'holds .*{name}, and a shared model is data alone'):
        push_to_hub(folder, 'me/toy')
    assert not uploads.exists()


def test_a_folder_without_its_card_is_not_sent(adapter, uploads, tmp_path):
    folder = save_pretrained(adapter, tmp_path / 'out', include_trunk=True)
    (folder / 'README.md').unlink()
    with pytest.raises(FileNotFoundError, match=r'lacks README\.md, the card'):
        push_to_hub(folder, 'me/toy')
    assert not uploads.exists()


@pytest.mark.parametrize('name', ['toy', 'me/a b', 'me/toy/x', 'me/..', ''])
def test_a_name_that_cannot_be_is_refused_before_any_work(uploads, name):
    with pytest.raises(ValueError, match='push_to_hub: '):
        push_to_hub('gone.safetensors', name)


def test_what_the_hub_says_is_said(adapter, uploads, monkeypatch):
    import huggingface_hub

    def refuse(*_, **__):
        raise OSError('401 Client Error.\nInvalid user token.')

    monkeypatch.setattr(huggingface_hub.HfApi, 'create_repo', refuse)
    with pytest.raises(RuntimeError, match=r'me/toy: could not be sent: 401 Client Error\.'):
        push_to_hub(adapter, 'me/toy', include_trunk=True)


def test_without_the_library_it_says_what_to_install(adapter, monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub.utils', None)
    with pytest.raises(RuntimeError, match=r"pip install 'mmstadapter\[hub\]'"):
        push_to_hub(adapter, 'me/toy')


class TestCommand:
    def test_it_writes_and_sends(self, adapter, uploads, tmp_path, capsys):
        words = [str(adapter), 'me/toy', '--folder', str(tmp_path / 'out'), '--include-trunk']
        push.main([*words, '--license', 'mit', '--data', 'Toy videos'])
        out = capsys.readouterr().out
        assert 'README.md: fill in what stands as [to be filled in]' in out
        assert 'https://huggingface.co/me/toy/commit/' in out
        card = (uploads / 'me/toy/README.md').read_text()
        assert 'license: mit' in card and 'Toy videos' in card
        push.main([str(tmp_path / 'out'), 'me/again'])
        assert (uploads / 'me/again/README.md').read_text() == card

    def test_what_it_cannot_do_is_one_sentence(self, adapter, tmp_path):
        for words, said in (
            ([adapter, '--folder', tmp_path / 'out'], 'nobody else has'),
            ([adapter, 'toy'], 'must be OWNER/NAME'),
            ([tmp_path / 'gone.safetensors', '--folder', tmp_path / 'out'], 'no adapter file'),
            ([adapter, '--folder', adapter.parent, '--include-trunk'], 'not empty'),
        ):
            with pytest.raises(SystemExit, match=said):
                push.main(list(map(str, words)))
        with pytest.raises(SystemExit) as end:
            push.main([str(adapter)])
        assert end.value.code == 2
