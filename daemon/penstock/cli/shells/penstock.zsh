#compdef penstock
# Completion of penstock for zsh: penstock itself says what fits.
_penstock() {
    local row type value help place
    local -a rows values shown
    rows=("${(@f)$(_PENSTOCK_COMPLETE=zsh_complete COMP_LINE="${(j: :)words[1,CURRENT]}" penstock 2>/dev/null)}")
    for row in $rows; do
        type=${row%%$'\t'*} value=${row#*$'\t'} help=
        [[ $value == *$'\t'* ]] && help=${value#*$'\t'} value=${value%%$'\t'*}
        case $type in
            plain) values+=("$value") shown+=("$value${help:+  -- $help}") ;;
            dir) _path_files -/ ;;
            file) _files ;;
            program)
                # The arguments of a program are the affair of the program's own completion.
                place=${words[(i)$value]}
                words=("${(@)words[place,-1]}")
                (( CURRENT -= place - 1 ))
                _normal
                return
                ;;
        esac
    done
    (( $#values )) || return
    if (( $#values == 1 )) && [[ $values[1] == *[:=] ]]; then
        compadd -Q -S '' -a values
    else
        compadd -l -V penstock -d shown -a values
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _penstock "$@"
else
    compdef _penstock penstock
fi
