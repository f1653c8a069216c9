#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The completion of bash, in a bash at a terminal: by itself, and together with bash-completion.
. "$KC_SRCDIR/tests/integration/completion-lib.sh"
command -v python3 > /dev/null || { skip "completion of bash" "no python3 to hold the terminal" && finish; }
in_session
completion_place

rc=$TMPDIR/bashrc
answers() { python3 "$KC_SRCDIR/tests/integration/completion-pty.py" bash "$rc"; }
cat > "$rc" << END
PS1=ready:
bind 'set enable-bracketed-paste off'
bind '"\C-xa": insert-completions'
bind -x '"\C-xp": printf "<<%s>>\n" "\$READLINE_LINE"'
. "$completion/bash/kcoroctl"
. "$completion/bash/kcorod"
END
live=$KCORO_SOCKET
types "an argument of another command is a file" "kcoroctl session -- cat on" only.json
types "a level of kcorod behind =" "kcorod --log-level=w" --log-level=warning
types "a blank within quotes is no end of a word" "kcoroctl --socket='a b' ma" make
same_everywhere

framework=/usr/share/bash-completion/bash_completion
if [ ! -r $framework ]; then
	skip "completion of bash with bash-completion" "it is not installed"
	finish
fi
# as installed: found by the name of the command
export KCORO_SOCKET=$live XDG_DATA_HOME=$TMPDIR/share
mkdir -p "$XDG_DATA_HOME/bash-completion/completions"
cp "$completion"/bash/* "$XDG_DATA_HOME/bash-completion/completions/"
sed -i "s|^\. .*/kcoroctl\"\$|. $framework|; /kcorod\"\$/d" "$rc"
types "loaded by bash-completion" "kcoroctl recv jo" jobs journal
types "kcorod, too" "kcorod --ch" --check-config
types "a command within a session" "kcoroctl session -- kcoroctl ma" make
types "its argument" "kcoroctl session --config f -- cat on" only.json
typed
finish
