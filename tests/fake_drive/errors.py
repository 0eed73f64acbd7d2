"""Errors in the form in which Google answers them."""

from __future__ import annotations

import json


class ApiError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, reason: str, message: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.headers = headers or {}
        self.message = message or reason

    def body(self) -> bytes:
        error = {"domain": "global", "reason": self.reason, "message": self.message}
        return json.dumps({"error": {"code": self.status, "message": self.message, "errors": [error]}}).encode()


def not_found(file_id: str) -> ApiError:
    return ApiError(404, "notFound", f"File not found: {file_id}.")


def invalid(message: str) -> ApiError:
    return ApiError(400, "invalid", message)
