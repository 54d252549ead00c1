from tests.http.test_hostile_receivers import *
from eventmill.send.connector import Wire
from aiohttp.client_proto import ResponseHandler
@pytest.fixture(autouse=True)
def off(monkeypatch):
    monkeypatch.setattr(Wire, "data_received", ResponseHandler.data_received)
