"""proto/openapi/ as it is written: operations with references followed."""
import os
import re

import yaml

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..",
                      "proto", "openapi")
PROBLEM = "application/problem+json"


class Files:
    def __init__(self):
        self.loaded = {}

    def file(self, name):
        if name not in self.loaded:
            with open(os.path.join(FOLDER, name)) as f:
                self.loaded[name] = yaml.safe_load(f)
        return self.loaded[name]

    def follow(self, value):
        while "$ref" in value:
            name, key = value["$ref"].split("#/")
            value = self.file(name)[key]
        return value


class Operation:
    def __init__(self, files, path, raw):
        self.files, self.path, self.raw = files, path, raw
        self.parameters = re.findall("{([a-z]+)}", path)
        self.secured = bool(raw["security"])
        self.listener = raw["tags"][0]
        if self.listener not in ("admin", "ops"):
            self.listener = "client"
        self.responses = {key: files.follow(value)
                          for key, value in raw["responses"].items()}
        self.media_type = None  # of its body
        for self.media_type in raw.get("requestBody", {}).get("content", ()):
            pass
        self.max_bytes = raw.get("x-max-bytes", 0)

    def statuses(self):
        return [int(key) for key in self.responses if key != "default"]

    def content(self, status):
        return self.response(status).get("content", {})

    def response(self, status):
        """As OpenAPI has it: `default` is for what is not listed."""
        return self.responses.get(str(status), self.responses["default"])

    def problems(self, status):
        """The problem types that an answer of that status may have."""
        examples = self.content(status).get(PROBLEM, {}).get("examples", {})
        values = [self.files.follow(e)["value"] for e in examples.values()]
        return [v["type"] for v in values if v["status"] == status]


def operations():
    files, found = Files(), {}
    for path, item in files.file("openapi.yaml")["paths"].items():
        for raw in files.follow(item).values():
            if isinstance(raw, dict) and "operationId" in raw:
                found[raw["operationId"]] = Operation(files, path, raw)
    return found


OPERATIONS = operations()  # by operationId
