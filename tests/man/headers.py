# SPDX-License-Identifier: BSD-3-Clause
"""What the public headers declare: functions with their codes, structs, constants."""
import glob
import os
import re

NOT_FOR_USERS = {'KC_PUBLIC', 'KC_MUST_CHECK', 'KC_BEGIN_DECLS', 'KC_END_DECLS'}


def squeeze(text):
    """One form for a piece of C, however it is broken into lines."""
    return re.sub(r'\s*([(),*{};])\s*', r'\1', re.sub(r'\s+', ' ', text)).strip()


def callbacks(code):
    """The types of functions that C code declares."""
    found = re.findall(r'\btypedef ([^;{}]*\(\*(kc_\w+)\)[^;{}]*);', code)
    return {name: squeeze(text) for text, name in found}


class Function:
    """`returns` and `args` as squeezed text, `codes` as a set of KC_E* names, `since` a version."""

    def __init__(self, comment, prototype):
        match = re.match(r'(.*?[ *])(kc_\w+)\((.*)\);$', prototype)
        self.name = match.group(2)
        self.returns = squeeze(re.sub(r'\bKC_(PUBLIC|MUST_CHECK)\b', '', match.group(1)))
        self.args = squeeze(match.group(3))
        text = re.search(r'^ \* Returns:(.*?)(?=^ \* (?:[A-Z][a-z]+:|$)|^ \*/)', comment, re.M | re.S)
        self.returns_text = text.group(1) if text else ''
        self.codes = set()
        self.since = re.search(r'^ \* Since: +([\d.]+)|\Z', comment, re.M).group(1)


class Headers:
    def __init__(self, folder):
        self.functions, self.structs, self.callbacks, self.constants = {}, {}, {}, set()
        texts = []
        for path in sorted(glob.glob(os.path.join(folder, '**', '*.h'), recursive=True)):
            with open(path, encoding='utf-8') as file:
                texts.append(file.read())
        whole = '\n'.join(texts)
        self.known = set(re.findall(r'^#define (KC_E\w+) \(-', whole, re.M))
        for text in texts:
            for comment, prototype in re.findall(
                    r'(/\*\*\n(?: \*[^\n]*\n)+?)(KC_PUBLIC[^;]*;)', text):
                function = Function(comment, re.sub(r'\s+', ' ', prototype))
                self.functions[function.name] = function
            self.declarations(re.sub(r'/\*.*?\*/', '', text, flags=re.S))
        for function in self.functions.values():
            function.codes = self.codes(function.name, [])

    def declarations(self, code):
        for name, body in re.findall(r'\bstruct (kc_\w+) \{(.*?)\n\}', code, re.S):
            self.structs[name] = squeeze(body)
        self.callbacks.update(callbacks(code))
        for body in re.findall(r'\benum kc_\w+ \{(.*?)\n\}', code, re.S):
            self.constants |= set(re.findall(r'\bKC_\w+', body))
        self.constants |= set(re.findall(r'^#define (KC_\w+)', code, re.M)) - NOT_FOR_USERS

    def codes(self, name, seen):
        """The codes a comment names, and those of the functions it refers to."""
        # a name in quotes is an example of a text
        text = re.sub(r'"[^"]*"', '', self.functions[name].returns_text)
        found = {code for code in re.findall(r'\bKC_E\w+', text) if code in self.known}
        for other in re.findall(r'\b(?:as|code\s+of)[\s*]+(kc_\w+)\(\)', text):
            if other in self.functions and other not in seen:
                found |= self.codes(other, seen + [name])
        return found
