/** `semrs completion`: a script for bash, zsh or fish, made from the commands that there are. */
import { Command } from "commander";
import { Fault } from "../errors.ts";
import { guarded, print } from "./exit.ts";

const shells = { bash, zsh, fish } as const;

export function completionCommand(program: () => Command): Command {
  return new Command("completion")
    .summary("print a completion script for a shell")
    .argument("<shell>", Object.keys(shells).join(", "))
    .addHelpText(
      "before",
      "Examples:\n  semrs completion bash > /etc/bash_completion.d/semrs\n  semrs completion zsh > ~/.zfunc/_semrs\n",
    )
    .action((shell: string) =>
      guarded("completion", () => {
        const make = shells[shell as keyof typeof shells];
        if (!make)
          throw new Fault("QUERY_INVALID", `${shell}: there are scripts for ${Object.keys(shells).join(", ")}`);
        print(make(words(program())));
      }),
    );
}

/** What may follow each command line so far: verbs and options. */
type Words = ReadonlyMap<string, readonly string[]>;

function words(command: Command, path: readonly string[] = []): Words {
  const own = [
    ...command.commands.map((each) => each.name()),
    ...command.options.flatMap(({ long }) => (long ? [long] : [])),
  ];
  return new Map([
    [path.join(" "), own],
    ...command.commands.flatMap((each) => [...words(each, [...path, each.name()])]),
  ]);
}

const cases = (known: Words): string =>
  [...known].map(([path, own]) => `    "${path}") words="${own.join(" ")}" ;;`).join("\n");

function bash(known: Words): string {
  return `_semrs() {
  local path="" word words
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do [[ $word == -* ]] || path="\${path:+$path }$word"; done
  case "$path" in
${cases(known)}
    *) words="" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
  [[ \${#COMPREPLY[@]} -gt 0 ]] || COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _semrs semrs`;
}

function zsh(known: Words): string {
  return `#compdef semrs
autoload -U +X bashcompinit && bashcompinit
${bash(known)}`;
}

function fish(known: Words): string {
  return [...known]
    .flatMap(([path, own]) => {
      const condition = path === "" ? "__fish_use_subcommand" : `__fish_seen_subcommand_from ${path.split(" ").at(-1)}`;
      return own.map((word) =>
        word.startsWith("--")
          ? `complete -c semrs -n '${condition}' -l ${word.slice(2)}`
          : `complete -c semrs -n '${condition}' -a ${word}`,
      );
    })
    .join("\n");
}
