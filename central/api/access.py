"""The door: whose token it is, whether it may, and whether the answer would be understood."""

from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.datastructures.headers import Accept
from litestar.handlers.base import BaseRouteHandler

from central.api.operation import ROLES, Operation, Right, operation_of
from central.api.problems import ProblemError
from central.api.tokens import Token, Tokens

_REALM: Final = 'Bearer realm="pointsman"'
_ACCEPT_CHARS_MAX: Final = 1_024


class Door:
    """A guard of the app.

    Args:
        tokens: who may ask.
    """

    def __init__(self, tokens: Tokens) -> None:
        """See the class."""
        self._tokens = tokens

    def __call__(
        self, connection: ASGIConnection[Any, Any, Any, Any], route: BaseRouteHandler
    ) -> None:
        """Let a request in, with its token as the user.

        Raises:
            ProblemError: 401, 403 or 406.
            ConfigError: the tokens cannot be read.
        """
        operation = operation_of(route.opt)
        if operation is None:
            return
        if operation.right is not None:
            connection.scope["user"] = self._admit(
                connection.headers.get("authorization", ""), operation.right
            )
        _require_accepted(connection.headers.get("accept", ""), operation)

    def _admit(self, header: str, right: Right) -> Token:
        scheme, _, presented = header.partition(" ")
        if scheme.lower() != "bearer" or not presented.strip():
            raise ProblemError(
                401, "no_token", "this needs a token", place="Authorization",
                expected="Bearer TOKEN, of `pointsman central token`",
                headers={"WWW-Authenticate": _REALM},
            )  # fmt: skip
        token = self._tokens.find(presented.strip())
        if token is None:
            raise ProblemError(
                401, "unknown_token", "nobody has this token, or not any more",
                place="Authorization", expected="a token that `pointsman central tokens` lists",
                headers={"WWW-Authenticate": f'{_REALM}, error="invalid_token"'},
            )  # fmt: skip
        if not token.may(right):
            roles = ", ".join(role for role, rights in ROLES.items() if right in rights)
            raise ProblemError(
                403, "wrong_role", f"the role {token.role} may not do this",
                place="Authorization", expected=f"a token of one of the roles {roles}",
                headers={"WWW-Authenticate": f'{_REALM}, error="insufficient_scope"'},
            )  # fmt: skip
        return token


def _require_accepted(accept: str, operation: Operation) -> None:
    if not accept or "*/*" in accept:
        return
    offered = operation.media_type
    if len(accept) <= _ACCEPT_CHARS_MAX and Accept(accept).accepts(offered):
        return
    raise ProblemError(
        406, "not_acceptable", f"the answer would be {offered}", place="Accept", expected=offered
    )
