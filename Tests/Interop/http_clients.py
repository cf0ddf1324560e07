"""Drives a Waggle daemon's RPC API with Python clients written for Kubo. Run by interop.py in the peers' environment.

http_clients.py aioipfs|ipfshttpclient MULTIADDR     prints what it did, or ends with a traceback
"""
import asyncio
import hashlib
import os
import sys
import tempfile
import warnings

HELLO = "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o"


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def make_tree(folder):
    """A directory with a file, a larger one below it, and an empty one."""
    os.makedirs(os.path.join(folder, "tree", "inner"))
    big = hashlib.shake_256(b"waggle").digest(1_500_000)
    for name, data in (("hello.txt", b"hello world\n"), ("inner/big.bin", big), ("inner/empty", b"")):
        with open(os.path.join(folder, "tree", name), "wb") as file:
            file.write(data)
    return os.path.join(folder, "tree"), big


async def aioipfs_client(address, folder):
    import aioipfs
    tree, big = make_tree(folder)
    async with aioipfs.AsyncIPFS(maddr=address) as client:
        version = await client.version()
        identity = await client.core.id()
        expect(identity["ID"].startswith("12D3KooW"), identity)
        added = await client.add_bytes(b"hello world\n")
        expect(added["Hash"] == HELLO, added)
        expect(await client.cat(HELLO) == b"hello world\n", "cat")
        entries = {entry["Name"]: entry["Hash"] async for entry in client.add(tree, recursive=True)}
        root = entries["tree"]
        expect(entries["tree/hello.txt"] == HELLO and "tree/inner/big.bin" in entries, entries)
        expect(await client.cat(f"{root}/inner/big.bin") == big, "cat of a path")
        expect(await client.cat(f"{root}/inner/big.bin", offset=1000, length=20) == big[1000:1020], "cat of a part")
        listing = await client.core.ls(root)
        expect({link["Name"] for link in listing["Objects"][0]["Links"]} == {"hello.txt", "inner"}, listing)
        target = os.path.join(folder, "got")
        os.makedirs(target)
        await client.core.get(root, dstdir=target)
        with open(os.path.join(target, root, "inner", "big.bin"), "rb") as file:
            expect(file.read() == big, "get")
        pins = await client.pin.ls()
        expect(root in pins["Keys"] and pins["Keys"][root]["Type"] == "recursive", "pin ls")
        await client.pin.rm(root)
        expect(root not in (await client.pin.ls(pintype="recursive"))["Keys"], "pin rm")
        async for _ in client.pin.add(root):
            pass
        expect(root in (await client.pin.ls(pintype="recursive"))["Keys"], "pin add")
        # Its block.put does not work with newer versions of aiohttp.
        expect(b"hello world\n" in await client.block.get(HELLO), "block get")
        expect((await client.block.stat(HELLO))["Size"] == 20, "block stat")
        refs = [ref["Ref"] async for ref in client.refs.local()]
        expect(len(refs) >= 3, refs)
        expect(isinstance(await client.swarm.peers(), dict), "swarm peers")
        expect((await client.repo.stat())["NumObjects"] > 0, "repo stat")
        try:
            await client.cat("not-a-cid")
            raise AssertionError("an error was expected")
        except aioipfs.APIError as error:
            expect("not-a-cid" in error.message, error.message)
    return f"Waggle {version['Version']}, {len(entries)} entries, {len(refs)} links"


def ipfshttpclient_client(address, folder):
    warnings.simplefilter("ignore")
    import ipfshttpclient
    import ipfshttpclient.client
    # The client only knows versions of Kubo that were there before it.
    ipfshttpclient.client.assert_version = lambda *_: None
    tree, big = make_tree(folder)
    with ipfshttpclient.connect(address) as client:
        version = client.version()
        expect(client.id()["ID"].startswith("12D3KooW"), "id")
        expect(client.add_bytes(b"hello world\n") == HELLO, "add_bytes")
        expect(client.add_str("hello world\n") == HELLO, "add_str")
        expect(client.cat(HELLO) == b"hello world\n", "cat")
        entries = {entry["Name"]: entry["Hash"] for entry in client.add(tree, recursive=True)}
        root = entries["tree"]
        single = client.add(os.path.join(tree, "hello.txt"))
        expect(single["Hash"] == HELLO and single["Name"] == "hello.txt", single)
        expect(client.cat(f"{root}/inner/big.bin") == big, "cat of a path")
        links = client.ls(root)["Objects"][0]["Links"]
        expect([link["Name"] for link in links] == ["hello.txt", "inner"], links)
        client.get(root, target=folder)
        with open(os.path.join(folder, root, "inner", "big.bin"), "rb") as file:
            expect(file.read() == big, "get")
        expect(root in client.pin.ls(type="recursive")["Keys"], "pin ls")
        expect(client.pin.rm(root)["Pins"] == [root], "pin rm")
        expect(client.pin.add(root)["Pins"] == [root], "pin add")
        block = client.block.put(os.path.join(tree, "hello.txt"))
        expect(client.block.get(block["Key"]) == b"hello world\n", "block get")
        expect(client.block.stat(block["Key"])["Size"] == 12, "block stat")
        expect(client.swarm.peers().get("Peers", []) in ([], None), "swarm peers")
        expect(client.repo.stat()["NumObjects"] > 0, "repo stat")
        expect(len(client.bootstrap.list()["Peers"]) == 0, "bootstrap list")
        expect(client.config.get()["Bootstrap"] == [], "config show")
        try:
            client.cat("not-a-cid")
            raise AssertionError("an error was expected")
        except ipfshttpclient.exceptions.ErrorResponse as error:
            expect("not-a-cid" in str(error), error)
    return f"Waggle {version['Version']}, {len(entries)} entries"


def main():
    which, address = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        if which == "aioipfs":
            print(asyncio.run(aioipfs_client(address, folder)))
        else:
            print(ipfshttpclient_client(address, folder))


main()
