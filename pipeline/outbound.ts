/**
 * The outbound corridor: hospital A, paper steps 1 to 3. Only what was validated waits to be assembled, only what was
 * assembled is sealed, and only a `Sealed` is routed: the types say so, and no configuration can change the order.
 */
import type { Sealed } from "./seal.ts";
import type { Assembled } from "./waiting-room.ts";

export type Outbound = {
  seal(assembled: Assembled): Promise<Sealed>;
  route(sealed: Sealed): Promise<void>;
};

/** The half behind the waiting room; the half before it is `intake.ts` (source → filter → validate). */
export async function outbound(assembled: Assembled, { seal, route }: Outbound): Promise<void> {
  await route(await seal(assembled));
}
