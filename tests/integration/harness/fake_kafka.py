# SPDX-License-Identifier: Apache-2.0
"""A broker of one topic that says what a test wants it to: the answers that a real one gives for an instant while it
comes back, held as long as they are needed. It speaks ApiVersions, Metadata, ListOffsets, DescribeConfigs and Fetch 16."""

import socket
import struct
import threading
import uuid

NODE = 1
FETCH, LIST_OFFSETS, METADATA, API_VERSIONS, DESCRIBE_CONFIGS = 1, 2, 3, 18, 32
VERSIONS = {0: (3, 3), FETCH: (4, 16), LIST_OFFSETS: (1, 7), METADATA: (9, 12), API_VERSIONS: (0, 3), DESCRIBE_CONFIGS: (0, 1)}
NO_TOPIC, NO_LEADER, NOT_LEADER = 3, 5, 6
NO_RIGHTS = -2147483648  # were not asked for


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, code):
        return struct.unpack(">" + code, self.take(struct.calcsize(code)))[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def compact(self):
        n = self.varint()
        return self.take(n - 1) if n else None

    def string(self):
        n = self.number("h")
        return self.take(n) if n >= 0 else None

    def array(self, item):
        return [item() for _ in range(max(self.varint() - 1, 0))]

    def tags(self):
        for _ in range(self.varint()):
            self.varint()
            self.take(self.varint())


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def compact(text):
    return varint(0) if text is None else varint(len(text) + 1) + text


def string(text):
    return struct.pack(">h", len(text)) + text


def array(items):
    items = list(items)
    return varint(len(items) + 1) + b"".join(items)


def tags(**fields):
    """t1=b"..": tagged field 1."""
    rows = sorted((int(name[1:]), value) for name, value in fields.items())
    return varint(len(rows)) + b"".join(varint(tag) + varint(len(value)) + value for tag, value in rows)


class FakeKafka:
    """Every partition is empty and led by this broker, until `leaders` and `script` say otherwise.

    leaders: {partition: (leader, epoch)} as all answers have it. script: the answers to the next Fetches, each
    {"leaders": {partition: (leader, epoch)}}: not led here, but there (with "stays" all other answers say so from then
    on); or {"pad": bytes}: nothing new, and so many bytes in a field that no client knows."""

    def __init__(self, topic, partitions, cluster=b"fake"):
        self.topic, self.partitions, self.cluster = topic.encode(), partitions, cluster
        self.topic_id = uuid.uuid4().bytes
        self.leaders = {p: (NODE, 0) for p in range(partitions)}
        self.fetched = {}  # partition: how often it was asked for
        self.script = []
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.open = True
        self.peers = set()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while self.open:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.peers.add(peer)
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def close(self):
        self.open = False
        self.listener.close()
        self.hang_up()

    def hang_up(self):
        for peer in list(self.peers):
            try:
                peer.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it was gone already

    def refuse(self):
        """As a host whose broker does not run; the port stays ours."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.hang_up()

    def welcome(self):
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def serve(self, peer):
        stream = peer.makefile("rb")
        try:
            while self.open:
                head = stream.read(4)
                if len(head) < 4:
                    return
                request = Reader(stream.read(struct.unpack(">i", head)[0]))
                key, version, correlation = request.number("h"), request.number("h"), request.number("i")
                request.string()  # the client's id
                answer = self.answer(key, version, request)
                body = struct.pack(">i", correlation) + answer
                peer.sendall(struct.pack(">i", len(body)) + body)
        except (OSError, ValueError):
            return  # the client went away, or the test is over
        finally:
            peer.close()
            self.peers.discard(peer)

    def answer(self, key, version, request):
        if key == API_VERSIONS:
            return self.api_versions(version)
        if key == DESCRIBE_CONFIGS:
            return self.describe_configs(version)
        request.tags()  # all others are of the flexible kind
        how = {METADATA: self.metadata, LIST_OFFSETS: self.list_offsets, FETCH: self.fetch}[key]
        with self.lock:
            return tags() + how(version, request)

    def api_versions(self, version):
        rows = [struct.pack(">hhh", key, low, high) for key, (low, high) in VERSIONS.items()]
        if version < 3:
            return struct.pack(">hi", 0, len(rows)) + b"".join(rows) + (b"" if version == 0 else bytes(4))
        return struct.pack(">h", 0) + array(row + tags() for row in rows) + bytes(4) + tags()

    def describe_configs(self, version):
        entry = string(b"cleanup.policy") + string(b"compact") + (b"\0\1\0" + bytes(4) if version else b"\0\0\0")
        result = struct.pack(">hh", 0, -1) + b"\2" + string(self.topic) + struct.pack(">i", 1) + entry
        return struct.pack(">ii", 0, 1) + result

    def metadata(self, version, request):
        asked = []

        def wanted():
            if version >= 10:
                request.take(16)
            asked.append(request.compact())
            request.tags()
        if request.data[request.at] == 0:
            asked.append(self.topic)  # all that there are
        else:
            request.array(wanted)
        broker = struct.pack(">i", NODE) + compact(b"127.0.0.1") + struct.pack(">i", self.port) + compact(None) + tags()
        cluster_rights = struct.pack(">i", NO_RIGHTS) if version <= 10 else b""
        return (bytes(4) + array([broker]) + compact(self.cluster) + struct.pack(">i", NODE) +
                array(self.described(name, version) for name in asked) + cluster_rights + tags())

    def described(self, name, version):
        ours = name == self.topic
        nodes = array([struct.pack(">i", NODE)])
        partitions = [struct.pack(">hiii", 0 if leader >= 0 else NO_LEADER, p, leader, epoch) + nodes + nodes + array([]) + tags()
                      for p, (leader, epoch) in self.leaders.items()]
        topic_id = self.topic_id if ours else bytes(16)
        return (struct.pack(">h", 0 if ours else NO_TOPIC) + compact(name) + (topic_id if version >= 10 else b"") + b"\0" +
                array(partitions if ours else []) + struct.pack(">i", NO_RIGHTS) + tags())

    def list_offsets(self, _version, request):
        request.take(5)  # replica, isolation

        def partition():
            p = request.number("i")
            request.take(12)
            request.tags()
            leader, epoch = self.leaders[p]
            return struct.pack(">ihqqi", p, 0 if leader == NODE else NOT_LEADER, -1, 0 if leader == NODE else -1, epoch) + tags()

        def topic():
            name, partitions = request.compact(), request.array(partition)
            request.tags()
            return compact(name) + array(partitions) + tags()
        return bytes(4) + array(request.array(topic)) + tags()

    def fetch(self, _version, request):
        wait_ms = request.number("i")
        request.take(4 + 4 + 1 + 4 + 4)
        asked = []

        def partition():
            asked.append(request.number("i"))
            request.take(4 + 8 + 4 + 8 + 4)
            request.tags()

        def topic():
            request.take(16)
            request.array(partition)
            request.tags()
        request.array(topic)
        for p in asked:
            self.fetched[p] = self.fetched.get(p, 0) + 1
        # the first questions are for the partitions that are there so far: the script is for a question for all of them
        say = self.script.pop(0) if self.script and len(asked) == self.partitions else {}
        if not say:
            self.lock.release()  # nothing is new: as a broker does, wait for something
            threading.Event().wait(wait_ms / 1000)
            self.lock.acquire()
        return self.fetch_answer(asked, say)

    def fetch_answer(self, asked, say):
        moved = say.get("leaders", {})
        if say.get("stays"):
            self.leaders = dict(moved)
        endpoint = struct.pack(">i", NODE) + compact(b"127.0.0.1") + struct.pack(">i", self.port) + compact(None) + tags()
        partitions = []
        for p in asked:
            wrong = p in moved or self.leaders[p][0] != NODE
            tagged = tags(t1=struct.pack(">ii", *moved[p]) + tags()) if p in moved else tags()
            partitions.append(struct.pack(">ihqqq", p, NOT_LEADER if wrong else 0, 0, 0, 0) + array([]) +
                              struct.pack(">i", -1) + compact(b"") + tagged)
        top = {}
        if moved:
            top["t0"] = array([endpoint])
        if say.get("pad"):
            top["t99"] = say["pad"]
        return bytes(4) + bytes(2) + bytes(4) + array([self.topic_id + array(partitions) + tags()]) + tags(**top)
