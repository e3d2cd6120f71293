/** Turns at a peer, whose associations are few: so many at once under one name, the others in the order they came. */

export type Turns = {
  /** Resolves when there is room, with what gives it back. */
  enter(name: string, most: number): Promise<() => void>;
  /** The same where there is room now and nobody waits for it. */
  enterNow(name: string, most: number): (() => void) | undefined;
};

export function openTurns(): Turns {
  const lines = new Map<string, { busy: number; readonly waiting: (() => void)[] }>();
  const leave = (name: string) => (): void => {
    const line = lines.get(name);
    const next = line?.waiting.shift();
    if (next) next();
    else if (line) line.busy -= 1;
    if (line?.busy === 0) lines.delete(name);
  };
  const enterNow: Turns["enterNow"] = (name, most) => {
    const line = lines.get(name) ?? { busy: 0, waiting: [] };
    if (line.busy >= most || line.waiting.length > 0) return undefined;
    line.busy += 1;
    lines.set(name, line);
    return leave(name);
  };
  return {
    enter: async (name, most) => {
      const entered = enterNow(name, most);
      if (entered) return entered;
      await new Promise<void>((resolve) => lines.get(name)?.waiting.push(resolve));
      return leave(name);
    },
    enterNow,
  };
}
