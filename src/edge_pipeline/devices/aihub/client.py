"""Requests to Qualcomm AI Hub through the official client, with errors that say what to do and never the token.

Single requests are made with `qai_hub.public_rest_api`, which answers with the protocol's messages. They hold what the
classes above it drop, such as the versions of tools, and states of jobs that this version of the client does not know.
"""

import asyncio
import configparser
import contextlib
import functools
import json
import logging
import os
import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.devices.boards.jobs import wait_for

if TYPE_CHECKING:
    from qai_hub import public_api_pb2 as pb
    from qai_hub.public_rest_api import ClientConfig

TOKEN = "QAIHUB_API_TOKEN"
"""Environment variable with the token, which comes before that of the client's file."""

FIRST_PAUSE_S, LONGEST_PAUSE_S, TRIES = 2.0, 60.0, 7
"""Between tries: twice as long each time, and up to half of it more or less."""

SUMMARIES = 50
"""Jobs of one page of the list."""

_TRANSIENT = (429, 500, 502, 503, 504)


class RefusedForNowError(DeviceError):
    """The Hub did not take a request, and may take it later."""


class AnswerLostError(DeviceError):
    """The Hub may or may not have done what was asked for."""


class GoneError(DeviceError):
    """The Hub has no such thing, or no longer."""


class Client:
    """An account of a Hub.

    Args:
        config: address and token.
    """

    def __init__(self, config: "ClientConfig") -> None:
        self._config = config

    @property
    def address(self) -> str:
        """Where the Hub is."""
        return self._config.api_url

    @property
    def project(self) -> str | None:
        """The account's project that new things belong to, if it is chosen."""
        return self._config.default_project

    def page(self, job: str) -> str:
        """Return the address of a job's page."""
        return urljoin(self._config.web_url, f"jobs/{job}/")

    def ask(self, function: Callable[..., Any], *args: Any, **more: Any) -> Any:
        """Return what a function of `qai_hub.public_rest_api` answers; it may be asked more than once.

        Raises:
            DeviceError: the Hub refuses it, or cannot be reached.
            GoneError: the Hub has no such thing, or no longer.
        """
        for last in pauses():
            try:
                return self._once(functools.partial(function, self._config, *args, **more))
            except (RefusedForNowError, AnswerLostError) as error:
                if last is None:
                    raise DeviceError(f"{error} (tried {TRIES} times)", "unreachable") from None
                pause(last)
        raise AssertionError

    def post_job(self, job: "pb.Job") -> str:
        """Create a job, asking once, and return its id.

        The client itself asks again where an answer is lost, though the first may have made a job.

        Raises:
            RefusedForNowError: the Hub takes no more jobs now.
            AnswerLostError: there may be a job or not.
            DeviceError: the Hub refuses the job.
        """
        from qai_hub import api_utils
        from qai_hub import public_api_pb2 as pb
        from qai_hub.util.session import create_session

        def post() -> pb.CreateUpdateResponse:
            path = ("projects", self.project, "jobs") if self.project else ("jobs",)
            answer = create_session(internal_retries=False).post(
                api_utils.api_url(self._config, *path),
                data=job.SerializeToString(),
                headers=api_utils.auth_header(self._config),
                params={"seed_target_model": "true"},
            )
            found: pb.CreateUpdateResponse = api_utils.response_as_protobuf(answer, pb.CreateUpdateResponse)
            return found

        found = self._once(post)
        if not found.id:
            raise DeviceError(f"AI Hub refuses the job: {self._clean(found.status)}")
        return str(found.id)

    def find_job(self, name: str, since: float) -> str | None:
        """Return the id of the job of this name among those that were made after `since`, seconds of the epoch."""
        from qai_hub import public_rest_api as rest

        offset = 0
        while True:
            listed = self.ask(rest.get_job_summary_list, offset=offset, limit=SUMMARIES).job_summaries
            briefs = [getattr(one, one.WhichOneof("job")) for one in listed if one.WhichOneof("job")]
            for brief in briefs:
                if brief.name == name:
                    return str(brief.job_id)
            if len(listed) < SUMMARIES or any(one.creation_time.seconds < since for one in briefs):
                return None
            offset += len(listed)

    def _once(self, request: Callable[[], Any]) -> Any:
        """Do one request and turn what goes wrong into one of our errors, from which the token is cut."""
        import requests
        from botocore.exceptions import BotoCoreError, ClientError
        from qai_hub.public_rest_api import APIException

        try:
            return request()
        except APIException as error:
            failure = self._failure(error.status_code or 0, str(error))
        except (requests.RequestException, BotoCoreError, ClientError) as error:
            failure = AnswerLostError(
                f"AI Hub at {self.address} does not answer: {type(error).__name__}: {self._clean(str(error))}. Check "
                "the network, and `api_url` in the client's file",
                "unreachable",
            )
        except ValueError as error:
            failure = DeviceError(f"AI Hub at {self.address} refuses the request: {self._clean(str(error))}")
        raise failure from None

    def _failure(self, status: int, text: str) -> DeviceError:
        said = self._clean(text)
        if status == 401:
            return DeviceError(f"AI Hub at {self.address} does not accept the token. {_HOW_TO_GET_ONE}")
        if status == 404:
            return GoneError(f"AI Hub at {self.address} has no such thing: {said}")
        if status == 429:
            return RefusedForNowError(f"AI Hub at {self.address} takes no more requests for now: {said}", "unreachable")
        if status in _TRANSIENT:
            return AnswerLostError(f"AI Hub at {self.address} has trouble (status {status}): {said}", "unreachable")
        return DeviceError(f"AI Hub at {self.address} refuses the request (status {status}): {said}")

    def _clean(self, text: str) -> str:
        """Return a message of the Hub without its wrapping, and without the token."""
        with contextlib.suppress(ValueError, KeyError, TypeError):
            text = str(json.loads(text)["detail"])
        return " ".join(text.replace(self._config.api_token, "<token>").split())[:600]


_HOW_TO_GET_ONE = (
    f"Take it from the account page of the Hub and set it as the environment variable {TOKEN}, or write it with "
    "`qai-hub configure --api_token TOKEN`"
)


def open_client() -> Client:
    """Return the account that the environment or the client's own file names.

    Raises:
        DeviceError: the package is not installed, there is no token, or the client's file is damaged.
    """
    try:
        from qai_hub import api_utils
        from qai_hub.public_rest_api import APIException, ClientConfig
    except ImportError as error:
        raise DeviceError("devices of AI Hub need the package qai-hub: `pip install 'edge-pipeline[aihub]'`") from error
    token = os.environ.get(TOKEN, "").strip()
    file = api_utils.get_config_path()
    config: ClientConfig | None = None
    try:
        config = api_utils.load_default_api_config()
    except FileNotFoundError:
        pass
    except (APIException, configparser.Error, ValueError, OSError):
        # the parser's message quotes lines, of which one may be the token
        raise DeviceError(
            f"{file} is no client file of AI Hub: it needs a section [api] with api_url, web_url and api_token. "
            f"{_HOW_TO_GET_ONE}"
        ) from None
    if token:
        config = config or ClientConfig(api_token=token)
        config.api_token = token
    if config is None or not config.api_token.strip():
        raise DeviceError(f"there is no token for AI Hub, neither in {TOKEN} nor in {file}. {_HOW_TO_GET_ONE}")
    config.verbose = False
    return Client(config)


def pauses() -> Iterator[float | None]:
    """Yield how many seconds to wait after each try, and `None` after the last."""
    for number in range(TRIES - 1):
        yield min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**number) * random.uniform(0.5, 1.5)
    yield None


def pause(seconds: float) -> None:
    """Wait; Ctrl-C in any thread ends it, as it ends the work of boards.

    Raises:
        asyncio.CancelledError: the run is being ended.
    """
    wait_for(asyncio.sleep(seconds))


def quiet() -> logging.Logger:
    """Return a logger for the client's transfers, which would write addresses that are as good as the token."""
    return logging.Logger("qai_hub", logging.WARNING)
