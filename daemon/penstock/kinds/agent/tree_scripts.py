"""What git is told to do for a run of an agent: a script for each stage, so that each is one process.

They are for the shell, which is in every machine that has git, and print `key value` lines, last of all
what could not be done. Nothing of a repository is run: see `penstock.kinds.git`.
"""

from __future__ import annotations

# A script is read whole before it begins, for it comes by the standard input that its programs have too.
_FRAME = """\
say() {{ printf '%s %s\\n' "$1" "$2"; }}
cannot() {{ say cannot "$1"; exit 9; }}
main() {{
set -u
{body}
}}
main "$@" </dev/null
"""

#: $1 the repository or "", $2 where the tree is to be, $3 the commit, $4 "yes" to take what is not
#: committed, $5 the branch that is to be made or "".
_OPEN = """\
tree=$2
command -v git >/dev/null || cannot "find git, which is not installed"
if [ -e "$tree/.git" ]; then
  say tree "$tree"
elif [ -z "$1" ]; then
  rm -rf -- "$tree.part"
  git init --quiet --template= -- "$tree.part" || cannot "make a repository"
  git -C "$tree.part" commit --quiet --allow-empty -m "begin" || cannot "commit"
  git -C "$tree.part" checkout --quiet --detach || cannot "begin"
  mv -- "$tree.part" "$tree" || cannot "put the tree in place"
else
  [ -d "$1" ] || cannot "copy $1: there is no such folder"
  top=$(git -C "$1" rev-parse --show-toplevel 2>/dev/null || git -C "$1" rev-parse --absolute-git-dir 2>/dev/null) ||
    cannot "copy $1: it is not in a git repository"
  sha=$(git -C "$top" rev-parse --verify --quiet --end-of-options "$3^{commit}") ||
    cannot "begin with $3: the repository $top has no such commit"
  if [ -n "$5" ]; then
    git check-ref-format --branch "$5" >/dev/null 2>&1 || cannot "make a branch $5: no branch can be named so"
    git -C "$top" show-ref --verify --quiet "refs/heads/$5" && cannot "make the branch $5: it exists already"
  fi
  rm -rf -- "$tree.part"
  # By links where that can be; `--local` would insist on them, and fail between two file systems.
  git clone --quiet --no-checkout --template= --no-recurse-submodules -- "$top" "$tree.part" ||
    cannot "copy $top"
  git -C "$tree.part" checkout --quiet --detach "$sha" -- || cannot "check out $3"
  if [ "$4" = yes ] && [ "$(git -C "$top" rev-parse --is-bare-repository)" = false ]; then
    objects=$(git -C "$top" rev-parse --path-format=absolute --git-path objects) || cannot "find the objects"
    # What is not committed is written into the copy alone.
    snap() {
      GIT_INDEX_FILE="$tree.index" GIT_OBJECT_DIRECTORY="$tree.part/.git/objects" \\
      GIT_ALTERNATE_OBJECT_DIRECTORIES="$objects" git -C "$top" "$@"
    }
    snap read-tree HEAD && snap add --all -- . || cannot "take what is not committed"
    made=$(snap write-tree) || cannot "take what is not committed"
    rm -f -- "$tree.index"
    if [ "$made" != "$(git -C "$top" rev-parse "HEAD^{tree}")" ]; then
      sha=$(git -C "$tree.part" commit-tree -p "$sha" -m "What was not committed" "$made") || cannot "commit"
      git -C "$tree.part" checkout --quiet --detach "$sha" -- || cannot "check out what is not committed"
    fi
  elif [ "$(git -C "$top" rev-parse --is-bare-repository)" = false ]; then
    say uncommitted "$(git -C "$top" status --porcelain | wc -l | tr -d ' ')"
  fi
  # The way back is by a branch that is fetched from here.
  git -C "$tree.part" remote set-url --push origin "nowhere" || cannot "close the way back"
  [ -e "$tree.part/.gitmodules" ] && say submodules yes
  grep -qs "filter=lfs" "$tree.part/.gitattributes" && say lfs yes
  mv -- "$tree.part" "$tree" || cannot "put the tree in place"
fi
if [ -n "$1" ]; then
  say top "$(git -C "$1" rev-parse --show-toplevel 2>/dev/null || git -C "$1" rev-parse --absolute-git-dir)"
  prefix=$(git -C "$1" rev-parse --show-prefix 2>/dev/null)
  [ -d "$tree/$prefix" ] && say prefix "$prefix"
fi
say head "$(git -C "$tree" rev-parse HEAD)"
"""

#: $1 the tree, $2 the commit it began with, $3 what to say of the change.
_COMMIT = """\
cd -- "$1" || cannot "find the agent's copy"
# What the agent made of it must lead to no other repository.
[ -d .git ] && [ ! -L .git ] || cannot "read the agent's copy: it has removed its repository"
export GIT_DIR="$1/.git" GIT_WORK_TREE="$1"
rm -f -- .git/index.lock .git/HEAD.lock
git add --all 2>&1 || cannot "add the files"
if ! git diff --cached --quiet HEAD --; then
  git commit --quiet --no-verify -m "$3" || cannot "commit"
fi
say head "$(git rev-parse HEAD)"
git diff --numstat --no-renames "$2" HEAD -- | while IFS= read -r line; do say file "$line"; done
git diff --raw --no-renames "$2" HEAD -- | grep -q '^:[0-7]* 160000 ' && say nested yes
exit 0
"""

#: $1 the tree, $2 the repository, $3 the branch, $4 the reference by which a lost run is found.
_BRANCH = """\
if git -C "$2" fetch --quiet --no-tags --no-write-fetch-head --update-shallow -- "$1" "HEAD:refs/heads/$3" 2>&1
then
  git -C "$2" update-ref -d "$4"
  say branch "$3"
else
  git -C "$2" fetch --quiet --no-tags --no-write-fetch-head --update-shallow -- "$1" "+HEAD:$4" 2>&1 ||
    cannot "keep the work in $2"
  say kept "$4"
fi
"""

#: $1 the tree, $2 the repository, $3 the reference.
_RESCUE = """\
git -C "$2" fetch --quiet --no-tags --no-write-fetch-head --update-shallow -- "$1" "+HEAD:$3" 2>&1 ||
  cannot "keep the work in $2"
say kept "$3"
"""

OPEN, COMMIT, BRANCH, RESCUE = (
    _FRAME.format(body=body) for body in (_OPEN, _COMMIT, _BRANCH, _RESCUE)
)
