# SPDX-License-Identifier: BSD-3-Clause
"""faults.py CHECK MAN ARGUMENT... - where the pages of the folder MAN differ from what they
describe. One line per fault; nothing if there is none.

  functions INCLUDE MAP     prototypes, types and constants of the public headers
  errors INCLUDE            the codes in the headers and in ERRORS
  options KCOROD KCOROCTL   what the programs say as help
  config KCOROD             what kcorod knows as configuration
"""
import json
import re
import subprocess
import sys

import mdoc
from headers import Headers, callbacks as declared_callbacks, squeeze


def said(*command, given=''):
    result = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    return result.stdout + result.stderr


def differ(what, page, have, want):
    for name in sorted(want - have):
        yield f'{what} {name}: not in {page}'
    for name in sorted(have - want):
        yield f'{what} {name}: in {page}, but there is no such thing'


# ---- the library ----------------------------------------------------------------------------------

def functions(man, include, exported):
    headers, seen = Headers(include), {}
    with open(exported, encoding='utf-8') as file:
        wanted = set(re.findall(r'^\s*(kc_\w+);', file.read(), re.M))
    if not wanted:
        yield f'{exported}: no function found'
    for page in man.values():
        for name, returns, args in page.prototypes():
            if name in seen:
                yield f'{name}: in the synopses of {seen[name]} and {page.name}'
            seen[name] = page.name
            if name not in page.names():
                yield f'{name}: not among the names of {page.name}'
            declared = headers.functions.get(name)
            if not declared:
                continue
            if (declared.returns, declared.args) != (returns, args):
                yield (f'{name}: {page.name} says {returns} ({args}), '
                       f'the header {declared.returns} ({declared.args})')
            if f'kcoro {declared.since}.' not in ' '.join(page.lines('HISTORY')):
                yield f'{name}: the history in {page.name} does not name kcoro {declared.since}'
    yield from differ('function', 'a synopsis', set(seen), wanted)
    overview = man['libkcoro-client.3']
    yield from differ('page', overview.name, {tag[1] for tag, _ in overview.items() if tag[0] == 'Xr'},
                      {name[:-2] for name in set(seen.values())})
    yield from types(man, headers)
    everything = '\n'.join(page.text() for page in man.values())
    for name in sorted(headers.constants):
        if not re.search(rf'\b{name}\b', everything):
            yield f'constant {name}: in no page'


def types(man, headers):
    structs, callbacks = {}, {}
    for page in man.values():
        for section in page.sections:
            for _, block in page.literals(section):
                code = re.sub(r'/\*.*?\*/', '', '\n'.join(block), flags=re.S)
                for name, body in re.findall(r'\bstruct (kc_\w+) \{(.*?)\n\}', code, re.S):
                    structs[name] = page.name
                    if squeeze(body) != headers.structs.get(name):
                        yield f'struct {name}: {page.name} shows other members than the header'
                for name, text in declared_callbacks(code).items():
                    callbacks[name] = page.name
                    if text != headers.callbacks.get(name):
                        yield f'type {name}: {page.name} shows another one than the header'
    yield from differ('struct', 'a page', set(structs), set(headers.structs))
    yield from differ('type', 'a page', set(callbacks), set(headers.callbacks))


def errors(man, include):
    headers, found = Headers(include), {}
    for page in man.values():
        for name, codes in page.errors().items():
            found.setdefault(name, set()).update(codes)
            if name not in page.names():
                yield f'{name}: {page.name} lists errors of what it does not describe'
    if not found:
        yield 'no errors found in the pages'
    for name, function in sorted(headers.functions.items()):
        have = found.get(name, set())
        for code in sorted(function.codes - have):
            yield f'{name}: {code} is in the header, not in ERRORS'
        for code in sorted(have - function.codes):
            yield f'{name}: {code} is in ERRORS, not in the header'


# ---- the programs ---------------------------------------------------------------------------------

def helped(text):
    """The options a help explains, as {long: (letter, argument)}, and words to choose from."""
    found = {}
    for letter, name, argument in re.findall(
            r'^ +(?:-(\w),? +)?--([a-z][a-z-]*)(?: ([A-Z]+)\b)?', text, re.M):
        found[name] = (letter, argument)
    choices = re.findall(r'\bone of\s+([a-z][a-z, -]*)', text)
    return found, {word for choice in choices for word in choice.strip().split(', ')}


def compare_options(where, page, have, want):
    yield from differ(f'{where}option', page, {f'--{name}' for name in have},
                      {f'--{name}' for name in want})
    for name in sorted(set(have) & set(want)):
        if have[name] != want[name]:
            yield f'{where}--{name}: {page} says {have[name]}, the help {want[name]}'


EVERYWHERE = 'for every command:'


def options(man, kcorod, kcoroctl):
    page, help_text = man['kcorod.8'], said(kcorod, '--help')
    yield from compare_options('kcorod ', page.name, mdoc.options(page.lines('DESCRIPTION')),
                               helped(help_text)[0])
    yield from unmentioned(page, help_text)
    page, help_text = man['kcoroctl.1'], said(kcoroctl, '--help')
    own, everywhere = help_text.split(EVERYWHERE)
    commands = set(re.findall(r'^  (\w+) +\w', own.split('commands:')[1], re.M))
    helps = {command: said(kcoroctl, 'help', command) for command in sorted(commands)}
    yield from unmentioned(page, '\n'.join([help_text, *helps.values()]))
    common = list(page.subsection('DESCRIPTION', 'Options of every command'))
    yield from compare_options('kcoroctl ', page.name, mdoc.options(common), helped(everywhere)[0])
    yield from refused(page.name, common, helps)
    described = page.subsections('COMMANDS')
    yield from differ('command', page.name, set(described), commands)
    for command in sorted(commands & set(described)):
        lines = list(page.subsection('COMMANDS', command))
        own = helps[command].split(EVERYWHERE)[0]
        want, choices = helped(own.partition('\noptions:')[2])
        yield from compare_options(f'{command} ', page.name, mdoc.options(lines), want)
        for word in sorted(choices):
            if not any(line.startswith('.Cm ') and word in mdoc.words(line) for line in lines):
                yield f'{command}: {page.name} does not say {word}'


def refused(page, lines, helps):
    """Which commands do not take an option that is said to be of every command."""
    named = {}
    for line in lines:
        if line.startswith('.It '):
            name = next(iter(mdoc.options([line])))
            named[name] = set()
        elif line.startswith('.Cm '):
            named[name].add(mdoc.words(line)[1])
    for name, have in named.items():
        want = {command for command, text in helps.items()
                if name not in helped(text.split(EVERYWHERE)[1])[0]}
        yield from differ(f'--{name} is refused by', page, have, want)


def unmentioned(page, help_text):
    """Variables, signals and exit codes that a help names and a page does not."""
    for word in sorted(set(re.findall(r'\b(?:SIG[A-Z0-9]+|[A-Z]+_[A-Z_]+)\b', help_text))):
        if not re.search(rf'\b{word}\b', page.text()):
            yield f'{word}: in a help, not in {page.name}'
    codes = re.search(r'^Exit (?:codes|status): ((?:.*\n)+?)(?:.*\.|$)', help_text, re.M).group(0)
    for code in re.findall(r'\b\d\b', codes):
        if not re.search(rf'\b{code}\b', ' '.join(page.lines('EXIT STATUS'))):
            yield f'exit status {code}: in a help, not in {page.name}'


def allowed(kcorod, text):
    """What kcorod says may stand where something else was found."""
    match = re.search(r'allowed: (.*)', said(kcorod, '--check-config', '--config', '/dev/stdin',
                                             given=json.dumps(text)))
    return match.group(1) if match else ''


def config(man, kcorod):
    page = man['kcorod.conf.5']
    defaults = json.loads(said(kcorod, '--print-config'))
    have = {tag[1]: text for tag, text in page.items() if tag[0] == 'Cm'}
    want = {}
    for section in allowed(kcorod, {'?': {}}).split(', '):
        for key in allowed(kcorod, {section: {'?': 0}}).split(', '):
            want[f'{section}.{key}'] = (allowed(kcorod, {section: {key: None}}),
                                        defaults[section].get(key))
    yield from differ('key', page.name, set(have), set(want))
    for name in sorted(set(have) & set(want)):
        may, default = want[name]
        ending = 'without it ' if default is None else f'the default is {default}.'
        expected = f'{may[0].upper()}{may[1:]}; {ending}'
        if not have[name].startswith(expected):
            yield f'{name}: {page.name} should begin with: {expected}'


def main():
    check, folder, *arguments = sys.argv[1:]
    checks = {'functions': functions, 'errors': errors, 'options': options, 'config': config}
    for fault in checks[check](mdoc.pages(folder), *arguments):
        print(fault)


main()
