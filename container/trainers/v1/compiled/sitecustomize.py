"""Runs ML-Agents 1.1.0 on a compiled protobuf, where there is one beside the environment's own, which is pure Python.

ML-Agents wants protobuf 3.20, which was compiled for Python 3.10 at most; later releases refuse its generated modules.
So these are built here from the descriptors that they hold. Python imports this module by itself where its folder is in
PYTHONPATH: in the learner, its workers, and players that are Python programs.
"""

import ast
import importlib
import importlib.abc
import importlib.machinery
import os
import sys

FOLDER = os.path.join(sys.prefix, "compiled-protobuf")
STUBS = "mlagents_envs.communicator_objects."


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds and builds the generated modules."""

    def find_spec(self, name, path, target=None):
        """Find a generated module."""
        found = importlib.machinery.PathFinder.find_spec(name, path) if name.startswith(STUBS) else None
        if found is None or not name.endswith("_pb2"):
            return None
        return importlib.machinery.ModuleSpec(name, self, origin=found.origin)

    def create_module(self, spec):
        """Let Python create the module."""

    def exec_module(self, module):
        """Build the module from its descriptor, after those that it imports."""
        from google.protobuf import descriptor_pool
        from google.protobuf.internal import builder

        with open(module.__spec__.origin, encoding="utf-8") as file:
            tree = ast.parse(file.read())
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module + "." == STUBS:
                for alias in node.names:
                    importlib.import_module(STUBS + alias.name)
        (packed,) = (node.value for node in ast.walk(tree) if getattr(node, "arg", None) == "serialized_pb")
        content = packed.args[0].value.encode("latin1")  # of a call that does this where Python is 3
        module.DESCRIPTOR = descriptor_pool.Default().AddSerializedFile(content)
        builder.BuildMessageAndEnumDescriptors(module.DESCRIPTOR, vars(module))
        builder.BuildTopDescriptorsAndMessages(module.DESCRIPTOR, module.__name__, vars(module))


if os.path.isdir(FOLDER):
    sys.path.insert(0, FOLDER)
    if "google" in sys.modules:  # made by the other protobuf's .pth file
        sys.modules["google"].__path__ = [os.path.join(FOLDER, "google"), *sys.modules["google"].__path__]
    sys.meta_path.insert(0, Finder())
