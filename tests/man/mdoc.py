# SPDX-License-Identifier: BSD-3-Clause
"""Reads our manual pages: the part of mdoc(7) that they use."""
import glob
import os
import re

from headers import squeeze

ESCAPES = {r'\e': '\\', r'\&': '', r'\-': '-', r'\(aq': "'", r'\(ga': '`', r'\(ha': '^',
           r'\(ti': '~', r'\(em': '--'}


def plain(line):
    """A line as the reader sees it."""
    return re.sub(r'\\(?:\(..|.)', lambda match: ESCAPES[match.group(0)], line)


def words(line):
    """The words of a macro line; what is quoted is one."""
    return [quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', line)]


class Page:
    def __init__(self, path):
        self.name = os.path.basename(path)
        self.sections = {}
        with open(path, encoding='utf-8') as file:
            lines = [line.rstrip('\n') for line in file]
        section = self.sections.setdefault('', [])
        for line in lines:
            if line.startswith('.Sh '):
                section = self.sections.setdefault(line[4:].strip('"'), [])
            elif not line.startswith('.\\"'):
                section.append(line)

    def lines(self, section):
        return self.sections.get(section, [])

    def names(self):
        return [words(line)[1] for line in self.lines('NAME') if line.startswith('.Nm ')]

    def prototypes(self):
        """Each function of the synopsis as (name, type, arguments)."""
        kind, name, args = '', None, []
        for line in self.lines('SYNOPSIS'):
            macro, *rest = words(line)
            if macro == '.Ft':
                kind = squeeze(' '.join(rest))
            elif macro == '.Fn':
                yield rest[0], kind, squeeze(', '.join(rest[1:]))
            elif macro == '.Fo':
                name, args = rest[0], []
            elif macro == '.Fa':
                args += rest
            elif macro == '.Fc':
                yield name, kind, squeeze(', '.join(args))

    def errors(self):
        """The codes of each function: a list is about the functions named since the one before."""
        codes, about, depth = {}, [], 0
        for line in self.lines('ERRORS'):
            macro = words(line)[:1]
            if macro == ['.Bl']:
                depth += 1
            elif macro == ['.El']:
                depth -= 1
                if depth == 0:
                    about = []
            elif macro == ['.Fn'] and depth == 0:
                about.append(words(line)[1])
            elif line.startswith('.It Er '):
                for name in about:
                    codes.setdefault(name, set()).add(words(line)[2])
        return codes

    def literals(self, section):
        """The literal blocks of a section, each with the line of text before it."""
        before, block = '', None
        for line in self.lines(section):
            if line.startswith('.Bd -literal'):
                block = []
            elif line == '.Ed':
                yield before, block
                block = None
            elif block is not None:
                block.append(plain(line))
            elif not line.startswith('.'):
                before = line

    def subsection(self, section, title):
        inside = False
        for line in self.lines(section):
            if line.startswith('.Ss '):
                inside = line[4:] == title
            elif inside:
                yield line

    def subsections(self, section):
        return [line[4:] for line in self.lines(section) if line.startswith('.Ss ')]

    def items(self):
        """The tagged items of the whole page: words of the tag, and the text below it."""
        found, tag = [], None
        for line in (line for section in self.sections.values() for line in section):
            if line.startswith('.It '):
                tag = words(line)[1:]
                found.append((tag, []))
            elif line == '.El':
                tag = None
            elif tag is not None:
                found[-1][1].append(re.sub(r'^\.\w+ ', '', line))
        return [(tag, plain(' '.join(text))) for tag, text in found]

    def text(self):
        return '\n'.join(line for lines in self.sections.values() for line in lines)


def options(lines):
    """The options that tagged items of these lines explain, as {long: (letter, argument)}."""
    found = {}
    for line in lines:
        tag = words(line)
        if tag[:2] != ['.It', 'Fl']:
            continue
        argument = tag[tag.index('Ar') + 1] if 'Ar' in tag else ''
        dashed = [word for word in tag[2:] if word not in (',', 'Fl', 'Ar', argument)]
        letter = ''.join(word for word in dashed if not word.startswith('-'))
        found[''.join(word[1:] for word in dashed if word.startswith('-'))] = (letter, argument)
    return found


def pages(folder):
    """Every page of a folder, links left out."""
    found = [Page(path) for path in sorted(glob.glob(os.path.join(folder, '*.[1-8]')))]
    return {page.name: page for page in found if page.names()}
