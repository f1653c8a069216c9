# SPDX-License-Identifier: BSD-3-Clause
# fish completion of kcorod

complete -c kcorod -f
complete -c kcorod -s s -l socket -r -F -d 'where to listen'
complete -c kcorod -s c -l config -r -F -d 'read a configuration (JSON)'
complete -c kcorod -s l -l log-level -x -a 'error warning notice info debug' -d 'how much is logged'
complete -c kcorod -l check-config -d 'check the configuration, say what is wrong, and end'
complete -c kcorod -l print-config -d 'print the configuration with all defaults, and end'
complete -c kcorod -s V -l version -d 'print the version, and end'
complete -c kcorod -s h -l help -d 'print what the options are, and end'
