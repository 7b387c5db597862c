# Completion of penstock for bash: penstock itself says what fits.
_penstock() {
    local row rows type value line=$COMP_LINE cur=${COMP_WORDS[COMP_CWORD]}
    ((COMP_POINT < ${#line})) && line=${line:0:COMP_POINT}
    COMPREPLY=()
    mapfile -t rows < <(_PENSTOCK_COMPLETE=bash_complete COMP_LINE=$line COMP_CUR=$cur "$1" 2>/dev/null)
    for row in "${rows[@]}"; do
        IFS=$'\t' read -r type value _ <<<"$row"
        case $type in
            plain) COMPREPLY+=("$value") ;;
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            program) _penstock_program "$value" ;;
        esac
    done
    if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[:=] ]]; then
        compopt -o nospace
    fi
}

# The arguments of a program are the affair of the program's own completion.
_penstock_program() {
    local place offset
    offset=$(compgen -A function -X '!*_command_offset' | head -n 1)
    for ((place = 2; place < COMP_CWORD; place++)); do
        if [[ -n $offset && ${COMP_WORDS[place]} == "$1" ]]; then
            "$offset" "$place"
            return
        fi
    done
    compopt -o default
}

complete -o nosort -F _penstock penstock
