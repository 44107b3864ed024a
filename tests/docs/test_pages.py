"""Every command, name, link and file that the pages speak of is there and can be called so."""

import argparse
import io
import json
import re
import shlex
from contextlib import redirect_stderr
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import mmstadapter
from mmstadapter import shipped
from mmstadapter.analysis import command_page
from mmstadapter_cli import COMMANDS, main

CLONE = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ('*.md', 'docs/*.md', 'docs/tutorials/*.ipynb', 'tools/data/*/README.md')
    for path in CLONE.glob(pattern)
    if path.name != 'CHANGELOG.md'
)
IDS = [str(path.relative_to(CLONE)) for path in PAGES]
# What the pages write for a value of one's own.
VALUES = {
    'CONFIG': 'stadapter_vit-b_k400.py',
    'mine.py': 'stadapter_vit-b_k400.py',
    'recipe.py': 'stadapter_vit-b_k400.py',
    'difference_motion.py': 'stadapter_vit-b_k400.py',
    'DATASET': 'msvd',
    'COMMAND': 'train',
    'LIST|DIR': 'videos',
}
EXTRAS = {path.stem for path in (CLONE / 'requirements').glob('*.txt')}


def text_of(page: Path) -> str:
    """A page's Markdown; of a notebook its cells, code in fences and commands without pipes."""
    if page.suffix != '.ipynb':
        return page.read_text()
    parts = []
    for cell in json.loads(page.read_text())['cells']:
        source = ''.join(cell['source'])
        if source.startswith('%%bash'):
            source = re.sub(r' (2?>|\|).*', '', re.sub(r'\\\n *', '', source))
        parts.append(source if cell['cell_type'] == 'markdown' else f'```\n{source}\n```')
    return '\n\n'.join(parts)


def blocks(page: Path) -> list[str]:
    """The lines of indented and fenced code, with their comments cut off."""
    lines, fenced = [], False
    for line in text_of(page).splitlines():
        if line.startswith('```'):
            fenced = not fenced
        elif fenced or line.startswith('    '):
            lines.append(re.sub(r'\s+#\s.*', '', line).strip())
    return lines


def commands(page: Path, first: str) -> list[list[str]]:
    """The words of the command lines of a page that begin with a word."""
    found = [line for line in blocks(page) if re.match(rf'(\$ )?\S*\b{first} ', line)]
    texts = [re.sub(r'\[.*?\]\S*|\.\.\.', '', text).removeprefix('$ ') for text in found]
    return [shlex.split(re.split(r'   | > ', text)[0])[1:] for text in texts]


def mentions(page: Path) -> list[list[str]]:
    """The words of commands that sentences and tables speak of."""
    return [text.split() for text in re.findall(r'(?<!`)`mmstadapter ([^`]+)`(?!`)', text_of(page))]


class Parsed(Exception):
    """Raised in the place of doing what a command line says."""


@pytest.fixture
def parses(monkeypatch):
    """Calls a command line up to where its work would begin."""
    parse = argparse.ArgumentParser.parse_args

    def stop(parser, *args, **kwargs):
        parse(parser, *args, **kwargs)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', stop)

    def call(words: list[str]) -> None:
        said = io.StringIO()
        try:
            with redirect_stderr(said):
                status = main(words)
        except Parsed:
            return
        except SystemExit as end:
            status = end.code
        assert not status, f'{shlex.join(words)}: {status} {said.getvalue()}'

    return call


def test_there_are_pages():
    assert len(PAGES) >= 25


@pytest.mark.parametrize('page', PAGES, ids=IDS)
class TestEveryPage:
    def test_every_command_line_parses(self, page, parses):
        for words in commands(page, 'mmstadapter'):
            parses([VALUES.get(word, word) for word in words])

    def test_commands_in_sentences_exist_with_their_options(self, page):
        for command, *words in mentions(page):
            if command in ('COMMAND', 'help', '--version'):
                continue
            assert command in COMMANDS, command
            known = command_page.parser_of(command)._option_string_actions
            if command != 'prepare':
                assert {word for word in words if word.startswith('--')} <= {*known}, words

    def test_mim_is_given_shipped_configs(self, page):
        for verb, *words in commands(page, 'mim'):
            if verb in ('train', 'test') and words[1:] and words[1] not in VALUES:
                assert words[0] == 'mmstadapter' and words[1] in shipped.configs(), words

    def test_make_has_the_targets(self, page):
        targets = re.findall(r'^([\w-]+):', (CLONE / 'Makefile').read_text(), flags=re.M)
        for words in commands(page, 'make'):
            assert {word for word in words if '=' not in word} <= {*targets}, words

    def test_scripts_and_modules_that_are_run_are_there(self, page):
        for program in ('bash', 'python'):
            for words in commands(page, program):
                if words[:1] == ['-m']:
                    assert find_spec(words[1]), words
                elif words and words[0].endswith(('.py', '.sh')):
                    assert (CLONE / words[0]).is_file(), words

    def test_extras_that_are_installed_are_there(self, page):
        found = re.findall(r"pip install '(?:\.|mmstadapter)\[(\w+)\]'", text_of(page))
        assert {*found} <= EXTRAS

    def test_links_lead_somewhere(self, page):
        for target in re.findall(r'\]\(([^)\s]+)\)', text_of(page)):
            if not re.match(r'\w+:', target):
                assert (
                    target.startswith('#') or (page.parent / target.partition('#')[0]).exists()
                ), target

    def test_names_of_the_package_exist(self, page):
        text = re.sub(r'\]\([^)]*\)|-m \S+', '', text_of(page))
        for module, name in re.findall(r'from (mmstadapter\S*) import (\w+)', text):
            assert hasattr(import_module(module), name), f'{module}.{name}'
        text = re.sub(r'from mmstadapter\S+ import', '', text)
        for name in {*re.findall(r'(?<![\w/.])mmstadapter\.([A-Za-z]\w*(?:\.[A-Za-z]\w*)*)', text)}:
            assert resolves(name), f'mmstadapter.{name}'

    def test_files_that_are_named_exist(self, page):
        for name in re.findall(
            r'`((?:mmstadapter|configs|tests|docs|benchmarks)/[^`\s]*)`', text_of(page)
        ):
            assert is_there(name) or '<' in name, name


def resolves(name: str) -> bool:
    """Whether ``mmstadapter.NAME`` is there after ``import mmstadapter``, or a part of it."""
    found = mmstadapter
    if find_spec(f'mmstadapter.{name.partition(".")[0]}') and '.' not in name:
        return True
    for part in name.split('.'):
        if part not in getattr(found, '__all__', dir(found)):
            return False
        found = getattr(found, part)
    return True


def is_there(pattern: str) -> bool:
    """Whether a file fits, `{a,b}` and `*` allowed."""
    if braces := re.search(r'\{([^}]*)\}', pattern):
        parts = braces[1].split(',')
        return all(is_there(pattern.replace(braces[0], part, 1)) for part in parts)
    return any(CLONE.glob(pattern.rstrip('/')))


def test_the_page_of_commands_is_current():
    assert (CLONE / 'docs/commands.md').read_text() == command_page.page(), (
        'run `python -m mmstadapter.analysis.command_page > docs/commands.md`'
    )


@pytest.mark.parametrize(
    'words',
    ['configs', 'configs side4video msrvtt', 'count stadapter_vit-b_k400.py', '--version', 'help'],
)
def test_what_costs_nothing_runs(words, capsys):
    assert not main(words.split())
    assert capsys.readouterr().out


def test_every_result_of_the_readme_has_a_config_and_a_certificate_or_says_why_not():
    certificates = {path.stem for path in (CLONE / 'tests/reference/parity').glob('*.json')}
    text = (CLONE / 'README.md').read_text()
    rows = [line.strip('|').split('|') for line in text.splitlines() if '](configs/' in line]
    assert len(rows) > 15
    for *_, certificate, config in rows:
        assert shipped.config(re.findall(r'\(configs/(.*?)\)', config)[0]).is_file()
        names = re.findall(r'`(.+?)`', certificate)
        assert names or certificate.strip().startswith('none: ')
        for name in names:
            assert any(stem.startswith(f'{name}_') for stem in certificates), name
