"""Check the built documentation: every link, nothing fetched, everything in the reference.

python docs/site/check.py [site]        # `make docs` builds and calls it
"""

import ast
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]
import reference  # noqa: E402

FETCHED = {'script': 'src', 'img': 'src', 'source': 'src', 'iframe': 'src', 'link': 'href'}


class Links(HTMLParser):
    """What a page links to, what it fetches, and what can be linked to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag's links and names."""
        found = dict(attrs)
        self.anchors |= {found[name] for name in ('id', 'name') if found.get(name)}
        if tag == 'a' and found.get('href'):
            self.links.add(found['href'])
        elif tag in FETCHED and found.get(FETCHED[tag]) and found.get('rel') != 'canonical':
            self.fetched.add(found[FETCHED[tag]])


def broken(site: Path) -> list[str]:
    """Links without an end, and things that pages fetch from elsewhere."""
    pages = {path: Links(path.read_text()) for path in sorted(site.rglob('*.html'))}
    found = []
    for path, page in pages.items():
        if path.name == '404.html':  # its links are for a server's root
            continue
        name = path.relative_to(site)
        found += [f'{name}: fetches {url}' for url in page.fetched if is_elsewhere(url)]
        for url in sorted(page.links | page.fetched):
            if not is_elsewhere(url) and not leads_somewhere(url, path, pages):
                found.append(f'{name}: {url}')
    return found


def is_elsewhere(url: str) -> bool:
    """Whether a URL leaves the site."""
    parts = urlsplit(url)
    return bool(parts.scheme or parts.netloc)


def leads_somewhere(url: str, path: Path, pages: dict[Path, Links]) -> bool:
    """Whether file and anchor of a link are there."""
    parts = urlsplit(url)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    target = target / 'index.html' if target.is_dir() else target
    if not target.is_file():
        return False
    anchor = unquote(parts.fragment)
    return not anchor or target not in pages or anchor in pages[target].anchors


def left_out(site: Path) -> list[str]:
    """Commands, options and public names that no page of the reference has."""
    commands = (site / 'commands.html').read_text()
    found = [f'commands.html lacks {what}' for what in typed() if what not in commands]
    pages = ''.join(path.read_text() for path in (site / 'reference').glob('*.html'))
    names = reference.public_names().items()
    lacking = (name for name, path in names if f'"{path}"' not in pages)
    return found + [f'the reference lacks {name}' for name in lacking]


def typed() -> set[str]:
    """All commands, and the options that their source adds and does not hide."""
    from mmstadapter_cli import COMMANDS

    found = {f'id="{name}"' for name in COMMANDS}
    for name in COMMANDS:
        tree = ast.parse((ROOT / f'mmstadapter/commands/{name.replace("-", "_")}.py').read_text())
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        found |= {option for call in calls if not hidden(call) for option in options(call)}
    return found


def options(call: ast.Call) -> set[str]:
    """The names of options among a call's arguments."""
    values = [str(argument.value) for argument in call.args if isinstance(argument, ast.Constant)]
    return {value for value in values if re.fullmatch(r'--[a-z][a-z-]*', value)}


def hidden(call: ast.Call) -> bool:
    """Whether the option that a call adds is for other programs, and not shown in its help."""
    return any(ast.unparse(keyword.value).endswith('SUPPRESS') for keyword in call.keywords)


def main(site: Path) -> int:
    """Say what is wrong; 1 if something is."""
    problems = broken(site) + left_out(site)
    print(*problems, sep='\n', end='\n' if problems else '')
    pages = len(list(site.rglob('*.html')))
    print(f'{site}: {pages} pages, {len(problems) or "no"} problems')
    return bool(problems)


if __name__ == '__main__':
    sys.exit(main(Path(*sys.argv[1:] or ['site']).resolve()))
