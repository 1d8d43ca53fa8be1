# SPDX-License-Identifier: Apache-2.0
"""docs/api/ as what it is: documents whose schemas judge what a gateway really said. Strict: a
member that no schema names is a mistake of the document, although clients are to ignore it."""

import json
import os
import pathlib

import jsonschema
import referencing
import yaml
from jsonschema import Draft7Validator, Draft202012Validator
from referencing.jsonschema import DRAFT7, DRAFT202012

FOLDER = pathlib.Path(__file__).parents[3] / "docs" / "api"
FORMATS = jsonschema.FormatChecker(formats=("date-time",))
# what is the same on every answer, and no document speaks of
USUAL_HEADERS = {"content-type", "content-length", "connection", "date", "vary", "server", "upgrade", "transfer-encoding",
                 "x-content-type-options", "cache-control", "content-encoding", "referrer-policy", "allow",
                 "access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers"}


def walk(node, at=()):
    """(path, dict) of every object in a document."""
    if isinstance(node, dict):
        yield at, node
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from walk(value, (*at, key))


def strict(node):
    """The same document, where an object has the members that are named and no others."""
    if isinstance(node, list):
        return [strict(n) for n in node]
    if not isinstance(node, dict):
        return node
    made = {k: strict(v) for k, v in node.items()}
    if made.get("type") == "object" and "properties" in made:
        made.setdefault("additionalProperties", False)
    return made


class Document:
    def __init__(self, name, validator, specification):
        self.tree = yaml.safe_load((FOLDER / name).read_text())
        self.validator = validator
        resource = referencing.Resource(strict(self.tree), specification)
        self.registry = referencing.Registry().with_resource("urn:document", resource)

    def resolve(self, node):
        """The node itself, or what its $ref leads to; with the place where that is."""
        while "$ref" in node:
            node = self.at(node["$ref"])
        return node

    def at(self, ref):
        node = self.tree
        for part in ref.removeprefix("#/").split("/"):
            part = part.replace("~1", "/").replace("~0", "~")
            node = node[int(part) if isinstance(node, list) else part]
        return node

    def mistakes(self, value, *place):
        """What the schema at this place says against a value."""
        pointer = "/".join(str(p).replace("~", "~0").replace("/", "~1") for p in place)
        check = self.validator({"$ref": f"urn:document#/{pointer}"}, registry=self.registry, format_checker=FORMATS)
        return [f"{e.json_path}: {e.message}" for e in check.iter_errors(value)]

    def place(self, node, *place):
        """Where the node at a place really stands."""
        while "$ref" in node:
            place = tuple(p.replace("~1", "/").replace("~0", "~") for p in node["$ref"].removeprefix("#/").split("/"))
            node = self.at(node["$ref"])
        return node, place


class OpenApi(Document):
    def __init__(self):
        super().__init__("openapi.yaml", Draft202012Validator, DRAFT202012)
        self.seen = set()  # (path, method, status) that were judged

    def judge(self, method, path, response):
        """An answer (harness.raw.Response) against what the document says of it."""
        operation = self.tree["paths"][path][method.lower()]
        status = str(response.status)
        name = status if status in operation["responses"] else "default"
        assert name in operation["responses"], f"{method} {path}: {status} is not documented"
        said, place = self.place(operation["responses"][name], "paths", path, method.lower(), "responses", name)
        self.judge_headers(f"{method} {path} {status}", said, place, response)
        self.judge_body(f"{method} {path} {status}", said, place, response)
        self.seen.add((path, method.upper(), status))

    def judge_headers(self, what, said, place, response):
        headers = {name.lower(): (name, h) for name, h in said.get("headers", {}).items()}
        for name in response.headers:
            assert name in headers or name in USUAL_HEADERS or name in ("retry-after", "www-authenticate", "x-balance-version"), \
                f"{what}: the header {name} is not documented"
        for name, (written, node) in headers.items():
            header, at = self.place(node, *place, "headers", written)
            if name not in response.headers:
                assert not header.get("required"), f"{what}: {written} is missing"
                continue
            bad = self.mistakes(response.headers[name], *at, "schema")
            assert not bad, f"{what}: {written}: {bad}"

    def judge_body(self, what, said, place, response):
        kind = response.headers.get("content-type", "").split(";")[0]
        if not response.body:
            assert not kind or not said.get("content") or kind in said["content"], f"{what}: {kind}"
            return
        assert kind in said.get("content", {}), f"{what}: {kind} is not documented"
        value = json.loads(response.body) if kind.endswith("json") else response.body.decode()
        bad = self.mistakes(value, *place, "content", kind, "schema")
        assert not bad, f"{what}: {bad}: {response.body[:300]}"


class AsyncApi(Document):
    def __init__(self):
        super().__init__("asyncapi.yaml", Draft7Validator, DRAFT7)
        self.seen = {}  # operation -> names of messages that were judged

    @staticmethod
    def official_schema():
        folder = pathlib.Path(os.environ["ASYNCAPI_SPECS"], "node_modules", "@asyncapi", "specs", "schemas")
        return json.loads((folder / "3.0.0-without-$id.json").read_text())

    def messages(self, operation):
        """(name, the place of its payload) of each message of an operation."""
        for node in self.tree["operations"][operation]["messages"]:
            message, place = self.place(node)
            yield message["name"], (*place, "payload")

    def judge(self, operation, payload, name=None):
        """Exactly one message fits; its name. `name`: that one must."""
        why = {n: self.mistakes(payload, *place) for n, place in self.messages(operation) if name in (None, n)}
        fitting = [n for n, bad in why.items() if not bad]
        assert len(fitting) == 1, f"{operation}: {json.dumps(payload)[:400]} is {fitting or why}"
        self.seen.setdefault(operation, set()).add(fitting[0])
        return fitting[0]

    def unseen(self, operation):
        return {name for name, _ in self.messages(operation)} - self.seen.get(operation, set())
