"""Send a trained model to the hub; tokens, retries and commits are huggingface_hub's."""

import tempfile
from pathlib import Path
from typing import Any

from torch import nn

from ..apis.finished import Fitted
from ..printing import shown
from ..weights import PREFIX
from .folder import CARD, CONFIG, others, read_config
from .saving import save_pretrained


def push_to_hub(
    model: str | Path | Fitted | nn.Module,
    name: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    message: str | None = None,
    token: str | bool | None = None,
    **card: Any,
) -> str:
    """Send a trained model to Hugging Face, as one commit.

        mmstadapter.push_to_hub('work_dirs/fit_mine', 'OWNER/NAME', license='apache-2.0')

    The repository is made if there is none; in one that is there the commit comes on top, so
    that what it held stays in its history.

    Args:
        model: as :func:`save_pretrained` takes it, or a folder that it wrote, whose card may
            have been edited since, to send as it is.
        name: ``'OWNER/NAME'``.
        private: of a new repository, whether others may see it; the owner's default if None.
        revision: branch to commit to, which must be there; the main one if None.
        message: of the commit.
        token: as huggingface_hub takes it; that of ``hf auth login`` or HF_TOKEN if None.
        card: for a model that is not saved yet, the options of :func:`save_pretrained`.

    Returns:
        The address of the commit.

    Raises:
        ValueError, TypeError: another form of name; a folder with more than data, or without
            card; a model that cannot be shared as it is.
        RuntimeError: without huggingface_hub, or if it could not be sent.
    """
    name = repository(name)
    if isinstance(model, str | Path) and (Path(model).expanduser() / CONFIG).is_file():
        if card:
            raise ValueError(
                f'push_to_hub: {model} is saved already, so {", ".join(card)} cannot be set. Edit '
                f'its {CARD}, or save the model again.'
            )
        return _send(Path(model).expanduser(), name, private, revision, message, token)
    with tempfile.TemporaryDirectory() as place:
        folder = save_pretrained(model, Path(place, 'model'), **dict(name=name) | card)
        return _send(folder, name, private, revision, message, token)


def repository(name: str) -> str:
    """'hf:OWNER/NAME' or 'OWNER/NAME' -> 'OWNER/NAME'.

    Raises:
        ValueError: for another form.
        RuntimeError: without huggingface_hub.
    """
    try:
        from huggingface_hub.utils import HFValidationError, validate_repo_id
    except ImportError as error:
        raise RuntimeError(
            f'{name}: huggingface_hub is needed and cannot be imported ({error}). Install it with '
            "pip install 'mmstadapter[hub]'."
        ) from None
    bare = name.removeprefix(PREFIX)
    try:
        validate_repo_id(bare)
    except HFValidationError as error:
        raise ValueError(
            f'push_to_hub: {shown(name)} is no name of a repository: {error}'
        ) from None
    if '/' not in bare:
        raise ValueError(f'push_to_hub: {name} must be OWNER/NAME, so that it is sure whose it is.')
    return bare


def require_sendable(folder: Path) -> None:
    """Raise unless a folder holds a shared model with its card and nothing else but data.

    Raises:
        FileNotFoundError: if something lacks.
        ValueError: with the names of what is more.
    """
    read_config(folder)
    if not (folder / CARD).is_file():
        raise FileNotFoundError(f'{folder}: lacks {CARD}, the card. Save the model again.')
    strangers = others(folder) + [str(p) for p in folder.rglob('*') if p.is_symlink()]
    if strangers:
        raise ValueError(
            f'{folder}: holds {shown(", ".join(strangers[:5]))}, and a shared model is data alone: '
            'no code, no pickle, no link. Move it elsewhere.'
        )


def _send(
    folder: Path,
    name: str,
    private: bool | None,
    revision: str | None,
    message: str | None,
    token: str | bool | None,
) -> str:
    from huggingface_hub import HfApi

    require_sendable(folder)
    api = HfApi(token=token, library_name='mmstadapter')
    try:
        api.create_repo(name, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=name,
            folder_path=str(folder),
            commit_message=message or 'Share a model of mmstadapter',
            revision=revision,
            ignore_patterns=['.git/**', '.cache/**'],
        )
    except Exception as error:  # of the hub, of the network, whatever its client is today
        reason = str(error).strip().partition('\n')[0] or type(error).__name__
        raise RuntimeError(f'{name}: could not be sent: {reason}') from error
    return str(getattr(done, 'commit_url', None) or done)
