# SPDX-License-Identifier: BSD-3-Clause
# fish completion of kcoroctl: what may come next is for `kcoroctl complete` to say.

function __kcoroctl_complete
	set -l words (commandline -opc)
	set -l current (commandline -ct)
	# the one that was typed, else the one in PATH (it may be an alias that was typed)
	set -l ctl (string replace -r '^~/' "$HOME/" -- $words[1])
	command -sq -- $ctl
	or set ctl kcoroctl

	command $ctl complete -- $words[2..-1] "$current" 2>/dev/null | while read -l line
		set -l field (string split -m 1 \t -- $line)
		switch $field[1]
			case :files
				set -l path (string sub -s (math (string length -- "$field[2]") + 1) -- "$current")
				string replace -r '^' -- "$field[2]" (__fish_complete_path "$path")
			case :command
				set -l from (math $field[2] + 2)
				complete -C (string join ' ' -- (string escape -- $words[$from..-1]) "$current")
			case '*'
				echo $line
		end
	end
end

complete -c kcoroctl -f -a '(__kcoroctl_complete)'
