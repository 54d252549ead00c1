"""Runs the action in a file once: parameters as JSON on standard input, the outcome as a line of JSON on the
file descriptor whose number is the second argument.

Outcomes are told apart as the Python runtime of Apache OpenWhisk does. A program of its own: any Python 3 may run it,
with nothing installed.
"""

import json
import os
import runpy
import sys


def finish(kind: str, result: object) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    with os.fdopen(int(sys.argv[2]), "w", encoding="utf-8") as out:
        out.write(json.dumps({"kind": kind, "result": result}) + "\n")


def run(path: str) -> None:
    sys.path.insert(0, os.path.dirname(path))
    try:
        main = runpy.run_path(path, run_name="__action__")["main"]
    except KeyError:
        finish("action developer error", {"error": "Initialization has failed: the file has no function named main"})
        return
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the action does wrong
        sys.excepthook(type(error), error, error.__traceback__)
        finish("action developer error", {"error": f"Initialization has failed due to: {error}"})
        return
    try:
        result = main(json.load(sys.stdin))
        if not isinstance(result, dict):
            finish("action developer error", {"error": "The action did not return a dictionary."})
            return
        json.dumps(result)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - likewise
        sys.excepthook(type(error), error, error.__traceback__)
        finish("action developer error", {"error": f"An error has occurred: {error}"})
        return
    finish("application error" if "error" in result else "success", result)


if __name__ == "__main__":
    run(sys.argv[1])
