/** Work on many things in pieces, between which the loop serves others. */

/** Things of one piece: of the registrations of a submission some 0.1 ms each. */
const perTurn = 8;

/** Makes one of each, in order, `perTurn` of them a turn. */
export async function bySlices<T, R>(
  items: readonly T[],
  turn: () => Promise<void>,
  make: (item: T, n: number) => R,
): Promise<readonly R[]> {
  const made: R[] = [];
  for (const [n, item] of items.entries()) {
    if (n > 0 && n % perTurn === 0) await turn();
    made.push(make(item, n));
  }
  return made;
}
