"""Who may ask the API what."""

import itertools
import json

import pytest
from litestar.handlers import HTTPRouteHandler
from typer.testing import CliRunner

from central.api.app import make_app
from central.api.operation import ROLES, operation_of
from central.api.tokens import Tokens, load_tokens, make_token, revoke_token
from deploy.cli import app
from shared.errors import ConfigError
from tests.api_scene import open_api

OPEN = {"/health/live", "/health/ready", "/v1/openapi.json"}
RIGHTS = {("POST", "/v1/orders"): "order", ("GET", "/v1/orders/{order_id}/contact"): "contact"}


def routes(tokens):
    """Method and path of every route of ours."""
    found = []
    for route in make_app(None, tokens).routes:
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler) and operation_of(handler.opt):
                found += [(method, route.path_format) for method in handler.http_methods]
    return sorted(found)


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with open_api(tmp_path_factory.mktemp("api")) as found:
        yield found


ROUTES = routes(Tokens(None))  # type: ignore[arg-type]  # nobody asks it


@pytest.mark.parametrize("method,path", ROUTES)
def test_every_route_lets_in_whom_its_right_names(api, method, path):
    where = path.format(order_id="o0", node_id="dc", sku="A")
    if path == "/v1/changes":
        where += "?after=99999"  # refused behind the door: else it has no end
    right = RIGHTS.get((method, path), "read")
    for role, rights in ROLES.items():
        status = api.ask(where, role, method).status_code
        assert (status in (401, 403)) is (path not in OPEN and right not in rights), (role, status)
    nobody = api.ask(where, None, method)
    if path in OPEN:
        assert nobody.status_code == 200
    else:
        assert nobody.status_code == 401
        assert nobody.headers["WWW-Authenticate"].startswith("Bearer")


def test_there_are_as_many_routes_as_are_promised():
    assert len(ROUTES) == 20
    assert set(RIGHTS) < set(ROUTES)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer nobody's", "Basic eDp5", "Bearer \xff", "x" * 5_000]
)
def test_what_is_no_token_is_refused(api, header):
    headers = {"Authorization": header.encode("latin-1")}
    answer = api.ask("/v1/orders", None, headers=headers)
    assert answer.status_code == 401
    assert header.removeprefix("Bearer ").strip() not in answer.text or len(header) < 10


def test_the_file_holds_no_token_and_belongs_to_one_user_alone(tmp_path):
    path = tmp_path / "folder" / "tokens.json"
    secret = make_token(path, "shop", "operator", 1_000)
    assert path.stat().st_mode & 0o777 == 0o600
    assert secret not in path.read_text()
    (token,) = load_tokens(path)
    assert (token.name, token.role, token.made_ms) == ("shop", "operator", 1_000)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_tokens(path)


def test_a_token_counts_until_it_is_revoked_without_a_restart(tmp_path):
    path = tmp_path / "tokens.json"
    tokens = Tokens(path)
    assert tokens.find("x") is None
    first, second = make_token(path, "one", "reader", 1), make_token(path, "two", "admin", 2)
    for secret, name in itertools.product((first, second), ("one", "two")):
        found = tokens.find(secret)
        assert found is not None
        assert (found.name == name) == ((secret, name) in {(first, "one"), (second, "two")})
    revoke_token(path, "one")
    assert tokens.find(first) is None
    assert tokens.find(second) is not None


def test_names_are_taken_once_and_must_be_names(tmp_path):
    path = tmp_path / "tokens.json"
    make_token(path, "one", "reader", 1)
    with pytest.raises(ConfigError, match="revoke-token"):
        make_token(path, "one", "admin", 1)
    with pytest.raises(ConfigError, match="letters"):
        make_token(path, "a b", "admin", 1)
    with pytest.raises(ConfigError, match="lists"):
        revoke_token(path, "two")
    path.write_text(json.dumps([{"name": "x", "role": "king", "hash": "", "made_ms": 1}]))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_tokens(path)


def test_an_operator_makes_lists_and_revokes_tokens(tmp_path):
    config = tmp_path / "central.toml"
    config.write_text('data_dir = "central"\n[api]\ntokens_file = "who.json"\n')
    run = CliRunner()

    def asked(*arguments, status=0):
        done = run.invoke(app, ["central", *arguments, "-c", str(config)])
        assert done.exit_code == status, done.output
        return done.output

    secret = asked("token", "shop", "--role", "operator").strip()
    assert Tokens(tmp_path / "who.json").find(secret).may("order")  # type: ignore[union-attr]
    assert "operator" in asked("tokens")
    assert "there is a token of the name shop" in asked(
        "token", "shop", "--role", "admin", status=1
    )
    asked("token", "other", "--role", "king", status=2)
    asked("revoke-token", "shop")
    assert "0 tokens" in asked("tokens")
