# SPDX-License-Identifier: BSD-3-Clause
"""transcript.py FILE SECTION - runs the commands that a section shows, one after the other.

A command is a line that begins with "$ "; what follows it is its output, both streams, and must be
all of it: "..." stands for any text of a line, a line "..." for any lines. The exit status is 0, or
what the command's comment says ("# status 4").

FILE is a page of ours, where the blocks of EXAMPLES are taken, or text in Markdown, where those of
"## SECTION" are. All commands run in one bash, in the current folder. From "kcoroctl session -- bash"
on they run in that one. A block whose introduction begins with "In a second shell" runs beside the
block that follows it; then its end is awaited.

Prints one line per fault.
"""
import os
import re
import subprocess
import sys
import tempfile

import mdoc

SHELL = 'kcoroctl session -- bash'


class Command:
    def __init__(self, text):
        self.text = text
        self.code = re.sub(r'\s+# .*', '', text)
        match = re.search(r'# .*\bstatus (\d+)', text)
        self.status = int(match.group(1)) if match else 0
        self.output = []


def markdown_blocks(path, title):
    with open(path, encoding='utf-8') as file:
        section = re.split(r'^## ', file.read(), flags=re.M)
    text = next((part for part in section if part.startswith(f'{title}\n')), '')
    before, block, blank = '', [], True
    for line in text.split('\n')[1:] + ['']:
        if line.startswith('    '):
            block.append(line[4:])
            continue
        if block:
            yield before, block
            block = []
        if line:
            before = line if blank else f'{before} {line}'
        blank = not line


def commands_of(block):
    found = []
    for line in block:
        if line.startswith('$ '):
            found.append(Command(line[2:]))
        elif found:
            found[-1].output.append(line)
    return found


def matches(output, wanted):
    pattern = ''.join('(?:.*\n)*' if line.strip() == '...' else
                      '.*'.join(map(re.escape, line.split('...'))) + '\n' for line in wanted)
    return re.fullmatch(pattern, output)


class Run:
    """The scripts made of the commands: each leaves its output and its status in files."""

    def __init__(self, folder):
        self.folder, self.commands = folder, []

    def at(self, kind, number):
        return os.path.join(self.folder, f'{kind}.{number}')

    def line(self, command, given='/dev/null'):
        number = len(self.commands)
        self.commands.append(command)
        return (f'{{ {command.code}\n}} > {self.at("out", number)} 2>&1 < {given}\n'
                f'echo $? > {self.at("status", number)}\n')

    def script(self, blocks):
        text, beside = '', False
        for number, (before, commands) in enumerate(blocks):
            lines = ''
            for at, command in enumerate(commands):
                if command.code == SHELL:
                    inner = self.at('inner', number)
                    lines += self.line(command, inner)
                    with open(inner, 'w', encoding='utf-8') as file:
                        file.write(self.script([('', commands[at + 1:])] + blocks[number + 1:]))
                    return text + lines
                lines += self.line(command)
            if before.startswith('In a second shell'):
                text += f'({lines}) &\nbeside=$!\n'
                beside = True
            else:
                text += lines + ('wait $beside\n' if beside else '')
                beside = False
        return text + ('wait $beside\n' if beside else '')

    def faults(self):
        for number, command in enumerate(self.commands):
            try:
                with open(self.at('out', number), encoding='utf-8') as file:
                    output = file.read()
                with open(self.at('status', number), encoding='utf-8') as file:
                    status = int(file.read())
            except (OSError, ValueError):
                yield f'$ {command.text}: it did not run to its end'
                continue
            if status != command.status:
                yield f'$ {command.text}: status {status}, not {command.status}; it says: {output}'
            elif not matches(output, command.output):
                yield f'$ {command.text}: it says: {output}'


def main():
    path = sys.argv[1]
    if path.endswith('.md'):
        found = markdown_blocks(path, sys.argv[2])
    else:
        found = mdoc.Page(path).literals('EXAMPLES')
    blocks = [(before, commands_of(block)) for before, block in found]
    blocks = [(before, commands) for before, commands in blocks if commands]
    if not blocks:
        print(f'{path}: no commands found')
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder)
        script = run.script(blocks)
        result = subprocess.run(['bash', '-c', script], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, check=False)
        print(result.stdout + result.stderr, end='')
        for fault in run.faults():
            print(fault)


main()
