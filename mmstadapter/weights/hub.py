"""Weights of Hugging Face: a folder of ``save_pretrained``, a repository, a file in the cache.

What a model is, its file does not say, but the configs beside it do. So a file is always given
by its path in its folder, which in the cache is a link, and never by what the link leads to.
Fetching is huggingface_hub's: its cache, resuming, mirrors, proxies, tokens and HF_HUB_OFFLINE.
"""

from collections.abc import Callable
from pathlib import Path

from .containers import INDEX, read_index

PREFIX = 'hf:'
ADAPTER = 'adapter.safetensors'  # what `mmstadapter fit` and `push` call theirs
FILES = (  # of transformers, open_clip and timm, pickles behind; of our own
    'model.safetensors',
    'open_clip_model.safetensors',
    'model.safetensors.index.json',
    'open_clip_pytorch_model.bin',
    'pytorch_model.bin',
    'pytorch_model.bin.index.json',
    ADAPTER,
)
CONFIGS = ('config.json', 'open_clip_config.json')


def in_folder(folder: Path) -> Path:
    """The file of weights in a folder that ``save_pretrained`` wrote.

    Raises:
        FileNotFoundError: if it holds none.
    """
    found = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if found is None:
        raise FileNotFoundError(
            f'locate: {folder} is a folder without {", ".join(FILES[:-1])} or {FILES[-1]}. Give '
            'the path of the file itself.'
        )
    return found


def adapter_file(name: str | Path, revision: str | None = None) -> Path:
    """An adapter file by its path, by that of its folder, or by its name at the hub.

    Args:
        name: whatever it is called by; ``hf:OWNER/NAME[@REVISION]`` is fetched on first use.
        revision: branch, tag or commit of a repository.

    Raises:
        ValueError, RuntimeError: see :func:`from_hub`; whether a path leads to a file is not
            looked at.
    """
    if str(name).startswith(PREFIX):
        return from_hub(str(name), (ADAPTER,), revision)
    path = Path(name).expanduser()
    return path / ADAPTER if path.is_dir() else path


def from_hub(name: str, files: tuple[str, ...] = FILES, revision: str | None = None) -> Path:
    """The file of ``hf:OWNER/NAME[@REVISION][/FILE]``, with its configs beside it.

    Args:
        name: as above.
        files: what the repository may call it, the first that is there is taken.
        revision: branch, tag or commit, where the name has none.

    Raises:
        ValueError: for a name of another form.
        RuntimeError: without huggingface_hub, or if the file cannot be had.
    """
    repository, named, wanted = _parts(name)
    revision = revision or named
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, HFValidationError
    except ImportError as error:
        raise RuntimeError(
            f'{name}: huggingface_hub is needed and cannot be imported ({error}). Install it with '
            "pip install 'mmstadapter[hub]', or give the path of a file."
        ) from None

    def fetch(file: str) -> Path | None:
        """None where the repository has no such file, or nothing is known of it offline."""
        try:
            return Path(hf_hub_download(repository, file, revision=revision))
        except EntryNotFoundError:
            return None
        except (HFValidationError, OSError, ValueError) as error:
            reason = str(error).strip().split('\n')[0]
            raise RuntimeError(f'{name}: {file} cannot be fetched: {reason}') from error

    for config in CONFIGS:  # before the weights: without them nobody would know what these are
        fetch(config)
    return _first(name, fetch, (wanted,) if wanted else files)


def _first(name: str, fetch: Callable[[str], Path | None], files: tuple[str, ...]) -> Path:
    for file in files:
        path = fetch(file)
        if path is not None:
            for shard in sorted(set(read_index(path).values())) if file.endswith(INDEX) else ():
                if fetch(str(Path(file).with_name(shard))) is None:
                    raise RuntimeError(f'{name}: {file} lists {shard}, which cannot be fetched.')
            return path
    raise RuntimeError(
        f'{name}: none of {", ".join(files)} is there, or huggingface.co cannot be reached and the '
        'cache has none of them (HF_HUB_OFFLINE, HF_HOME). Look at the name, or give a path.'
    )


def _parts(name: str) -> tuple[str, str | None, str | None]:
    """'hf:a/b@main/c/d.bin' -> ('a/b', 'main', 'c/d.bin')."""
    owner, _, rest = name.removeprefix(PREFIX).partition('/')
    repository, _, file = rest.partition('/')
    repository, _, revision = repository.partition('@')
    if not owner or not repository:
        raise ValueError(
            f'{name!r} must be hf:OWNER/NAME, as hf:openai/clip-vit-base-patch16, with @REVISION '
            'and /FILE behind it if wanted.'
        )
    return f'{owner}/{repository}', revision or None, file or None


def link_to(path: Path) -> Path:
    """The link of Hugging Face's cache that leads to a blob given by its own path.

    Any other path is given back as it is.
    """
    snapshots = path.parent.parent / 'snapshots'
    if path.parent.name != 'blobs' or not snapshots.is_dir():
        return path
    links = (link for link in sorted(snapshots.rglob('*')) if link.is_file())
    return next((link for link in links if link.samefile(path)), path)
