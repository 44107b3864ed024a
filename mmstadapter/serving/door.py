"""Who may come in: this machine alone, or who has the token; and no file by its path."""

import hmac
import http
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

COOKIE = 'mmstadapter_token'
HERE = ('127.0.0.1', 'localhost', '[::1]')
# Ways of Gradio to a file or another server by name; all that our page shows is in the page.
CLOSED = ('/file=', '/file/', '/proxy=', '/stream/', '/custom_component/', '/deep_link')


class Door:
    """ASGI middleware before the page.

    Without a token only requests that were addressed to this machine by its own names pass: a
    page of a stranger that is open in the same browser cannot ask for another name's content. With
    one, it is asked for as ``?token=...`` (and then kept as a cookie), as that cookie, or as
    ``Authorization: Bearer ...``, and compared in constant time.

    Args:
        app: what is behind the door.
        token: to be shown, or None.
    """

    def __init__(self, app, token: str | None) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope, receive, send) -> None:
        """Let a request pass, or answer it."""
        if scope['type'] not in ('http', 'websocket'):
            return await self.app(scope, receive, send)
        status, headers = self.answer(scope)
        if status is None:
            return await self.app(scope, receive, send)
        if scope['type'] == 'websocket':
            return await send(dict(type='websocket.close', code=1008))
        text = http.HTTPStatus(status).phrase.encode()
        headers = [(b'content-type', b'text/plain'), *headers]
        await send(dict(type='http.response.start', status=status, headers=headers))
        await send(dict(type='http.response.body', body=text))

    def answer(self, scope) -> tuple[int | None, list[tuple[bytes, bytes]]]:
        """The status and headers to answer with; None lets the request pass."""
        headers = {name.lower(): value.decode('latin-1') for name, value in scope['headers']}
        if self.token is None:
            host = headers.get(b'host', '').rpartition(':')[0] or headers.get(b'host', '')
            if host not in HERE and headers.get(b'host') not in HERE:
                return 403, []
        elif not self._is_known(headers, query := _query(scope)):
            return 401, []
        elif 'token' in query:
            return 303, self._kept(scope, query)
        closed = any(part in scope['path'] for part in CLOSED)
        return (403, []) if closed else (None, [])

    def _is_known(self, headers: dict[bytes, str], query: dict[str, str]) -> bool:
        shown = [query.get('token', ''), _cookie(headers.get(b'cookie', ''))]
        kind, _, bearer = headers.get(b'authorization', '').partition(' ')
        shown.append(bearer if kind.lower() == 'bearer' else '')
        right = (self.token or '').encode()
        return any([hmac.compare_digest(given.encode(), right) for given in shown])

    def _kept(self, scope, query: dict[str, str]) -> list[tuple[bytes, bytes]]:
        """Come back without the token in the address, which would stay in the history."""
        rest = urlencode({name: value for name, value in query.items() if name != 'token'})
        place = '/' + quote(scope['path'].lstrip('/')) + (f'?{rest}' if rest else '')
        cookie = f'{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/'
        return [(b'location', place.encode()), (b'set-cookie', cookie.encode())]


def _query(scope) -> dict[str, str]:
    return dict(parse_qsl(scope.get('query_string', b'').decode('latin-1')))


def _cookie(text: str) -> str:
    try:
        found = SimpleCookie(text).get(COOKIE)
    except CookieError:
        return ''
    return '' if found is None else found.value
