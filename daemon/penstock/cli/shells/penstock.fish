# Completion of penstock for fish: penstock itself says what fits.
function __penstock_complete
    set -l line (commandline -cp)
    for row in (env _PENSTOCK_COMPLETE=fish_complete COMP_LINE="$line" penstock 2>/dev/null)
        set -l part (string split -m 2 \t -- $row)
        switch $part[1]
            case plain
                printf '%s\t%s\n' $part[2] "$part[3]"
            case dir
                __fish_complete_directories (commandline -ct)
            case file
                __fish_complete_path (commandline -ct)
            case program
                # The arguments of a program are the affair of the program's own completion.
                set -l tokens (commandline -opc)
                set -l place (contains -i -- $part[2] $tokens)
                and complete -C (string join ' ' -- (string escape -- $tokens[$place..-1]) (commandline -ct))
        end
    end
end

complete -c penstock -f -a '(__penstock_complete)'
