"""Runs Kubo 0.22, which comes as a C library, as a child process.

kubo.py LIBRARY REPOSITORY ROUTING    takes one JSON request a line on standard input and answers each with one line
"""
import ctypes
import json
import os
import sys

TEXT = ["AddFile", "ListPeers", "GetNodeID", "GetNodeMultiAddrs", "PubSubNextMessage"]


def configure(repository, routing):
    path = os.path.join(repository, "config")
    with open(path) as file:
        config = json.load(file)
    config["Bootstrap"] = []
    config["Discovery"]["MDNS"]["Enabled"] = False
    config["Addresses"]["Swarm"] = ["/ip4/127.0.0.1/tcp/0"]
    config["Addresses"]["API"] = config["Addresses"]["Gateway"] = "/ip4/127.0.0.1/tcp/0"
    config["Swarm"]["DisableNatPortMap"] = True
    config["Swarm"]["RelayClient"] = {"Enabled": False}
    config["Swarm"]["EnableHolePunching"] = False
    config["Swarm"]["AddrFilters"] = []
    config["Routing"] = {"Type": routing, "Methods": None, "Routers": None}
    config["AutoNAT"] = {}
    config["Pubsub"] = {"Enabled": True, "Router": "gossipsub"}
    with open(path, "w") as file:
        json.dump(config, file)


def main():
    library_path, repository, routing = sys.argv[1:]
    # The library writes to standard output as it likes: keep that apart from the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    library = ctypes.CDLL(library_path)
    for name in TEXT:
        getattr(library, name).restype = ctypes.c_char_p
    library.PubSubSubscribe.restype = ctypes.c_longlong
    library.PubSubNextMessage.argtypes = [ctypes.c_longlong]
    os.makedirs(repository, exist_ok=True)
    here = repository.encode()
    library.CreateRepo(here)
    configure(repository, routing)
    library.RunNode(here)

    def text(value):
        return value.decode() if value else None

    actions = {
        "id": lambda: text(library.GetNodeID(here)),
        "addresses": lambda: text(library.GetNodeMultiAddrs(here)),
        "add": lambda path: text(library.AddFile(here, path.encode(), ctypes.c_bool(False))),
        "get": lambda cid, target: library.Download(here, cid.encode(), target.encode()),
        "connect": lambda address: library.ConnectToPeer(here, address.encode()),
        "subscribe": lambda topic: library.PubSubSubscribe(here, topic.encode()),
        "next": lambda number: text(library.PubSubNextMessage(number)),
        "publish": lambda topic, data: library.PubSubPublish(here, topic.encode(), data.encode(), len(data.encode())),
        "peers": lambda: text(library.ListPeers(here)),
    }
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        answers.write(json.dumps(actions[name](*arguments)) + "\n")
        answers.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
