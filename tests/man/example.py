# SPDX-License-Identifier: BSD-3-Clause
"""example.py PAGE FOLDER - takes the program out of a page's EXAMPLES, and what it prints.

Writes FOLDER/example.c and FOLDER/wanted. With a rendered page (mandoc -T ascii) on standard input
also says which of these lines a reader would not see as they are.
"""
import os
import sys

import mdoc


def main():
    page, folder = mdoc.Page(sys.argv[1]), sys.argv[2]
    program = wanted = None
    for before, block in page.literals('EXAMPLES'):
        if block and block[0].startswith('#include'):
            program = block
        elif before == 'It prints:':
            wanted = block
    if not program or not wanted:
        print(f'{page.name}: no program, or not what it prints, in EXAMPLES')
        return
    for name, lines in ('example.c', program), ('wanted', wanted):
        with open(os.path.join(folder, name), 'w', encoding='utf-8') as file:
            file.write('\n'.join(lines) + '\n')
    rendered = [line.strip() for line in sys.stdin]
    if rendered:
        for line in program + wanted:
            if line.expandtabs().strip() not in rendered:
                print(f'{page.name}: not as it is in the rendered page: {line}')


main()
