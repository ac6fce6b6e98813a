"""The public HTTP client; importing it loads httpx and nothing heavier."""

from embedloop.client.asynchronous import AsyncClient
from embedloop.client.blocking import Client
from embedloop.client.results import Readiness, SearchHit, SearchResult

__all__ = ["AsyncClient", "Client", "Readiness", "SearchHit", "SearchResult"]
