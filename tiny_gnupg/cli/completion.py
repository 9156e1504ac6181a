"""Completion of commands and options for bash, made from the parser of the command line."""

from __future__ import annotations

import argparse

_SCRIPT = """\
# bash: eval "$(tiny-gnupg completion)"; zsh: first autoload -U bashcompinit && bashcompinit
_tiny_gnupg() {{
    local words
    case $COMP_CWORD:${{COMP_WORDS[1]}} in
        1:*) words="{commands}" ;;
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _tiny_gnupg tiny-gnupg
"""


def completion(whole: argparse.ArgumentParser) -> str:
    """Return the script; what it does not know, bash completes as a file's name."""
    [commands] = (
        action.choices
        for action in whole._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    cases = (f'        *:{name}) words="{_words(made)}" ;;' for name, made in commands.items())
    return _SCRIPT.format(commands=" ".join(commands), cases="\n".join(cases))


def _words(made: argparse.ArgumentParser) -> str:
    """Return the options of a command, and the words that its arguments choose from."""
    found = [word for one in made._actions for word in (*one.option_strings, *(one.choices or ()))]
    return " ".join(word for word in found if len(word) > 2)
