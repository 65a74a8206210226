"""The scripts of `assets` as the text of one script element.

A browser reads no ES modules from `file://`, so they are joined: each module becomes a function
that returns its exports. The modules stay small files that Node and linters read directly. They may
import named exports of each other and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import resources

IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w.-]+\.js)";$', re.MULTILINE)
EXPORT = re.compile(
    r"^export (?=(?:async function|function\*?|class|const|let) ([\w$]+))", re.MULTILINE
)
# What the two patterns do not know, and what would end the script element.
UNKNOWN = re.compile(r"^\s*(?:import|export)\b.*", re.MULTILINE)
ENDS = re.compile(r"</script|<!--", re.IGNORECASE)


def read_asset(name: str) -> str:
    """The text of a file in `assets`."""
    folder = resources.files("keras_ae.evaluation.report").joinpath("assets")
    return folder.joinpath(name).read_text(encoding="utf-8")


def bundle(entry: str, read: Callable[[str], str] = read_asset) -> str:
    """Join a module with those that it imports, each after what it needs.

    Args:
        entry: File name of the module to run.
        read: Returns the text of a module by its file name.

    Returns:
        A script that runs `entry` once, without imports and exports, in strict mode.

    Raises:
        ValueError: modules import each other in a circle, an import or export has a form other
            than `import { a, b as c } from "./module.js";` and `export function name`, `const`,
            `class` or `let`, or a module contains what would end a script element.

    Example:
        >>> modules = {"a.js": 'import { b } from "./b.js";', "b.js": "export const b = 1;"}
        >>> "const { b } = modules" in bundle("a.js", modules.__getitem__)
        True
    """
    scopes: dict[str, str] = {}
    open_modules: list[str] = []

    def add(name: str) -> None:
        if name in scopes:
            return
        if name in open_modules:
            raise ValueError(f"modules import each other: {' -> '.join([*open_modules, name])}")
        open_modules.append(name)
        source = read(name)
        for _, needed in IMPORT.findall(source):
            add(needed)
        scopes[name] = as_scope(name, source)
        open_modules.pop()

    add(entry)
    return "\n".join(
        ["(() => {", '"use strict";', "const modules = {};", *scopes.values(), "})();\n"]
    )


def as_scope(name: str, source: str) -> str:
    """A module as a function that is called once; its exports become an entry of `modules`."""
    exports = EXPORT.findall(source)
    text = EXPORT.sub("", IMPORT.sub(as_destructuring, source))
    if found := UNKNOWN.search(text) or ENDS.search(text):
        raise ValueError(f"{name}: cannot be part of a page: {found[0].strip()}")
    return (
        f'modules["{name}"] = (() => {{\n{text.strip()}\nreturn {{ {", ".join(exports)} }};\n}})();'
    )


def as_destructuring(found: re.Match[str]) -> str:
    """`import { a, b as c } from "./d.js";` as a `const` of what `d.js` returned."""
    names = " ".join(found[1].split()).rstrip(",").strip()
    return f'const {{ {re.sub(r" as ", ": ", names)} }} = modules["{found[2]}"];'
