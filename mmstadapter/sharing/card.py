"""The card of a shared model: README.md with the hub's metadata, made from what is known."""

import inspect
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from ..apis.adapter_model import AdapterModel
from ..apis.pipelines import clips_a_video, kind_of, samples_frames
from ..models.retrieval import Retriever
from ..printing import shown
from ..version import __version__
from ..weights import PREFIX
from .certificates import certificate_of
from .figures import Figure
from .folder import LIBRARY

AT_THE_HUB = {  # where the known files are published there
    'openai/ViT-B-32': 'openai/clip-vit-base-patch32',
    'openai/ViT-B-16': 'openai/clip-vit-base-patch16',
    'openai/ViT-L-14': 'openai/clip-vit-large-patch14',
    'openai/ViT-L-14-336': 'openai/clip-vit-large-patch14-336',
}
TO_FILL = '[to be filled in]'
FEW = 20  # classes that are named


def card_of(
    read: AdapterModel,
    name: str,
    figures: Sequence[Figure] = (),
    results: Mapping[str, Any] | None = None,
    data: str | None = None,
    license: str | None = None,
) -> str:
    """The text of README.md.

    Args:
        read: the model as it was read back from its file.
        name: ``'OWNER/NAME'``.
        figures: what a test found.
        results: the same as the test wrote it, for the number of videos and chance.
        data: what it was trained and tested on.
        license: of the adapter.
    """
    facts = _facts(read) | dict(name=name, data=data, license=license, figures=figures)
    head = metadata(facts)
    return _template().render(facts, metadata=head, results=results or {}, to_fill=TO_FILL)


def metadata(facts: Mapping[str, Any]) -> str:
    """What the hub reads of a card, as YAML."""
    task = 'feature-extraction' if facts['is_retriever'] else 'video-classification'
    tags = ['mmaction2', 'text-video-retrieval' if facts['is_retriever'] else 'action-recognition']
    found: dict[str, Any] = dict(library_name=LIBRARY, pipeline_tag=task)
    found |= dict(license=facts['license'] or 'unknown', tags=[*tags, facts['method']])
    if facts['base_model']:
        found |= dict(base_model=facts['base_model'], base_model_relation='adapter')
    if facts['figures']:
        found['model-index'] = [_index(facts, task)]
    return yaml.safe_dump(found, sort_keys=False, allow_unicode=True)


def _index(facts: Mapping[str, Any], task: str) -> dict[str, Any]:
    """The figures as the hub's leaderboards read them."""
    data = facts['data'] or 'own videos'
    dataset = dict(name=data, type=re.sub(r'[^a-z0-9]+', '-', data.lower()).strip('-') or 'own')
    metrics = [
        dict(type=_kind(figure), value=figure.value, name=figure.name)
        for figure in facts['figures']
    ]
    return dict(
        name=facts['name'].rpartition('/')[2],
        results=[dict(task=dict(type=task), dataset=dataset, metrics=metrics)],
    )


def _kind(figure: Figure) -> str:
    """The hub's name of a metric."""
    if 'R@' in figure.name:
        return 'recall'
    return 'accuracy' if figure.is_share else 'rank'


def _facts(read: AdapterModel) -> dict[str, Any]:
    """What a model says of itself."""
    model, header = read.model, read.header
    trunk = model.backbone.trunk
    stored = header['trunk'].get('checkpoint')
    sizes = [step for step in read.steps if samples_frames(step)]
    labels = [shown(label) for label in header.get('labels') or ()]
    count = [(p.numel(), p.requires_grad) for p in model.parameters()]
    crop = getattr(trunk, 'img_size', None)
    return dict(
        is_retriever=isinstance(model, Retriever),
        method=type(model.backbone).__name__,
        says=inspect.getdoc(type(model.backbone)).partition('\n')[0],
        certificate=certificate_of(type(model.backbone).__name__),
        trunk=type(trunk).__name__,
        trunk_is=stored,
        base_model=AT_THE_HUB.get(str(stored)) or _repository(stored),
        fingerprint=(header.get('trunk_fingerprint') or [''])[0],
        tuned=sum(number for number, is_tuned in count if is_tuned),
        total=sum(number for number, _ in count),
        frames=sizes[0]['clip_len'] if sizes else None,
        sampling=_sampling(sizes[0]) if sizes else '',
        size='x'.join(map(str, crop)) if crop else '',
        views=clips_a_video(read.steps),
        labels=labels[:FEW],
        classes=getattr(getattr(model, 'cls_head', None), 'num_classes', None),
        version=__version__,
    )


def _repository(stored: str | None) -> str:
    """'hf:owner/name@main/file' -> 'owner/name'; '' for what is not at the hub."""
    if stored is None or not stored.startswith(PREFIX):
        return ''
    owner, name = stored.removeprefix(PREFIX).split('/')[:2]
    return f'{owner}/{name.partition("@")[0]}'


def _sampling(step: dict[str, Any]) -> str:
    """How frames are chosen, by the step that does it."""
    interval = step.get('frame_interval')
    return f'`{kind_of(step)}`' + (f', every {interval} frames' if interval else '')


def plain(text: object) -> str:
    """Text of elsewhere as Markdown shows it: no link, no markup, one line."""
    return re.sub(r'([\\`*_{}\[\]<>()#!|~&$])', r'\\\1', shown(text))


@cache
def _template() -> Any:
    loader = PackageLoader(__name__.rpartition('.')[0], '.')
    made = Environment(
        loader=loader,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown; what comes from elsewhere passes through `plain`
    )
    made.filters['plain'] = plain
    return made.get_template('card.md')
