"""Processes that ask and can be killed: forked from one that has imported what they need.

For each line `DIRECTORY BASE_URL COUNT` of standard input a process asks COUNT requests, 8 at once.
Its id is printed, then how it ended.
"""

import os
import sys
import traceback

import openai  # noqa: F401  (the slowest to import)

from tk_instruct.completions import Parameters, Request
from tk_instruct.completions.dispatch import Dispatcher
from tk_instruct.completions.dispatch.budget import Budget
from tk_instruct.completions.dispatch.retries import Retries
from tk_instruct.completions.openai import OpenAICompletions
from tk_instruct.errors import UserError
from tk_instruct.self_instruct.run_directory import RunDirectory


def ask(directory: str, base_url: str, count: int) -> int:
    client = OpenAICompletions("m", base_url, api_key_variable="NO_SUCH_KEY", timeout_seconds=60)
    patience = Retries(first_pause_seconds=0.005)
    requests = (Request("instances", i, f"prompt {i}", Parameters(20)) for i in range(count))
    try:
        with (
            RunDirectory(directory) as run,
            Dispatcher(client, run, Budget(), concurrency=8, retries=patience) as ask,
        ):
            for _ in ask.in_order(requests):
                pass
    except KeyboardInterrupt:
        return 130
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


for line in sys.stdin:
    where, url, number = line.split()
    if (child := os.fork()) == 0:
        os._exit(ask(where, url, int(number)))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
