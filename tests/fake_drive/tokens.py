"""Access tokens: who may come in, and the service that gives them out (OAuth 2)."""

from __future__ import annotations

import secrets
import threading
import time
from urllib.parse import urlencode

from fake_drive.errors import ApiError


class TokenError(Exception):
    """The token service refuses; the argument is OAuth's word for it."""


class Tokens:
    def __init__(self) -> None:
        self.lifetime = 3600.0
        #: How often the token service gave one out.
        self.given = 0
        self._lock = threading.Lock()
        self._valid: dict[str, float] = {}
        self._refresh: set[str] = set()
        self._codes: set[str] = set()

    def new(self, lifetime: float | None = None) -> str:
        token = f"ya29.{secrets.token_urlsafe(24)}"
        self._valid[token] = time.time() + (self.lifetime if lifetime is None else lifetime)
        return token

    def new_refresh(self) -> str:
        token = f"1//{secrets.token_urlsafe(24)}"
        self._refresh.add(token)
        return token

    def revoke_all(self) -> None:
        """Sign everybody out: refresh tokens count no more either."""
        self._valid.clear()
        self._refresh.clear()

    def expire_all(self) -> None:
        """No token that was given out counts any more."""
        self._valid.clear()

    def refuse(self, authorization: str | None) -> None:
        self._valid.pop((authorization or "").removeprefix("Bearer "), None)

    def check(self, authorization: str | None) -> None:
        token = (authorization or "").removeprefix("Bearer ")
        if self._valid.get(token, 0.0) < time.time():
            raise ApiError(401, "authError", "Invalid Credentials")

    # ------------------------------------------------------------------ the token service
    def consent(self, query: dict[str, str]) -> str:
        """What the browser is sent to after somebody agreed."""
        code = secrets.token_urlsafe(16)
        self._codes.add(code)
        answer = {"code": code, "state": query["state"], "scope": query["scope"]}
        return f"{query['redirect_uri']}?{urlencode(answer)}"

    def grant(self, form: dict[str, str]) -> dict[str, object]:
        with self._lock:
            kind = form.get("grant_type")
            answer: dict[str, object] = {"token_type": "Bearer", "expires_in": int(self.lifetime)}
            if kind == "refresh_token" and form.get("refresh_token") not in self._refresh:
                raise TokenError("invalid_grant")
            if kind == "authorization_code":
                if form.get("code") not in self._codes:
                    raise TokenError("invalid_grant")
                self._codes.discard(form["code"])
                answer["refresh_token"] = self.new_refresh()
                answer["scope"] = "https://www.googleapis.com/auth/drive"
            elif kind not in {"refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer"}:
                raise TokenError("unsupported_grant_type")
            self.given += 1
            return answer | {"access_token": self.new()}
