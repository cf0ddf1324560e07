"""A py-libp2p host. Runs in the virtual environment that scripts/interop makes; one JSON object a line.

pypeer.py listen                       echo, ping, identify and perf until killed
pypeer.py point                        a rendezvous server until killed
pypeer.py meet MULTIADDR NAMESPACE     registers there and asks who else did
pypeer.py mdns IP PORT                 multicast DNS until killed
pypeer.py dial MULTIADDR ACTION...     ping:N identify echo:BYTES:STREAMS perf:UP:DOWN
pypeer.py kad-listen                   a server of the hash table
pypeer.py kad-dial MULTIADDR ACTION... the same, with: find:PEER provide:HASH providers:HASH put:KEY=VALUE get:KEY
"""
import json
import logging
import os
import sys
import time

import multiaddr
import trio
from libp2p import create_yamux_muxer_option, new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_x25519
from libp2p.custom_types import TProtocol
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.io.utils import read_exactly
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.perf import PerfService
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport

ECHO = TProtocol("/echo/1.0.0")
LOOPBACK = "/ip4/127.0.0.1/tcp/0"


def say(**values):
    print(json.dumps(values), flush=True)


def make_host(listen):
    key = create_new_key_pair(os.urandom(32))
    security = {NOISE: NoiseTransport(key, noise_privkey=create_x25519().private_key)}
    return new_host(key_pair=key, sec_opt=security, muxer_opt=create_yamux_muxer_option(), listen_addrs=listen)


async def echo(stream):
    try:
        while data := await stream.read(65536):
            await stream.write(data)
    except Exception as error:
        # It raises at the end of a stream, too.
        if "EOF" not in repr(error):
            say(event="echo ended", error=repr(error))
    try:
        await stream.close()
    except Exception as error:
        say(event="close failed", error=repr(error))


async def listen():
    where = [multiaddr.Multiaddr(LOOPBACK)]
    host = make_host(where)
    async with host.run(listen_addrs=where):
        host.set_stream_handler(ECHO, echo)
        await PerfService(host).start()
        say(event="ready", peer=host.get_id().to_string(), address=str(host.get_addrs()[0]))
        await trio.sleep_forever()


async def point():
    from libp2p.discovery.rendezvous.service import RendezvousService

    where = [multiaddr.Multiaddr(LOOPBACK)]
    host = make_host(where)
    async with host.run(listen_addrs=where):
        RendezvousService(host)
        address = str(host.get_addrs()[0])
        say(event="ready", peer=host.get_id().to_string(), address=address)
        await trio.sleep_forever()


async def meet(address, namespace):
    from libp2p.discovery.rendezvous.client import RendezvousClient

    info = info_from_p2p_addr(multiaddr.Multiaddr(address))
    where = [multiaddr.Multiaddr(LOOPBACK)]
    host = make_host(where)
    async with host.run(listen_addrs=where):
        await host.connect(info)
        say(event="self", peer=host.get_id().to_string())
        client = RendezvousClient(host, info.peer_id)
        say(event="registered", seconds=await client.register(namespace, 7200))
        peers, cookie = await client.discover(namespace)
        say(event="met", peers=[peer.peer_id.to_string() for peer in peers])
        more, _ = await client.discover(namespace, cookie=cookie)
        say(event="more", peers=[peer.peer_id.to_string() for peer in more])
        await client.unregister(namespace)
        await trio.sleep(0.2)


async def mdns(ip, port):
    from libp2p.discovery.events.peerDiscovery import peerDiscovery
    from libp2p.discovery.mdns.mdns import MDNSDiscovery

    where = [multiaddr.Multiaddr(f"/ip4/{ip}/tcp/{port}")]
    host = make_host(where)
    async with host.run(listen_addrs=where):
        peerDiscovery.register_peer_discovered_handler(
            lambda info: say(event="found", peer=info.peer_id.to_string(), addresses=[str(address) for address in info.addrs]))
        discovery = MDNSDiscovery(host.get_network(), port=port, host=host)
        await trio.to_thread.run_sync(discovery.broadcaster.register)
        say(event="ready", peer=host.get_id().to_string())
        await trio.sleep_forever()


async def read_all(stream):
    data = b""
    try:
        while part := await stream.read(65536):
            data += part
    except Exception:
        if not data:
            raise
    return data


async def dial(address, actions):
    target = multiaddr.Multiaddr(address)
    info = info_from_p2p_addr(target)
    where = [multiaddr.Multiaddr(LOOPBACK)]
    host = make_host(where)
    async with host.run(listen_addrs=where):
        await host.connect(info)
        say(event="connected", peer=info.peer_id.to_string())
        for action in actions:
            await act(host, target, info.peer_id, *action.split(":"))


async def act(host, target, peer, name, *numbers):
    numbers = [int(number) for number in numbers]
    start = time.perf_counter()
    if name == "ping":
        stream = await host.new_stream(peer, [TProtocol("/ipfs/ping/1.0.0")])
        for _ in range(numbers[0]):
            data = os.urandom(32)
            await stream.write(data)
            assert await read_exactly(stream, 32) == data
        await stream.close()
        say(event="ping", count=numbers[0])
    elif name == "identify":
        stream = await host.new_stream(peer, [TProtocol("/ipfs/id/1.0.0")])
        data = await read_all(stream)
        message, index = Identify(), 0
        while index < len(data):
            length = shift = 0
            while True:
                byte = data[index]
                length |= (byte & 0x7F) << shift
                shift += 7
                index += 1
                if byte < 0x80:
                    break
            message.MergeFromString(data[index:index + length])
            index += length
        say(
            event="identified", agent=message.agent_version, version=message.protocol_version, protocols=list(message.protocols),
            addresses=[str(multiaddr.Multiaddr(a)) for a in message.listen_addrs], observed=str(multiaddr.Multiaddr(message.observed_addr)))
    elif name == "echo":
        total, streams = numbers

        async def one():
            stream = await host.new_stream(peer, [ECHO])
            block = os.urandom(1 << 16)

            async def send():
                sent = 0
                while sent < total:
                    count = min(len(block), total - sent)
                    await stream.write(block[:count])
                    sent += count
                await stream.close()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                received = 0
                while received < total:
                    data = await stream.read(65536)
                    for index in range(0, len(data), 4096):
                        part, offset = data[index:index + 4096], (received + index) % len(block)
                        assert part == (block + block[:4096])[offset:offset + len(part)]
                    received += len(data)

        async with trio.open_nursery() as nursery:
            for _ in range(streams):
                nursery.start_soon(one)
        seconds = time.perf_counter() - start
        say(event="echo", bytes=total * streams, streams=streams, rate=total * streams / seconds / 1e6)
    elif name == "perf":
        service = PerfService(host)
        await service.start()
        async for _ in service.measure_performance(target, *numbers):
            pass
        say(event="perf", seconds=time.perf_counter() - start)
    else:
        raise SystemExit(f"unknown action {name}")


async def kad(address, actions):
    from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
    from libp2p.peer.id import ID
    from libp2p.records.validator import Validator
    from libp2p.tools.anyio_service import background_trio_service

    class Anything(Validator):
        def validate(self, key, value):
            pass

        def select(self, key, values):
            return 0

    where = [multiaddr.Multiaddr(LOOPBACK)]
    host = make_host(where)
    async with host.run(listen_addrs=where):
        table = KadDHT(host, DHTMode.SERVER)
        table.register_validator("example", Anything())
        async with background_trio_service(table):
            own = host.get_id().to_string()
            if not address:
                say(event="ready", peer=own, address=str(host.get_addrs()[0]))
                await trio.sleep_forever()
            info = info_from_p2p_addr(multiaddr.Multiaddr(address))
            await host.connect(info)
            await table.add_peer(info.peer_id, skip_server_mode_check=True)
            say(event="connected", peer=info.peer_id.to_string(), self=own)
            for action in actions:
                name, argument = action.split(":", 1)
                if name == "find":
                    found = await table.find_peer(ID.from_base58(argument))
                    say(event="found", ok=found is not None, addresses=[str(a) for a in found.addrs] if found else [])
                elif name == "provide":
                    say(event="provided", ok=await table.provide(argument))
                elif name == "providers":
                    found = await table.find_providers(argument)
                    say(event="providers", peers=[p.peer_id.to_string() for p in found])
                elif name == "put":
                    key, value = argument.split("=", 1)
                    await table.put_value(key, value.encode())
                    say(event="put", ok=True)
                elif name == "get":
                    value = await table.get_value(argument)
                    say(event="value", value=value.decode() if value else "")


async def gossip(topic, version):
    """Joins a topic with one version of the protocol; to `ask X` it answers `answer X`."""
    from libp2p.pubsub.gossipsub import GossipSub
    from libp2p.pubsub.pubsub import Pubsub
    from libp2p.tools.anyio_service import background_trio_service

    where = [multiaddr.Multiaddr(LOOPBACK)]
    host = make_host(where)
    async with host.run(listen_addrs=where):
        router = GossipSub(
            protocols=[TProtocol(f"/meshsub/{version}")], degree=6, degree_low=4, degree_high=12, heartbeat_interval=1,
            max_messages_per_topic_per_second=1e9)
        pubsub = Pubsub(host, router)
        async with background_trio_service(router), background_trio_service(pubsub):
            await pubsub.wait_until_ready()
            subscription = await pubsub.subscribe(topic)
            own = host.get_id().to_string()
            say(event="ready", peer=own, address=str(host.get_addrs()[0]))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tell_subscribers, pubsub, topic)
                while True:
                    message = await subscription.get()
                    say(event="message", data=message.data.decode("latin1")[:100])
                    if message.data.startswith(b"ask "):
                        await pubsub.publish(topic, b"answer " + message.data[4:])


async def tell_subscribers(pubsub, topic):
    """Says which peers are in the topic, as they come."""
    told = set()
    while True:
        for peer in set(pubsub.peer_topics.get(topic, ())) - told:
            told.add(peer)
            say(event="subscribed", peer=peer.to_string())
        await trio.sleep(0.1)


if __name__ == "__main__":
    logging.basicConfig(level=logging.CRITICAL)
    if sys.argv[1] == "listen":
        trio.run(listen)
    elif sys.argv[1] == "point":
        trio.run(point)
    elif sys.argv[1] == "meet":
        trio.run(meet, sys.argv[2], sys.argv[3])
    elif sys.argv[1] == "gossip":
        trio.run(gossip, sys.argv[2], sys.argv[3])
    elif sys.argv[1] == "mdns":
        trio.run(mdns, sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1] == "kad-listen":
        trio.run(kad, None, [])
    elif sys.argv[1] == "kad-dial":
        trio.run(kad, sys.argv[2], sys.argv[3:])
    else:
        trio.run(dial, sys.argv[2], sys.argv[3:])
