# SPDX-License-Identifier: BSD-3-Clause
# The code of a C file, statement by statement: comments are taken out, and the insides of string
# literals unless strings=1. Prints FILE:LINE: and the text, one line per ; { } or preprocessor
# directive, LINE being where it begins, so that a pattern sees a whole call.
function flush() {
	gsub(/[ \t]+/, " ", text)
	sub(/^ /, "", text)
	if (text != "")
		printf "%s:%d: %s\n", FILENAME, from, text
	text = ""
}
FNR == 1 { flush(); comment = 0; directive = 0 }
{
	line = $0
	if (!comment && !directive && line ~ /^[ \t]*#/) {
		flush()
		directive = 1
	}
	# most lines have neither literal nor comment: taken in pieces instead of letters
	if (!comment && !directive && line !~ /["'\/]/) {
		while (match(line, /[;{}]/)) {
			if (text ~ /^[ \t]*$/)
				from = FNR
			text = text substr(line, 1, RSTART)
			line = substr(line, RSTART + 1)
			flush()
		}
		if (text ~ /^[ \t]*$/)
			from = FNR
		text = text line " "
		next
	}
	len = length(line)
	quote = ""
	for (i = 1; i <= len; i++) {
		c = substr(line, i, 1)
		two = substr(line, i, 2)
		if (comment) {
			if (two == "*/") {
				comment = 0
				i++
			}
			continue
		}
		if (quote != "") {
			if (c == "\\") {
				if (strings)
					text = text two
				i++
			} else if (c == quote) {
				quote = ""
				text = text c
			} else if (strings) {
				text = text c
			}
			continue
		}
		if (two == "/*") {
			comment = 1
			i++
			text = text " "
			continue
		}
		if (two == "//")
			break
		if (text ~ /^[ \t]*$/)
			from = FNR
		text = text c
		if (c == "\"" || c == "'")
			quote = c
		else if (!directive && (c == ";" || c == "{" || c == "}"))
			flush()
	}
	if (directive && line !~ /\\$/) {
		flush()
		directive = 0
	}
	text = text " "
}
END { flush() }
