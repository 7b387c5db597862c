"""The daemon as a client sees it: requests by HTTP, the log by WebSocket, errors as in the daemon."""

from penstock.client.rest import Client as Client
from penstock.client.rest import open_client as open_client
from penstock.client.stream import EpochChanged as EpochChanged
from penstock.client.stream import Facts as Facts
from penstock.client.stream import News as News
from penstock.client.stream import Ready as Ready
from penstock.client.stream import Reconnecting as Reconnecting
from penstock.client.stream import Skipped as Skipped
from penstock.client.stream import WentBack as WentBack
from penstock.client.stream import open_stream as open_stream
from penstock.client.stream import put_back as put_back
