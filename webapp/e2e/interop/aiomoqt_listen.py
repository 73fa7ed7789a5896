"""Subscribes with aiomoqt (draft-14) and prints the payload of each object as a line, until enough came.

aiomoqt_listen.py URL NAMESPACE TRACK COUNT
"""

import asyncio
import sys

from aiomoqt.client import MOQTClient
from aiomoqt.messages import SubscribeError
from aiomoqt.utils.url import parse_relay_url

DEADLINE_SECONDS = 20


async def main(url: str, namespace: str, track: str, count: int) -> None:
    relay = parse_relay_url(url)
    client = MOQTClient(relay.host, relay.port, endpoint=relay.endpoint, use_quic=relay.use_quic, verify_tls=False)
    enough = asyncio.Event()
    heard = 0

    def hear(message, *_):
        nonlocal heard
        payload = getattr(message, "payload", None)
        if payload:
            print(bytes(payload).decode(), flush=True)
            heard += 1
            if heard >= count:
                enough.set()

    async with client.connect() as session:
        session.on_object_received = hear
        await session.client_session_init()
        answer = await session.subscribe(namespace=namespace, track_name=track, wait_response=True)
        if isinstance(answer, SubscribeError):
            sys.exit(f"refused: {answer}")
        await asyncio.wait_for(enough.wait(), DEADLINE_SECONDS)
        session.close()


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
