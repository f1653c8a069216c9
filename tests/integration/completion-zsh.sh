#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The completion of zsh, in a zsh at a terminal.
. "$KC_SRCDIR/tests/integration/completion-lib.sh"
command -v zsh > /dev/null || { skip "completion of zsh" "no zsh" && finish; }
command -v python3 > /dev/null || { skip "completion of zsh" "no python3 to hold the terminal" && finish; }
in_session
completion_place

answers() { python3 "$KC_SRCDIR/tests/integration/completion-pty.py" zsh "$TMPDIR/.zshrc"; }
cat > "$TMPDIR/.zshrc" << END
PS1=ready:
fpath=("$completion/zsh" \$fpath)
autoload -U compinit
compinit -u -D
# all that is offered, inserted
zstyle ':completion:all-matches::::' completer _all_matches _complete
zstyle ':completion:all-matches:*' insert true
zle -C all-matches complete-word _generic
bindkey '^Xa' all-matches
bindkey '^U' kill-whole-line
show() { print -r -- "<<\$BUFFER>>"; zle reset-prompt }
zle -N show
bindkey '^Xp' show
END
types "a level of kcorod behind =" "kcorod --log-level=w" --log-level=warning
types "a command within a session" "kcoroctl session -- kcoroctl ma" make
types "its argument" "kcoroctl session --config f -- cat on" only.json
same_everywhere
finish
