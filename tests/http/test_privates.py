"""Private names of libraries that `overround.http.adapter` uses, with the versions that had them.

A test that fails here names what a new version took away; the work-around beside the name in the adapter says
what it is for.
"""

import http.client
import io
import platform
import socket
from importlib.metadata import version

import requests
import urllib3
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


def test_requests_keeps_a_body_that_was_read_under_content():
    response = requests.Response()

    response._content = b"read by us"

    assert response.content == b"read by us", f"gone in requests {version('requests')}, present in 2.34"


def test_a_pool_manager_of_urllib3_takes_its_pools_from_a_mapping_of_its_own():
    one, other = urllib3.PoolManager(), urllib3.PoolManager()
    usual = {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}

    class Ours(HTTPConnectionPool):
        pass

    assert one.pool_classes_by_scheme == usual, f"gone in urllib3 {version('urllib3')}, present in 2.8"
    one.pool_classes_by_scheme = {**usual, "http": Ours}
    assert isinstance(one.connection_from_url("http://127.0.0.1:1"), Ours)
    assert not isinstance(other.connection_from_url("http://127.0.0.1:1"), Ours)


def test_a_response_of_http_client_reads_from_a_buffer_that_can_be_detached():
    here, there = socket.socketpair()
    with here, there:
        response = http.client.HTTPResponse(here)

        assert isinstance(response.fp, io.BufferedReader), f"gone in Python {platform.python_version()}"
        assert isinstance(response.fp.detach(), socket.SocketIO)
    # urllib3 makes its responses of this class, and takes another one
    assert HTTPConnectionPool.ConnectionCls.response_class is http.client.HTTPResponse
